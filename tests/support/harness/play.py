"""The language of *.play files. docs/testing.md describes it for those who write plays.

A play is a list of statements, one a line; a deeper line belongs to the statement above it. It is
read whole, the server is started with its settings and accounts, and the statements run in order.
The first thing that is not as expected ends the play and is told together with the row it stands
in, what each client said and heard, and the server's log.
"""

import base64
import contextlib
import itertools
import re
import shlex

from .connection import Connection, Failure
from .element import NotXML, parse_all
from .pattern import Pattern
from .server import Server, password_of

SHOWN = 40      # last lines of the transcript and of the log that a failure shows
WITNESS = 'witness@localhost'  # who is served when others are
LONGEST = 600   # characters of one of them


class BadPlay(Exception):
    """The file is not a play."""


def split(text):
    """Words, with quotes as in a shell, but no escapes."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace_split, lexer.escape, lexer.commenters = True, '', ''
    return list(lexer)


def short(text):
    return text if len(text) <= LONGEST else '%s... (%d characters)' % (text[:LONGEST], len(text))


class Statement:
    def __init__(self, line, text):
        self.line, self.text = line, text
        self.block = []         # raw (line, text) pairs below it
        self.body = []          # statements, where the block is a body

    def joined(self):
        """The text of the block, without what only the file's layout put there."""
        out = ''
        for _, text in self.block:
            text = text.strip()
            out += ' ' + text if out and not out.endswith('>') else text
        return out


def read(lines, first=1):
    """Statements of some lines, with their blocks."""
    statements, base = [], None
    for number, text in enumerate(lines, first):
        stripped = text.strip()
        if not stripped or stripped.startswith('#'):
            continue
        indent = len(text) - len(text.lstrip())
        base = indent if base is None else base
        if indent > base and statements:
            statements[-1].block.append((number, text.rstrip()))
        elif indent == base:
            statements.append(Statement(number, stripped))
        else:
            raise BadPlay('line %d: stands at no level above it' % number)
    for s in statements:
        if s.text.startswith('for '):
            s.body = _read_numbered(s.block)
    return statements


def _read_numbered(block):
    first, last = block[0][0], block[-1][0]
    lines = [''] * (last - first + 1)
    for number, text in block:
        lines[number - first] = text
    return read(lines, first)


class Client:
    """A name in the play: a connection and what the play knows of it."""

    def __init__(self, connection):
        self.connection = connection
        self.available = False
        self.gone = False


class Play:
    def __init__(self, path, server_class=Server, verbose=False):
        self.path, self.verbose = path, verbose
        with open(path, encoding='utf-8') as f:
            self.statements = read(f.read().splitlines())
        self.server_class, self.elsewhere = server_class, server_class is not Server
        self.clients, self.variables, self.transcript = {}, {}, []
        self.row, self.rows, self.markers = None, 0, itertools.count(1)
        self.apart = set()      # pairs of clients that cannot reach each other
        self.server = None

    # The whole.

    def run(self):
        """None, or the text of what failed."""
        over, accounts, allowed = self._prepare()
        self.server = server = self.server_class(over, accounts)
        server.allowed_errors = allowed
        statement = None
        try:
            server.start()
            for statement in self.statements:
                self._statement(statement)
            if not self.rows:
                raise BadPlay('no row: a play says in [brackets] which paragraph it proves')
            statement = None
            for client in self.clients.values():
                client.connection.close()
            server.stop()
        except (Failure, BadPlay, NotXML) as e:
            return self._tell(getattr(e, 'statement', None) or statement, e)
        finally:
            server.kill()
            server.clean()
        return None

    def _prepare(self):
        over, accounts, allowed = '', {}, []
        for s in self._all(self.statements):
            words = s.text.split()
            if words[0] in ('account', 'client'):
                words = split(s.text)
            if s.text == 'settings':
                over = '\n'.join(text for _, text in s.block)
            elif words[0] == 'account':
                options = self._options(words[2:])
                accounts[words[1]] = options.get('password', password_of(words[1]))
            elif words[0] == 'client' and words[2:3] == ['as'] and 'stranger' not in words:
                bare = words[3].partition('/')[0]
                accounts.setdefault(bare, password_of(bare))
            elif s.text == 'others are served':
                accounts[WITNESS] = password_of(WITNESS)
            elif words[:2] == ['log', 'may']:
                allowed.append(s.text.split(None, 3)[3])
        self.accounts = accounts
        return over, list(accounts.items()), allowed

    def _all(self, statements):
        for s in statements:
            yield s
            yield from self._all(s.body)

    def _tell(self, statement, error):
        where = '%s:%d' % (self.path, statement.line) if statement else self.path
        lines = ['%s: %s' % (where, self.row or 'before the first row')]
        if statement:
            lines.append('  ' + statement.text)
        lines += ['  ' + line for line in str(error).splitlines()]
        if self.server.process and self.server.process.poll() is not None:
            lines.append('  the server has ended with status %d' % self.server.process.returncode)
        if self.transcript:
            lines.append('what was said:')
            lines += ['  %s %s %s' % (*who, short(what))
                      for *who, what in self.transcript[-SHOWN:]]
        lines.append('the server\'s log:')
        lines += ['  ' + line for line in self.server.log().splitlines()[-SHOWN:]]
        return '\n'.join(lines)

    # Statements.

    VERBS = [(re.compile(p + r'\Z', re.DOTALL), name) for p, name in (
        (r'settings', '_nothing'),
        (r'account .+', '_nothing'),
        (r'log may say .+', '_nothing'),
        (r'(\[.+)', '_row'),
        (r'client (\w+) as (\S+)(.*)', '_client'),
        (r'component (\w+) as (\S+)(.*)', '_component'),
        (r'raw (\w+)(.*)', '_raw'),
        (r'for ([\w/]+) in (.+)', '_for'),
        (r'let (\w+) = (.*)', '_let'),
        (r'others are served', '_others_served'),
        (r'operator runs ([\w-]+)(.*)', '_operator'),
        (r'([\w, ]+?) expects? nothing', '_expect_nothing'),
        (r'(\w+) and (\w+) are (apart|together)', '_apart'),
        (r'(\w+) expects in any order', '_expect_unordered'),
        (r'(\w+) expects a stream error ([\w-]+(?: or [\w-]+)*)', '_expect_stream_error'),
        (r'(\w+) expects the end', '_expect_end'),
        (r'(\w+) expects to be closed', '_expect_close'),
        (r'(\w+) expects( exactly)?(?: (<.*))?', '_expect'),
        (r'(\w+) saw (no |a |an )(<.+)', '_saw'),
        (r'(\w+) was shown the certificate of (\S+)', '_certificate'),
        (r'(\w+) sends bytes (.+)', '_send_bytes'),
        (r'(\w+) sends(?: (.*))?', '_send'),
        (r'(\w+) opens as the component (\S+)', '_open_component'),
        (r'(\w+) shakes hands by (\S+)', '_shake_hands'),
        (r'(\w+) opens(?: to (\S+))?(?: as (\S+))?', '_open'),
        (r'(\w+) starts tls(?: with (\S+))?', '_start_tls'),
        (r'(\w+) handshakes(?: with (\S+))?(.*)', '_handshake'),
        (r'(\w+) authenticates as (\S+)(.*)', '_authenticate'),
        (r'(\w+) binds(?: (\S+))?', '_bind'),
        (r'(\w+) is available(?: (-?\d+))?', '_available'),
        (r'(\w+) is unavailable', '_unavailable'),
        (r'(\w+) leaves', '_leave'),
        (r'(\w+) closes', '_close'),
        (r'(\w+) drops', '_drop'),
    )]

    def _statement(self, s):
        text = s.text
        if self.elsewhere and 'our choice]' in (self.row or '') and text[0] != '[':
            return  # the paragraph leaves it open, and another server may have chosen otherwise
        if not text.startswith('for '):
            text = self._known(text)
        for pattern, name in self.VERBS:
            match = pattern.match(text)
            if match:
                try:
                    getattr(self, name)(s, *match.groups())
                except (Failure, BadPlay, NotXML) as e:
                    if not hasattr(e, 'statement'):
                        e.statement = s
                    raise
                return
        error = BadPlay('nobody understands this')
        error.statement = s
        raise error

    def _known(self, text):
        """Replaces variables that have a value and functions; leaves the others to patterns."""
        def one(match):
            name, function, rest = match.group(1).partition(':')
            if not function:
                return self.variables.get(name, match.group(0))
            if name == 'plain':
                user, _, password = rest.partition(':')
                return base64.b64encode(('\0%s\0%s' % (user, password)).encode()).decode()
            if name == 'base64':
                raw = rest.encode().decode('unicode_escape').encode('latin-1')
                return base64.b64encode(raw).decode()
            if name == 'repeat':
                count, _, what = rest.partition(':')
                return what * int(count)
            if name == 'count':
                count, _, what = rest.partition(':')
                return ''.join(what.replace('#', str(i)) for i in range(int(count)))
            if name == 'password':
                return self.accounts[rest]
            raise BadPlay('there is no function %s' % name)
        before = None
        while text != before:   # what stands inside others is replaced first
            before, text = text, re.sub(r'\$\{(\w+(?::[^${}]*)?)\}', one, text)
        return text

    def _options(self, words):
        """`password x tls mechanism y` as a dictionary; a word without a value is its own."""
        valued = {'password', 'mechanism', 'from', 'with', 'alpn', 'port', 'secret'}
        options, words = {}, iter(words)
        for word in words:
            options[word] = next(words) if word in valued else word
        return options

    def _of(self, name):
        if name not in self.clients:
            raise BadPlay('there is no client %s' % name)
        return self.clients[name].connection

    def _record(self, *what):
        self.transcript.append(what)

    def _elements(self, s, inline):
        """Inline text and block as one."""
        text = ((inline or '') + (' ' if inline and not inline.endswith('>') and s.block else '')
                + self._known(s.joined()))
        if not text:
            raise BadPlay('expects what?')
        return text

    def _need_row(self):
        if not self.row:
            raise BadPlay('an expectation before the first row: which paragraph asks for it?')

    def _nothing(self, _s):
        pass

    def _row(self, _s, text):
        if not re.match(r'\[[^\]]+\] \S', text):
            raise BadPlay('a row is [the paragraph] and a sentence')
        self.row = text
        self.rows += 1
        if self.verbose:
            print(text)

    def _for(self, s, names, values):
        names = names.split('/')
        for value in split(self._known(values)):
            parts = value.split('/', len(names) - 1)
            if len(parts) != len(names):
                raise BadPlay('%s is not %s' % (value, '/'.join(names)))
            kept = dict(self.variables)
            self.variables.update(zip(names, parts))
            self._record('--', '', ' '.join('%s=%s' % p for p in zip(names, parts)))
            for inner in s.body:
                self._statement(inner)
            self.variables = kept

    def _let(self, _s, name, value):
        self.variables[name] = value

    def _operator(self, _s, name, args):
        self.server.control(name, **dict(a.split('=', 1) for a in split(args)))

    def _others_served(self, _s):
        """Somebody who has nothing to do with it all logs in and is served."""
        self._need_row()
        with contextlib.closing(self.server.login(WITNESS + '/here')) as client:
            client.send("<message to='%s' id='here'/>" % client.jid)
            client.expect("<message from='%s' id='here'/>" % client.jid)
            client.send('</stream:stream>')
            client.expect_close()

    # Clients come and go.

    def _client(self, _s, name, jid, options):
        options = self._options(split(options))
        bare = jid.partition('/')[0]
        tls = 'direct' if 'tls' in options else 'none' if 'plain' in options else 'starttls'
        port = {'direct': self.server.tls_port, 'none': self.server.plain_port,
                'starttls': self.server.port}[tls]
        said = len(self.transcript)
        connection = self._connect(name, port, options)
        connection.login(jid, options.get('password', self.accounts.get(bare)),
                         options.get('mechanism'), tls)
        self.transcript[said:] = [(name, '--', 'logged in as ' + connection.jid)]

    def _raw(self, _s, name, options):
        options = self._options(split(options))
        port = (self.server.component_port if 'component' in options else
                self.server.tls_port if 'tls' in options else
                self.server.plain_port if 'plain' in options else self.server.port)
        self._connect(name, port, options)

    def _component(self, _s, name, domain, options):
        options = self._options(split(options))
        connection = self._connect(name, self.server.component_port, options)
        connection.serve(domain, options.get('secret', 'secret'))

    def _open_component(self, _s, name, domain):
        self.variables['stream'] = self._of(name).open_component(domain)

    def _shake_hands(self, _s, name, secret):
        self._of(name).shake_hands(self.variables['stream'], secret)

    def _connect(self, name, port, options):
        old = self.clients.get(name)
        if old:
            old.connection.close()
        connection = Connection(('127.0.0.1', port), name, options.get('from'),
                                self.server.path('ca.pem'), self._record)
        self.clients[name] = Client(connection)
        return connection

    def _open(self, _s, name, domain, sender):
        self._of(name).open(domain or 'localhost', sender)

    def _start_tls(self, _s, name, domain):
        self._of(name).starttls(domain or 'localhost')

    def _handshake(self, _s, name, domain, options):
        self._of(name).handshake(domain, self._options(split(options)).get('alpn'))

    def _authenticate(self, _s, name, jid, options):
        options = self._options(split(options))
        self._of(name).authenticate(jid.partition('@')[0],
                                    options.get('password', self.accounts.get(jid)),
                                    options.get('mechanism'))

    def _bind(self, _s, name, resource):
        self._of(name).bind(resource)

    def _certificate(self, _s, name, domain):
        shown = self._of(name).sock.getpeercert()
        names = [value for kind, value in shown.get('subjectAltName', ()) if kind == 'DNS']
        if domain not in names:
            raise Failure('%s was shown the certificate of %s' % (name, ', '.join(names)))

    def _siblings(self, name):
        """The account's other available clients."""
        bare = self._of(name).jid.partition('/')[0]
        return [c.connection for n, c in self.clients.items() if n != name and c.available
                and c.connection.jid.partition('/')[0] == bare]

    def _available(self, _s, name, priority):
        """With all that an account's own resources then hear: RFC 6121 §4.2.2."""
        me, siblings = self._of(name), self._siblings(name)
        me.send('<presence><priority>%s</priority></presence>' % priority if priority
                else '<presence/>')
        self._unordered(me, [Pattern("<presence type='(none)' from='%s'/>" % c.jid)
                             for c in [me, *siblings]])
        for sibling in siblings:
            sibling.expect("<presence type='(none)' from='%s'/>" % me.jid)
        self.clients[name].available = True

    def _unavailable(self, _s, name):
        """RFC 6121 §4.5.2."""
        me = self._of(name)
        me.send("<presence type='unavailable'/>")
        for c in [me, *self._siblings(name)]:
            c.expect("<presence type='unavailable' from='%s'/>" % me.jid)
        self.clients[name].available = False

    def _leave(self, s, name):
        """Closes, and the account's other resources hear of it."""
        siblings, jid = self._siblings(name), self._of(name).jid
        was = self.clients[name].available
        self._close(s, name)
        for sibling in siblings if was else ():
            sibling.expect("<presence type='unavailable' from='%s'/>" % jid)

    def _close(self, _s, name):
        connection = self._of(name)
        connection.send('</stream:stream>')
        connection.expect_close()
        self._drop(_s, name)

    def _drop(self, _s, name):
        self._of(name).close()
        self.clients[name].available = False
        self.clients[name].gone = True

    # Saying.

    def _send(self, s, name, inline):
        self._of(name).send(self._elements(s, inline))

    def _send_bytes(self, s, name, text):
        """Escapes as in Python: \\xff, \\n, \\0."""
        self._of(name).send(text.encode().decode('unicode_escape').encode('latin-1'))

    # Hearing.

    def _expect(self, s, name, exactly, inline):
        self._need_row()
        text, connection = self._elements(s, inline), self._of(name)
        if text.startswith('<stream:stream'):
            pattern = Pattern(text, bool(exactly))
            kind, element = connection.event()
            if kind != 'open':
                raise Failure('%s expected a stream header, came %s'
                              % (name, element.show() if element is not None else kind))
            reason = pattern.why_not(element, self.variables)
            if reason:
                raise Failure('%s: %s' % (name, reason))
            return
        for element in parse_all(text):
            connection.expect(Pattern(element, bool(exactly)), variables=self.variables)

    def _expect_unordered(self, s, name):
        self._need_row()
        patterns = [Pattern(e) for e in parse_all(self._elements(s, None))]
        self._unordered(self._of(name), patterns)

    def _unordered(self, connection, patterns):
        left = list(patterns)
        while left:
            element = connection.stanza()
            for pattern in left:
                if pattern.why_not(element, self.variables) is None:
                    left.remove(pattern)
                    break
            else:
                raise Failure('%s expected one of\n%s\n  came %s' % (
                    connection.name, '\n'.join('    ' + p.root.show() for p in left),
                    element.show()))

    def _apart(self, _s, one, other, how):
        pair = frozenset((self._of(one), self._of(other)))
        (self.apart.add if how == 'apart' else self.apart.discard)(pair)

    def _mark(self, listener, senders):
        waiting = set()
        for sender in senders:
            mark = 'marker-%d' % next(self.markers)
            waiting.add(mark)
            sender.send("<message type='headline' from='%s' to='%s' id='%s'/>"
                        % (sender.jid, listener.jid, mark))
        while waiting:
            element = listener.stanza()
            if element.get('id') not in waiting:
                raise Failure('%s expected nothing, came %s' % (listener.name, element.show()))
            if element.get('type') != 'headline':
                raise Failure('%s: a marker came back: %s' % (listener.name, element.show()))
            waiting.remove(element.get('id'))

    def _expect_nothing(self, _s, names):
        """A marker from everyone, oneself included, to the listener's full JID. Order between two
        is kept (RFC 6120 §10.1), so what had been on its way would have come before them. What is between two that are apart has been
        handled once their markers to themselves have come back."""
        self._need_row()
        everyone = [c.connection for c in self.clients.values() if c.connection.jid and not c.gone]
        if names == 'all':
            listeners = everyone
        else:
            listeners = [self._of(name) for name in re.split(r', *| and ', names)]
        said = len(self.transcript)
        for one in {c for pair in self.apart for c in pair if c in listeners}:
            self._mark(one, [one])
        for listener in listeners:
            if not listener.jid:
                raise BadPlay('%s has no address to send a marker to' % listener.name)
            self._mark(listener,
                       [s for s in everyone if frozenset((s, listener)) not in self.apart])
        self.transcript[said:] = [(names, '--', 'heard nothing')]

    def _expect_stream_error(self, _s, name, conditions):
        self._need_row()
        self._of(name).expect_stream_error(*conditions.split(' or '))
        self.clients[name].gone = True
        self.clients[name].available = False

    def _expect_close(self, _s, name):
        self._need_row()
        self._of(name).expect_close()
        self.clients[name].gone = True
        self.clients[name].available = False

    def _expect_end(self, _s, name):
        self._need_row()
        self._of(name).expect_end()
        self.clients[name].gone = True
        self.clients[name].available = False

    def _saw(self, _s, name, article, text):
        self._need_row()
        last = self._of(name).last
        inside = Pattern(text).inside(last, self.variables)
        if article == 'no ' and inside is not None:
            raise Failure('%s saw %s in %s' % (name, inside.show(), last.show()))
        if article != 'no ' and inside is None:
            raise Failure('%s saw no %s in %s' % (name, text, last.show()))
