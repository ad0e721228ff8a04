"""One TCP connection to the server: bytes, TLS, and what a client does until it has a resource.

Everything blocks, with a deadline. Nothing is sent that was not asked for, no answer is made up:
tests see what a server does, not what a library makes of it.
"""

import collections
import hashlib
import os
import socket
import ssl
import time

from . import sasl
from .element import NS_BIND, NS_SASL, NS_STREAM, NS_TLS, NotXML, StreamParser
from .pattern import Pattern

WAIT_S = float(os.environ.get('PLAY_WAIT_S', '10'))

HEADER = ("<?xml version='1.0'?><stream:stream xmlns='jabber:client' "
          "xmlns:stream='http://etherx.jabber.org/streams' to='%s' version='1.0'>")


NS_COMPONENT = 'jabber:component:accept'


class Failure(Exception):
    """The server did not do what was expected of it."""


class Connection:
    """address: (ip, port). source: the local address to come from. ca: file of trusted
    certificates. record: called with (name, '->' or '<-', text) for the transcript."""

    def __init__(self, address, name='client', source=None, ca=None, record=None):
        self.name, self.ca = name, ca
        self.record = record or (lambda *_: None)
        self.sock = socket.create_connection(
            address, timeout=WAIT_S, source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser = StreamParser(restarts=True)
        self.events = collections.deque()
        self.ended = False      # the peer closed its end
        self.features = None    # the last <stream:features/>
        self.jid = None         # full, once bound
        self.last = None        # the last element taken

    # Bytes.

    def send(self, data):
        if isinstance(data, str):
            data = data.encode()
        self.record(self.name, '->', data.decode(errors='backslashreplace'))
        self.sock.settimeout(WAIT_S)
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass    # what the server said before it closed is still to be read
        except TimeoutError as e:
            raise Failure('%s: the server takes no more bytes' % self.name) from e

    def _read(self, deadline):
        """More events, or the end. Fails at the deadline."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise Failure('%s: nothing came in %g s' % (self.name, WAIT_S))
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        except TimeoutError:
            return
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            data = b''
        except ssl.SSLError as e:
            raise Failure('%s: TLS: %s' % (self.name, e)) from e
        if not data:
            self.ended = True
            return
        self.record(self.name, '<-', data.decode(errors='backslashreplace'))
        try:
            self.events.extend(self.parser.feed(data))
        except NotXML as e:
            raise Failure('%s: the server sent %s' % (self.name, e)) from e

    def event(self, wait_s=None):
        """The next ('open'|'stanza'|'close'|'end', element)."""
        deadline = time.monotonic() + (WAIT_S if wait_s is None else wait_s)
        while not self.events:
            if self.ended:
                return 'end', None
            self._read(deadline)
        kind, element = self.events.popleft()
        if element is not None:
            self.last = element
            if element.is_('features', NS_STREAM):
                self.features = element
        return kind, element

    def stanza(self):
        """The next element; what is not one fails."""
        kind, element = self.event()
        if kind in ('close', 'end'):
            raise Failure('%s: expected more, the stream was closed' % self.name)
        return element

    def expect(self, pattern, exact=False, variables=None):
        """The next element, which must match."""
        if isinstance(pattern, str):
            pattern = Pattern(pattern, exact)
        element = self.stanza()
        reason = pattern.why_not(element, {} if variables is None else variables)
        if reason:
            raise Failure('%s expected %s\n  came     %s\n  because  %s'
                          % (self.name, pattern.root.show(), element.show(), reason))
        return element

    def expect_close(self):
        """RFC 6120 §4.4: the closing tag, then the end of the connection."""
        kind, element = self.event()
        if kind != 'close':
            raise Failure('%s expected </stream:stream>, came %s'
                          % (self.name, element.show() if element is not None else 'the end'))
        self.expect_end()

    def expect_end(self):
        kind, element = self.event()
        if kind != 'end':
            raise Failure('%s expected the end of the connection, came %s'
                          % (self.name, element.show() if element is not None else kind))

    def expect_stream_error(self, *conditions):
        """RFC 6120 §4.9.1.1: the error, the closing tag, the end."""
        got = self.stanza()
        names = [c.name for c in got.elements() if c.ns == 'urn:ietf:params:xml:ns:xmpp-streams']
        if not got.is_('error', NS_STREAM) or not names or names[0] not in conditions:
            raise Failure('%s expected the stream error %s, came %s'
                          % (self.name, ' or '.join(conditions), got.show()))
        self.expect_close()

    def wait_for_end(self):
        """Lets everything pass until the connection ends; the elements that came."""
        came = []
        while True:
            kind, element = self.event()
            if kind == 'end':
                return came
            if element is not None:
                came.append(element)

    def close(self):
        """Ends the connection without a word."""
        self.sock.close()

    # TLS.

    def context(self, alpn=None):
        context = ssl.create_default_context(cafile=self.ca)
        if not self.ca:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols([alpn])
        return context

    def handshake(self, name=None, alpn=None, context=None):
        """TLS from here on. name: of the server, for SNI and against its certificate."""
        context = context or self.context(alpn)
        if not name:
            context.check_hostname = False
        self.sock.settimeout(WAIT_S)
        try:
            self.sock = context.wrap_socket(self.sock, server_hostname=name)
        except (OSError, ssl.SSLError) as e:
            raise Failure('%s: no TLS: %s' % (self.name, e)) from e
        self.parser = StreamParser(restarts=True)
        self.record(self.name, '--', 'TLS %s %s' % (self.sock.version(), self.sock.cipher()[0]))

    def encrypted(self):
        return isinstance(self.sock, ssl.SSLSocket)

    def end_point(self):
        """RFC 5929 §4 channel binding data, for certificates signed with SHA-256."""
        return hashlib.sha256(self.sock.getpeercert(binary_form=True)).digest()

    # What a client does, RFC 6120 §4 to §7.

    def open(self, domain, sender=None):
        """Opens a stream and takes the server's header and features. sender: the header's from."""
        self.parser = StreamParser(restarts=True)
        header = HEADER % domain
        self.send(header.replace(' to=', " from='%s' to=" % sender) if sender else header)
        kind, root = self.event()
        if kind != 'open' or not root.is_('stream', NS_STREAM):
            raise Failure('%s expected a stream header, came %s' % (self.name, kind))
        return self.expect('<stream:features/>')

    def starttls(self, domain):
        self.send("<starttls xmlns='%s'/>" % NS_TLS)
        self.expect('<tls:proceed/>')
        self.handshake(domain)

    def mechanisms(self):
        offered = self.features.child('mechanisms', NS_SASL)
        return [m.text() for m in offered.elements()] if offered is not None else []

    def authenticate(self, user, password, mechanism=None):
        """Logs in and opens nothing: the caller opens the next stream."""
        if not mechanism:
            mechanism = next((m for m in ('SCRAM-SHA-256', 'SCRAM-SHA-1', 'PLAIN')
                              if m in self.mechanisms()), None)
        if not mechanism:
            raise Failure('%s: no mechanism to log in with' % self.name)
        if mechanism.startswith('SCRAM-'):
            binding = None
            if mechanism.endswith('-PLUS'):
                binding = 'tls-server-end-point', self.end_point()
            scram = sasl.Scram(mechanism, user, password, binding)
            self.auth(mechanism, scram.first())
            challenge = self.expect('<sasl:challenge/>')
            self.send("<response xmlns='%s'>%s</response>" % (NS_SASL, scram.final(challenge.text())))
            scram.check(self.expect('<sasl:success/>').text())
        else:
            if mechanism == 'PLAIN':
                self.auth(mechanism, sasl.plain(user, password))
            else:
                self.auth(mechanism, '=')
            self.expect('<sasl:success/>')

    def auth(self, mechanism, initial=None):
        self.send("<auth xmlns='%s' mechanism='%s'>%s</auth>" % (NS_SASL, mechanism, initial or ''))

    def bind(self, resource=None):
        inner = '<resource>%s</resource>' % resource if resource else ''
        self.send("<iq type='set' id='bind'><bind xmlns='%s'>%s</bind></iq>" % (NS_BIND, inner))
        answer = self.expect("<iq type='result' id='bind'><bind:bind><bind:jid>*</bind:jid>"
                             "</bind:bind></iq>")
        self.jid = answer.child('bind', NS_BIND).child('jid', NS_BIND).text()
        return self.jid

    def login(self, jid, password, mechanism=None, tls='starttls'):
        """All of it. tls: 'starttls', 'direct' or 'none'."""
        bare, _, resource = jid.partition('/')
        user, _, domain = bare.rpartition('@')
        if tls == 'direct':
            self.handshake(domain, alpn='xmpp-client')
        self.open(domain)
        if tls == 'starttls':
            self.starttls(domain)
            self.open(domain)
        self.authenticate(user, password, mechanism)
        self.open(domain)
        return self.bind(resource or None)

    # What a component does, XEP-0114.

    def open_component(self, domain):
        """Opens a stream and takes the server's header; its id."""
        self.parser = StreamParser(content=NS_COMPONENT)
        self.send("<stream:stream xmlns='%s' xmlns:stream='%s' to='%s'>" % (NS_COMPONENT, NS_STREAM, domain))
        kind, root = self.event()
        if kind != 'open' or not root.is_('stream', NS_STREAM):
            raise Failure('%s expected a stream header, came %s' % (self.name, kind))
        return root.get('id')

    def serve(self, domain, secret):
        """All of it: from here on the stanzas for the domain come here."""
        self.shake_hands(self.open_component(domain), secret)
        self.expect('<handshake/>', exact=True)
        self.jid = domain

    def shake_hands(self, stream_id, secret):
        digest = hashlib.sha1((stream_id + secret).encode()).hexdigest()
        self.send('<handshake>%s</handshake>' % digest)
