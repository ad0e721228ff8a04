"""Another server that the server under test calls, played step by step by the test.

    callee = Callee('remote.example')
    settings: s2s_places: {remote.example: [{host: 127.0.0.1, port: %d}]} % callee.port
    romeo.send("<message to='a@remote.example'/>")
    link = callee.accept()          the connection that came
    link.greet()                    takes its header; answers with one, and with features
    link.validate()                 takes its key and calls it valid, whatever it is
    link.expect("<message to='a@remote.example'/>")

Nothing is said that was not asked for, so a test may leave out, or get wrong, whatever it likes.
"""

import secrets
import socket
import ssl
from collections import deque
from xml.sax.saxutils import quoteattr

from .case import ServerCase
from .connection import WAIT_S, Connection, Failure
from .element import NS_CLIENT, NS_STREAM, NS_TLS, StreamParser

NS_SERVER = 'jabber:server'
NS_DIALBACK = 'jabber:server:dialback'
NS_SASL = 'urn:ietf:params:xml:ns:xmpp-sasl'
NS_SM = 'urn:xmpp:sm:3'
STARTTLS = "<starttls xmlns='%s'/>" % NS_TLS
REQUIRED = "<starttls xmlns='%s'><required/></starttls>" % NS_TLS
DIALBACK = "<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>"
EXTERNAL = "<mechanisms xmlns='%s'><mechanism>EXTERNAL</mechanism></mechanisms>" % NS_SASL
SM = "<sm xmlns='%s'/>" % NS_SM


class Link(Connection):
    """One connection that the server under test opened."""

    def __init__(self, sock, callee, record=None):  # pylint: disable=super-init-not-called
        self.name, self.callee, self.sock = callee.domain, callee, sock
        self.ca = None
        self.record = record or (lambda *_: None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.parser = StreamParser(restarts=True)
        self.events = deque()
        self.ended = False
        self.features = self.jid = self.last = None
        self.id = None
        self.root = None

    def _read(self, deadline):
        before = len(self.events)
        super()._read(deadline)
        for _, element in list(self.events)[before:]:
            for e in [element, *element.descendants()] if element is not None else ():
                if e.ns == NS_SERVER:       # patterns are written in jabber:client
                    e.ns = NS_CLIENT

    def header(self):
        """Takes the stream header that comes."""
        kind, self.root = self.event()
        if kind != 'open' or not self.root.is_('stream', NS_STREAM):
            raise Failure('%s expected a stream header, came %s' % (self.name, kind))
        return self.root

    def greet(self, features=DIALBACK, version='1.0', **attrs):
        """features None: none are sent. attrs: of the header, where others are wanted."""
        root = self.header()
        self.id = secrets.token_hex(8)
        given = {'id': self.id, 'from': root.get('to'), 'to': root.get('from'), 'version': version}
        given.update((name.rstrip('_'), value) for name, value in attrs.items())
        text = ''.join(' %s=%s' % (name, quoteattr(value))
                       for name, value in given.items() if value is not None)
        self.send("<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='%s' "
                  "xmlns:stream='http://etherx.jabber.org/streams'%s>" % (NS_DIALBACK, text))
        if features is not None:
            self.send('<stream:features>%s</stream:features>' % features)
        return root

    def serve_tls(self, certificate, ca=None):
        """Its side of a handshake. ca: whose client certificates it asks for; None: nobody's."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.set_alpn_protocols(['xmpp-server'])
        if ca:
            context.load_verify_locations(ca)
            context.verify_mode = ssl.CERT_OPTIONAL
        self.sock.settimeout(WAIT_S)
        self.sock = context.wrap_socket(self.sock, server_side=True)
        self.parser = StreamParser(restarts=True)

    def starttls(self, certificate, ca=None):
        self.expect("<tls:starttls/>")
        self.send("<proceed xmlns='%s'/>" % NS_TLS)
        self.serve_tls(certificate, ca)

    def succeed(self):
        """SASL is through: what follows is a new stream."""
        self.parser = StreamParser(restarts=True)
        self.send("<success xmlns='%s'/>" % NS_SASL)

    def key(self):
        """Takes the key of dialback that comes: its text."""
        element = self.stanza()
        if not element.is_('result', NS_DIALBACK):
            raise Failure('%s expected a key, came %s' % (self.name, element.show()))
        return element.text().strip()

    def judge(self, verdict, inner=''):
        self.send("<db:result from='%s' to='%s' type='%s'>%s</db:result>"
                  % (self.root.get('to'), self.root.get('from'), verdict, inner))

    def validate(self):
        self.key()
        self.judge('valid')

    def serve(self):
        """All that a server without TLS does until stanzas come."""
        self.greet()
        self.validate()
        return self


class Callee:
    def __init__(self, domain='remote.example', address='127.0.0.1'):
        self.domain = domain
        family = socket.AF_INET6 if ':' in address else socket.AF_INET
        self.listener = socket.create_server((address, 0), family=family)
        self.address = address
        self.port = self.listener.getsockname()[1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.listener.close()

    def accept(self, record=None):
        self.listener.settimeout(WAIT_S)
        try:
            sock, _ = self.listener.accept()
        except TimeoutError:
            raise Failure('%s: nobody called in %g s' % (self.domain, WAIT_S)) from None
        return Link(sock, self, record)

    def place(self, tls=False):
        """A line for s2s_places."""
        return '{host: "%s", port: %d, tls: %s}' % (self.address, self.port, str(tls).lower())


class CalleeCase(ServerCase):
    """Each test has a server to call of its own, with the test's name, so that none meets what another
    has left behind: self.domain, self.callee."""

    begins, over = '', ''       # settings, of the case and of a class of it

    @classmethod
    def setUpClass(cls):
        cls.names = [cls.domain_of(n) for n in dir(cls) if n.startswith('test_')]
        cls.callees = {name: Callee(name) for name in cls.names}
        cls.settings = cls.begins + cls.over + 's2s_places:\n' + ''.join(
            '  %s: [%s]\n' % (n, cls.places_of(n)) for n in cls.names)
        super().setUpClass()

    @classmethod
    def places_of(cls, name):
        return cls.callees[name].place()

    @classmethod
    def tearDownClass(cls):
        for callee in cls.callees.values():
            callee.close()
        super().tearDownClass()

    @staticmethod
    def domain_of(test):
        return test[5:].replace('_', '-') + '.example'

    def setUp(self):
        self.domain = self.domain_of(self._testMethodName)
        self.callee = self.callees[self.domain]
