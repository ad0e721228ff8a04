"""A client's half of XEP-0388 and what comes inline with it: tokens (XEP-0484), upgrade tasks
(XEP-0480)."""

import base64
import hashlib
import hmac
import html
import uuid

from . import sasl
from .connection import Connection, Failure
from .element import NS_BIND2, NS_FAST, NS_SASL2

NS_UPGRADE = 'urn:xmpp:sasl:upgrade:0'
NS_SCRAM_UPGRADE = 'urn:xmpp:scram-upgrade:0'


def encode(data):
    return base64.b64encode(data).decode()


def proof(token, side, binding=b''):
    return hmac.new(token.encode(), side + binding, 'sha256').digest()


class Client:
    """An installation of a client: an id, a password, perhaps a token."""

    def __init__(self, server, user, password, device=None, version=None):
        self.server, self.user, self.password = server, user, password
        self.id, self.device, self.version = str(uuid.uuid4()), device, version
        self.token = self.token_mechanism = None
        self.count = 0

    def connect(self, sender=True):
        """A stream over TLS, its features read."""
        c = Connection(('127.0.0.1', self.server.tls_port), self.user,
                       ca=self.server.path('ca.pem'))
        context = c.context('xmpp-client')
        if self.version:
            context.maximum_version = self.version
        c.handshake('localhost', context=context)
        c.open('localhost', '%s@localhost' % self.user if sender else None)
        return c

    def agent(self):
        return "<user-agent id='%s'><software>Test &amp; co</software>%s</user-agent>" % (
            self.id, '<device>%s</device>' % html.escape(self.device) if self.device else '')

    def binding(self, c, mechanism):
        """What the token's proof covers."""
        kind = mechanism[-4:]
        if kind == 'ENDP':
            return c.end_point()
        if kind == 'UNIQ':
            return c.sock.get_channel_binding('tls-unique')
        return b''

    def authenticate(self, c, mechanism, initial, inline='', agent=True):
        c.send("<authenticate xmlns='%s' mechanism='%s'><initial-response>%s</initial-response>%s%s"
               "</authenticate>" % (NS_SASL2, mechanism, initial, self.agent() if agent else '',
                                    inline))

    def finish(self, c):
        """<success/>, with features behind it; keeps the token that may be in it."""
        success = c.stanza()
        if not success.is_('success', NS_SASL2):
            return success
        token = success.child('token', NS_FAST)
        if token is not None:
            self.token, self.count = token.attrs['token'], 0
        c.expect('<stream:features/>')
        return success

    def by_password(self, inline='', mechanism='SCRAM-SHA-256', c=None):
        """(connection, what came): SCRAM, up to what follows the mechanism."""
        c = c or self.connect()
        if mechanism == 'PLAIN':
            self.authenticate(c, mechanism, sasl.plain(self.user, self.password), inline)
            return c, self.finish(c)
        scram = sasl.Scram(mechanism, self.user, self.password)
        self.authenticate(c, mechanism, scram.first(), inline)
        challenge = c.stanza()
        if not challenge.is_('challenge', NS_SASL2):
            return c, challenge
        c.send("<response xmlns='%s'>%s</response>" % (NS_SASL2, scram.final(challenge.text())))
        came = self.finish(c)
        said = came.child('additional-data', NS_SASL2)
        if said is not None:
            scram.check(said.text())
        return c, came

    def want_token(self, mechanism='HT-SHA-256-NONE'):
        self.token_mechanism = mechanism
        return "<request-token xmlns='%s' mechanism='%s'/>" % (NS_FAST, mechanism)

    def by_token(self, inline='', fast='', mechanism=None, token=None, agent=True, user=None):
        """(connection, what came)."""
        c = self.connect()
        mechanism = mechanism or self.token_mechanism
        token = token or self.token
        binding = self.binding(c, mechanism)
        message = (user or self.user).encode() + b'\0' + proof(token, b'Initiator', binding)
        self.authenticate(c, mechanism, encode(message),
                          "<fast xmlns='%s'%s/>%s" % (NS_FAST, fast, inline), agent)
        came = self.finish(c)
        if came.is_('success', NS_SASL2):
            said = came.child('additional-data', NS_SASL2)
            if said is None or said.text() != encode(proof(token, b'Responder', binding)):
                raise Failure('the server has not shown that it knows the token: ' + came.show())
        return c, came


def bind(tag=None):
    return "<bind xmlns='%s'>%s</bind>" % (NS_BIND2, '<tag>%s</tag>' % tag if tag else '')


def hash_of(kind, password, salt, rounds):
    """The salted password that XEP-0480 §3 wants."""
    return encode(hashlib.pbkdf2_hmac(kind, password.encode(), base64.b64decode(salt), rounds))
