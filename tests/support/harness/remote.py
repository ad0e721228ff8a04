"""Another server, played by a script: it dials in to the server under test, says what a row says, and
answers where it is called back.

    remote = Remote('remote.example')
    stream = remote.dial(server, 'localhost')       a connection to its s2s port
    stream.open(); stream.prove()                   dialback, with remote answering for its domain
    stream.send("<message from='a@remote.example' to='romeo@localhost'/>")
    remote.expect('<message/>')                     what came to it over a connection of the server's

Nothing is sent that was not asked for, but for what the authoritative and the receiving server of
XEP-0220 say (class _Called).
"""

import hashlib
import hmac
import queue
import secrets
import shutil
import socket
import ssl
import tempfile
import threading
from xml.sax.saxutils import quoteattr

from .ca import Authority
from .case import ServerCase
from .connection import WAIT_S, Connection, Failure
from .element import NS_CLIENT, NS_SASL, NS_STREAM, NS_TLS, NotXML, StreamParser
from .pattern import Pattern

NS_SERVER = 'jabber:server'
NS_DIALBACK = 'jabber:server:dialback'

HEADER = ("<?xml version='1.0'?><stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' "
          "xmlns:stream='http://etherx.jabber.org/streams'%s>")


def header(**attrs):
    given = ''.join(' %s=%s' % (name, quoteattr(value))
                    for name, value in attrs.items() if value is not None)
    return HEADER % given


def as_client(element):
    """Patterns are written in jabber:client, whatever the stream's namespace is."""
    for e in [element, *element.descendants()]:
        if e.ns == NS_SERVER:
            e.ns = NS_CLIENT
    return element


class Stream(Connection):
    """A connection that remote opened. id: of the stream, as the server gave it."""

    def __init__(self, remote, port, to, record=None):
        super().__init__(('127.0.0.1', port), remote.domain, remote.source, remote.ca, record)
        self.remote, self.to, self.id = remote, to, None

    def _read(self, deadline):
        before = len(self.events)
        super()._read(deadline)
        for _, element in list(self.events)[before:]:
            if element is not None:
                as_client(element)

    def begin(self, to=None, sender=None, version='1.0'):
        """Opens a stream and takes the server's header. sender '': no from."""
        self.parser = StreamParser(restarts=True)
        sender = self.remote.domain if sender is None else sender or None
        self.send(header(to=to or self.to, **{'from': sender}, version=version))
        kind, root = self.event()
        if kind != 'open' or not root.is_('stream', NS_STREAM):
            raise Failure('%s expected a stream header, came %s' % (self.name, kind))
        self.id = root.get('id')
        self.root = root

    def open(self, to=None, sender=None, version='1.0'):
        """The same; the features, or None without a version."""
        self.begin(to, sender, version)
        return self.expect('<stream:features/>') if version else None

    def starttls(self, domain=None, context=None):
        self.send("<starttls xmlns='%s'/>" % NS_TLS)
        self.expect('<tls:proceed/>')
        self.handshake(domain or self.to, context=context or self.remote.client_context())

    def claim(self, key=None, sender=None, to=None):
        """<db:result/>: says that it may send from sender to `to`."""
        sender, to = sender or self.remote.domain, to or self.to
        key = self.remote.key(to, sender, self.id) if key is None else key
        self.send("<db:result from='%s' to='%s'>%s</db:result>" % (sender, to, key))

    def prove(self, sender=None, to=None):
        """The same, believed."""
        self.claim(None, sender, to)
        self.expect("<db:result from='%s' to='%s' type='valid'/>"
                    % (to or self.to, sender or self.remote.domain))

    def prove_by_certificate(self, to=None, before=''):
        """STARTTLS and SASL EXTERNAL; before: what it says between the two."""
        self.open(to)
        self.starttls()
        self.open(to)
        self.send(before)
        self.external()
        self.expect('<sasl:success/>')
        return self.open(to)

    def external(self, text='='):
        self.send("<auth xmlns='%s' mechanism='EXTERNAL'>%s</auth>" % (NS_SASL, text))

    def expect_refusal(self, condition, sender=None, to=None):
        self.expect("<db:result from='%s' to='%s' type='error'><error><e:%s/></error></db:result>"
                    % (to or self.to, sender or self.remote.domain, condition))


class _Called(threading.Thread):
    """One connection that the server opened to remote: what a receiving and an authoritative server
    do. Everything else it says is remote's to look at."""

    def __init__(self, remote, sock):
        super().__init__(daemon=True)
        self.remote, self.sock = remote, sock
        self.secure = False
        self.id = secrets.token_hex(8)

    def run(self):
        try:
            self._serve()
        except (OSError, NotXML, ssl.SSLError):
            pass
        finally:
            self.sock.close()

    def _serve(self):
        self.parser = StreamParser(restarts=True)
        if self.remote.answer == 'nothing':
            self.sock.settimeout(None)
            while self.sock.recv(65536):
                pass
            return
        while True:
            data = self.sock.recv(65536)
            if not data:
                return
            parser = self.parser
            for kind, element in parser.feed(data):
                self._take(kind, element)
                if self.parser is not parser:
                    break

    def say(self, text):
        self.sock.sendall(text.encode())

    def _take(self, kind, element):
        if kind == 'open':
            self._greet(element)
        elif kind == 'close':
            self.say('</stream:stream>')
        elif element.is_('starttls', NS_TLS):
            self.say("<proceed xmlns='%s'/>" % NS_TLS)
            self.sock = self.remote.server_context().wrap_socket(self.sock, server_side=True)
            self.secure = True
            self.parser = StreamParser(restarts=True)
        elif element.is_('verify', NS_DIALBACK):
            self._verify(element)
        elif element.is_('result', NS_DIALBACK):
            self._claimed(element)
        elif element is not None and not element.is_('error', NS_STREAM):
            self.remote.came.put(as_client(element))

    def _greet(self, root):
        self.say(header(id=self.id, **{'from': root.get('to')}, to=root.get('from'), version='1.0'))
        if self.remote.answer == 'host-unknown':
            self.say("<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                     "</stream:error></stream:stream>")
            self.sock.shutdown(socket.SHUT_WR)
            return
        starttls = "<starttls xmlns='%s'/>" % NS_TLS if self.remote.certificate and not self.secure else ''
        self.say("<stream:features>%s<dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>"
                 '</stream:features>' % starttls)

    def _claimed(self, element):
        """As the receiving server: whoever claims to be our peer is believed."""
        self.remote.claims.put((self.id, element.get('from'), element.get('to'), element.text().strip()))
        self.say("<db:result from='%s' to='%s' type='valid'/>" % (element.get('to'), element.get('from')))

    def _verify(self, element):
        ours, theirs, number = element.get('to'), element.get('from'), element.get('id')
        answer = self.remote.answer
        if answer == 'close':
            self.sock.shutdown(socket.SHUT_RDWR)
            return
        if answer == 'silence':
            return
        frame = "<db:verify from='%s' to='%s' id='%s' type='%%s'>%%s</db:verify>" % (ours, theirs, number)
        if answer == 'key':
            good = element.text().strip() == self.remote.key(theirs, ours, number)
            self.say(frame % ('valid' if good else 'invalid', ''))
        elif answer in ('valid', 'invalid'):
            self.say(frame % (answer, ''))
        else:
            self.say(frame % ('error', "<error type='cancel'><%s xmlns="
                                       "'urn:ietf:params:xml:ns:xmpp-stanzas'/></error>" % answer))


class Remote:
    """domain: whose server it is; also: further domains of it are nothing but names.
    answer: what it says where it is asked about a key: 'key' (the truth), 'valid', 'invalid', a
    stanza error's condition, or how it fails: 'silence', 'close', 'host-unknown', 'nothing'.
    certificate: a PEM file with its key; None: it has no TLS. ca: whom it trusts."""

    def __init__(self, domain, certificate=None, ca=None, source=None):
        self.domain, self.certificate, self.ca, self.source = domain, certificate, ca, source
        self.secret = secrets.token_hex(8)
        self.answer = 'key'
        self.came = queue.Queue()   # stanzas, over whichever connection
        self.claims = queue.Queue() # (stream id, from, to, key) of each <db:result/>
        self.called = 0             # times that somebody has connected to it
        self.listener = socket.create_server(('127.0.0.1', 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            self.called += 1
            _Called(self, sock).start()

    def key(self, receiving, originating, stream_id):
        """XEP-0185."""
        text = '%s %s %s' % (receiving, originating, stream_id)
        secret = hashlib.sha256(self.secret.encode()).hexdigest()
        return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()

    def client_context(self):
        context = ssl.create_default_context(cafile=self.ca)
        if not self.ca:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if self.certificate:
            context.load_cert_chain(self.certificate)
        return context

    def server_context(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        return context

    def dial(self, server, to='localhost', port=None, record=None):
        return Stream(self, port or server.s2s_port, to, record)

    def expect(self, pattern, exact=False, variables=None):
        """The next stanza that came to it, over whichever connection."""
        if isinstance(pattern, str):
            pattern = Pattern(pattern, exact)
        try:
            element = self.came.get(timeout=WAIT_S)
        except queue.Empty:
            raise Failure('%s: nothing came in %g s' % (self.domain, WAIT_S)) from None
        reason = pattern.why_not(element, {} if variables is None else variables)
        if reason:
            raise Failure('%s expected %s\n  came     %s\n  because  %s'
                          % (self.domain, pattern.root.show(), element.show(), reason))
        return element


# Over the default ones; places: of all remotes.
SETTINGS = '''
listen:
    - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s, starttls: true, starttls_required: true}
    - {port: ${s2s_port}, ip: 127.0.0.1, module: ejabberd_s2s_in}
    - {port: ${s2s_tls_port}, ip: 127.0.0.1, module: ejabberd_s2s_in, tls: true}
s2s_places: {%s}
%s
'''


class RemoteCase(ServerCase):
    """One server for all tests of the class, and the remotes that it can find, which are one
    another's as far as dialback goes."""

    domains = ('remote.example',)   # each is a Remote of that name in self.remotes
    trusted = False                 # they have certificates of an authority that the server trusts
    dead = ()                       # domains whose server cannot be reached
    more = ''                       # settings

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.mkdtemp(prefix='linnet-remotes-')
        cls.authority = Authority(cls.folder) if cls.trusted else None
        cls.remotes = {domain: cls.make_remote(domain) for domain in cls.domains}
        for remote in cls.remotes.values():
            remote.secret = cls.remotes[cls.domains[0]].secret
        with socket.create_server(('127.0.0.1', 0)) as gone:
            dead_port = gone.getsockname()[1]
        ports = {**{d: r.port for d, r in cls.remotes.items()}, **{d: dead_port for d in cls.dead}}
        places = ', '.join('%s: [{host: 127.0.0.1, port: %d}]' % place for place in ports.items())
        cls.settings = SETTINGS % (places, cls.more)
        if cls.trusted:
            cls.settings += 'ca_file: %s\n' % cls.authority.path
        super().setUpClass()

    @classmethod
    def make_remote(cls, domain):
        return Remote(domain, cls.authority.certificate(domain) if cls.trusted else None)

    @classmethod
    def tearDownClass(cls):
        try:
            super().tearDownClass()
        finally:
            for remote in cls.remotes.values():
                remote.close()
            shutil.rmtree(cls.folder, ignore_errors=True)

    def setUp(self):
        self.remote = self.remotes[self.domains[0]]
        for remote in self.remotes.values():
            remote.answer = 'key'
            while not remote.came.empty():
                remote.came.get()

    def dial(self, to='localhost', remote=None, port=None):
        stream = (remote or self.remote).dial(self.server, to, port)
        self.addCleanup(stream.close)
        return stream

    def proven(self, to='localhost', remote=None):
        """A stream that may carry stanzas."""
        stream = self.dial(to, remote)
        stream.open()
        stream.prove()
        return stream

    def client(self, jid='romeo@localhost/orchard'):
        """One that is available."""
        client = self.server.login(jid)
        self.addCleanup(client.close)
        client.send('<presence/>')
        # A message of now comes behind what waited for it; an answer need not.
        self.ids_before(client, "<message to='%s' id='last'/>" % jid)
        return client

    def ids_left(self, client):
        """Of what has come before the answer to a question of now."""
        return self.ids_before(client, "<iq type='get' id='last' to='localhost'>"
                                       "<ping xmlns='urn:xmpp:ping'/></iq>")

    def ids_before(self, client, last):
        client.send(last)
        ids = []
        while True:
            element = client.stanza()
            if element.get('id') == 'last':
                return ids
            ids.append(element.get('id'))
