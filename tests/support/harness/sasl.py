"""The client's half of the SASL mechanisms: RFC 4616 (PLAIN), RFC 5802 and 7677 (SCRAM, with
channel binding), RFC 4505 (ANONYMOUS)."""

import base64
import hashlib
import hmac
import os


def encode(data):
    return base64.b64encode(data).decode() if data else '='


def plain(user, password, authzid=''):
    return encode(('%s\0%s\0%s' % (authzid, user, password)).encode())


class ScramError(Exception):
    """The server's half does not prove what it must."""


class Scram:
    """One exchange. first() is the initial response, final() answers the challenge, check()
    verifies the server's signature. binding: (type, bytes) for -PLUS. offers_plus: whether the
    server offered a -PLUS that this client could have taken: then 'n' instead of 'y' is sent."""

    def __init__(self, mechanism, user, password, binding=None, flag=None, authzid=None):
        name = mechanism.removeprefix('SCRAM-').removesuffix('-PLUS')
        self.hash = {'SHA-1': 'sha1', 'SHA-256': 'sha256', 'SHA-512': 'sha512'}[name]
        self.user, self.password = user, password
        self.nonce = base64.b64encode(os.urandom(18)).decode()
        if flag is None:
            flag = 'p=' + binding[0] if binding else 'n'
        self.header = '%s,%s,' % (flag, 'a=' + authzid if authzid else '')
        self.binding = binding[1] if binding else b''

    def first(self):
        user = self.user.replace('=', '=3D').replace(',', '=2C')
        self.bare = 'n=%s,r=%s' % (user, self.nonce)
        return encode((self.header + self.bare).encode())

    def final(self, challenge, password=None):
        challenge = base64.b64decode(challenge).decode()
        fields = dict(f.split('=', 1) for f in challenge.split(','))
        if not fields['r'].startswith(self.nonce) or fields['r'] == self.nonce:
            raise ScramError('the nonce %r does not extend %r' % (fields['r'], self.nonce))
        salt, rounds = base64.b64decode(fields['s']), int(fields['i'])
        salted = hashlib.pbkdf2_hmac(self.hash, (password or self.password).encode(), salt, rounds)
        bound = base64.b64encode(self.header.encode() + self.binding).decode()
        without = 'c=%s,r=%s' % (bound, fields['r'])
        message = ','.join((self.bare, challenge, without)).encode()
        client_key = self._hmac(salted, b'Client Key')
        stored = hashlib.new(self.hash, client_key).digest()
        signature = self._hmac(stored, message)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self.server = self._hmac(self._hmac(salted, b'Server Key'), message)
        return encode(('%s,p=%s' % (without, base64.b64encode(proof).decode())).encode())

    def check(self, success):
        got = base64.b64decode(success).decode()
        want = 'v=' + base64.b64encode(self.server).decode()
        if got != want:
            raise ScramError('the server signed %r, expected %r' % (got, want))

    def _hmac(self, key, data):
        return hmac.new(key, data, self.hash).digest()
