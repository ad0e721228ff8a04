"""XML as trees, and a stream of it cut into events.

Knows no XMPP but this: a stream is one document, whose root's children are handled one by one
(RFC 6120 §4.1).
"""

import xml.parsers.expat
from xml.sax.saxutils import escape, quoteattr

NS_CLIENT = 'jabber:client'
NS_STREAM = 'http://etherx.jabber.org/streams'
NS_STREAM_ERROR = 'urn:ietf:params:xml:ns:xmpp-streams'
NS_STANZA_ERROR = 'urn:ietf:params:xml:ns:xmpp-stanzas'
NS_SASL2 = 'urn:xmpp:sasl:2'
NS_BIND2 = 'urn:xmpp:bind:0'
NS_FAST = 'urn:xmpp:fast:0'
NS_CAM = 'urn:xmpp:cam:0'
NS_TLS = 'urn:ietf:params:xml:ns:xmpp-tls'
NS_SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
NS_BIND = 'urn:ietf:params:xml:ns:xmpp-bind'
NS_XML = 'http://www.w3.org/XML/1998/namespace'

# Prefixes that a play may use in a pattern without declaring them.
PREFIXES = {
    'stream': NS_STREAM,
    's': NS_STREAM_ERROR,
    'e': NS_STANZA_ERROR,
    'tls': NS_TLS,
    'sasl': NS_SASL,
    'sasl2': NS_SASL2,
    'bind2': NS_BIND2,
    'fast': NS_FAST,
    'cam': NS_CAM,
    'bind': NS_BIND,
    'info': 'http://jabber.org/protocol/disco#info',
    'items': 'http://jabber.org/protocol/disco#items',
    'ping': 'urn:xmpp:ping',
    'register': 'jabber:iq:register',
    'db': 'jabber:server:dialback',
    'dialback': 'urn:xmpp:features:dialback',
    'bidi': 'urn:xmpp:features:bidi',
    'sm': 'urn:xmpp:sm:3',
    'limits': 'urn:xmpp:stream-limits:0',
    'any': 'any',   # of a pattern: an element of whatever name and namespace
}


class NotXML(Exception):
    """What came cannot be XML."""


class Element:
    """name and ns apart; attrs by name, or '{ns}name' where the attribute has a namespace."""

    __slots__ = ('name', 'ns', 'attrs', 'children')

    def __init__(self, name, ns, attrs=None):
        self.name, self.ns = name, ns
        self.attrs = attrs or {}
        self.children = []  # Elements and strings

    def elements(self):
        return [c for c in self.children if isinstance(c, Element)]

    def text(self):
        return ''.join(c for c in self.children if isinstance(c, str))

    def child(self, name, ns=None):
        for c in self.elements():
            if c.name == name and ns in (None, c.ns):
                return c
        return None

    def get(self, attr, default=None):
        return self.attrs.get(attr, default)

    def is_(self, name, ns):
        return self.name == name and self.ns == ns

    def descendants(self):
        for c in self.elements():
            yield c
            yield from c.descendants()

    def show(self, inherited=NS_CLIENT):
        """As XML to be read by people: stream elements with their usual prefix."""
        tag = self.name
        out = ''
        if self.ns == NS_STREAM:
            tag = 'stream:' + tag
        elif self.ns != inherited:
            inherited = self.ns
            out = ' xmlns=' + quoteattr(self.ns)
        for key, value in self.attrs.items():
            key = key.replace('{%s}' % NS_XML, 'xml:')
            out += ' %s=%s' % (key, quoteattr(value))
        inner = ''.join(c.show(inherited) if isinstance(c, Element) else escape(c)
                        for c in self.children)
        return '<%s%s>%s</%s>' % (tag, out, inner, tag) if inner else '<%s%s/>' % (tag, out)


def _split(name):
    ns, _, local = name.rpartition(' ')
    return local, ns


class StreamParser:
    """Feed it bytes; it returns events: ('open', root), ('stanza', element), ('close', None).
    restarts: what follows a SASL success is a new document (RFC 6120 §6.4.6). content: the content
    namespace of the stream, which is told as jabber:client (§4.8.3)."""

    def __init__(self, restarts=False, content=NS_CLIENT):
        self._restarts, self._content = restarts, content
        self._held = b''            # of a tag that is not whole yet
        self._begin()
        self._events = []

    def _begin(self):
        self._expat = xml.parsers.expat.ParserCreate(namespace_separator=' ')
        self._expat.buffer_text = True
        self._expat.StartElementHandler = self._start
        self._expat.EndElementHandler = self._end
        self._expat.CharacterDataHandler = self._text
        self._expat.CommentHandler = self._forbidden
        self._expat.ProcessingInstructionHandler = self._forbidden
        self._expat.StartDoctypeDeclHandler = self._forbidden
        self._path = []
        self._passed = 0            # bytes of this document fed before
        self._success_at = None     # where in it the success's end tag begins, or is behind

    def feed(self, data):
        """Only up to the last > is parsed: what expat has seen half of a tag, it may put off until
        far more has come (since 2.6, and where its security fixes went into older ones)."""
        self._held += data.encode() if isinstance(data, str) else data
        whole = self._held.rfind(b'>') + 1
        data, self._held = self._held[:whole], self._held[whole:]
        if data:
            self._parse(data)
        events, self._events = self._events, []
        return events

    def _parse(self, data):
        try:
            self._expat.Parse(data, False)
        except xml.parsers.expat.ExpatError as e:
            if self._success_at is None:
                raise NotXML('%s in %r' % (e, data[-200:])) from e
        if self._success_at is None:
            self._passed += len(data)
            return
        at = self._success_at - self._passed
        if at < 0 or data[at:at + 2] == b'</':
            at = data.index(b'>', max(at, 0)) + 1
        self._begin()
        if data[at:]:
            self._parse(data[at:])

    def _start(self, name, attrs):
        if self._success_at is not None:
            return
        attrs = {'{%s}%s' % (_split(k)[1], _split(k)[0]) if ' ' in k else k: v
                 for k, v in attrs.items()}
        local, ns = _split(name)
        element = Element(local, NS_CLIENT if ns == self._content else ns, attrs)
        if not self._path:
            self._events.append(('open', element))
        elif len(self._path) > 1:
            self._path[-1].children.append(element)
        self._path.append(element)

    def _end(self, _name):
        if self._success_at is not None:
            return
        element = self._path.pop()
        if not self._path:
            self._events.append(('close', None))
        elif len(self._path) == 1:
            self._events.append(('stanza', element))
            if self._restarts and element.is_('success', NS_SASL):
                self._success_at = self._expat.CurrentByteIndex

    def _text(self, data):
        if len(self._path) > 1:
            self._path[-1].children.append(data)
        elif data.strip():
            raise NotXML('text between stanzas: %r' % data)

    def _forbidden(self, *what):
        """RFC 6120 §11.1: a server sends none of these."""
        raise NotXML('a comment, processing instruction or DTD: %r' % (what,))


def parse(text, default_ns=NS_CLIENT):
    """One element from text; undeclared well-known prefixes and the client's namespace are given."""
    declared = ''.join(' xmlns:%s="%s"' % p for p in PREFIXES.items())
    parser = StreamParser()
    parser.feed('<root xmlns="%s"%s>' % (default_ns, declared))
    events = parser.feed(text)
    if [kind for kind, _ in events] != ['stanza']:
        raise NotXML('not one whole element: %s' % text)
    return events[0][1]


def parse_all(text, default_ns=NS_CLIENT):
    """Several elements, one behind the other."""
    declared = ''.join(' xmlns:%s="%s"' % p for p in PREFIXES.items())
    parser = StreamParser()
    parser.feed('<root xmlns="%s"%s>' % (default_ns, declared))
    events = parser.feed(text + '</root>')
    return [element for kind, element in events if kind == 'stanza']
