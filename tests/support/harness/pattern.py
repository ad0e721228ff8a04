"""What an expected element looks like, and why another one is not it.

A pattern is XML. Name, namespace, the attributes and the child elements it has must be there, in
any order; what else is there is left alone, unless the match is exact (and even then xml:lang,
which a server may add: RFC 6120 §8.1.5). In values and in text:
    *          any characters
    ${name}    the variable's value; when it has none yet, anything, which becomes its value
    <any:x/>   an element of any name
    (none)     as an attribute's whole value: the attribute must not be there
"""

import re

from .element import NS_XML, Element, parse

_PIECE = re.compile(r'\$\{(\w+)\}|(\*)')


class Pattern:
    def __init__(self, text, exact=False):
        """text: XML, or an Element. A stream's start tag needs no end."""
        self.exact = exact
        if isinstance(text, Element):
            self.root = text
            return
        if text.lstrip().startswith('<stream:stream') and not text.rstrip().endswith('/>'):
            text = text.rstrip()[:-1] + '/>'
        self.root = parse(text)

    def why_not(self, element, variables):
        """None when element matches (then new variables are set), else the reason as text."""
        found = {}
        reason = self._element(self.root, element, variables, found)
        if reason is None:
            variables.update(found)
        return reason

    def _value(self, wanted, got, variables, found):
        regex, at = '', 0
        fresh = []
        for piece in _PIECE.finditer(wanted):
            regex += re.escape(wanted[at:piece.start()])
            at = piece.end()
            name = piece.group(1)
            known = variables.get(name, found.get(name)) if name else None
            if not name:
                regex += '.*'
            elif known is not None:
                regex += re.escape(known)
            elif name in fresh:
                regex += '(?P=%s)' % name
            else:
                fresh.append(name)
                regex += '(?P<%s>.+?)' % name
        match = re.fullmatch(regex + re.escape(wanted[at:]), got, re.DOTALL)
        if match:
            found.update(match.groupdict())
        return match is not None

    def _element(self, wanted, got, variables, found):
        if wanted.ns != 'any' and (wanted.name, wanted.ns) != (got.name, got.ns):
            return 'expected <%s> of %s, came <%s> of %s' % (wanted.name, wanted.ns, got.name, got.ns)
        for key, value in wanted.attrs.items():
            if value == '(none)':
                if key in got.attrs:
                    return '<%s> must not have %s, has %r' % (got.name, key, got.attrs[key])
            elif key not in got.attrs:
                return '<%s> lacks %s=%r' % (got.name, key, value)
            elif not self._value(value, got.attrs[key], variables, found):
                return '<%s> has %s=%r, expected %r' % (got.name, key, got.attrs[key], value)
        if self.exact:
            extra = set(got.attrs) - set(wanted.attrs) - {'{%s}lang' % NS_XML}
            if extra:
                return '<%s> has further attributes: %s' % (got.name, ', '.join(sorted(extra)))
        text = wanted.text().strip()
        if (text or self.exact) and not self._value(text, got.text().strip(), variables, found):
            return '<%s> holds the text %r, expected %r' % (got.name, got.text(), text)
        return self._children(wanted, got, variables, found)

    def _children(self, wanted, got, variables, found):
        left = got.elements()
        for child in wanted.elements():
            reason = '<%s> has no child left for it' % got.name
            for candidate in left:
                tried = dict(found)
                reason = self._element(child, candidate, variables, tried)
                if reason is None:
                    found.update(tried)
                    left.remove(candidate)
                    break
                if (candidate.name, candidate.ns) != (child.name, child.ns):
                    reason = '<%s> lacks %s' % (got.name, child.show())
            if reason is not None:
                return reason
        if self.exact and left:
            return '<%s> has a further child %s' % (got.name, left[0].show())
        return None

    def inside(self, element, variables):
        """The descendant of element (or itself) that matches, or None. Sets no variables."""
        for candidate in [element, *element.descendants()]:
            if isinstance(candidate, Element) and \
                    self._element(self.root, candidate, variables, {}) is None:
                return candidate
        return None
