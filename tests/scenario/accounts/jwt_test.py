#!/usr/bin/python3
"""Accounts of whoever brings a signed token (mod_auth_jwt): tokens by PyJWT, with keys of each kind."""

import base64
import json
import os
import time
import unittest

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from harness import sasl
from harness.case import main
from harness.server import Server

SETTINGS = '''
auth_method: [internal, jwt]
modules:
    mod_offline: {}
    mod_auth_jwt: {jwt_key: '${dir}/keys.jwks', jwt_issuer: 'https://login.example', jwt_audience: xmpp}
'''
SECRET = b'a secret of thirty-two characters'
RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC = ec.generate_private_key(ec.SECP256R1())
STRANGER = ec.generate_private_key(ec.SECP256R1())


def number(n, length=None):
    length = length or (n.bit_length() + 7) // 8
    return base64.urlsafe_b64encode(n.to_bytes(length, 'big')).rstrip(b'=').decode()


def public(key):
    numbers = key.public_key().public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        return {'kty': 'RSA', 'n': number(numbers.n), 'e': number(numbers.e)}
    return {'kty': 'EC', 'crv': 'P-256', 'x': number(numbers.x, 32), 'y': number(numbers.y, 32)}


KEYS = {'keys': [
    {'kty': 'oct', 'kid': 'secret', 'k': base64.urlsafe_b64encode(SECRET).rstrip(b'=').decode()},
    dict(public(RSA), kid='rsa'), dict(public(EC), kid='ec')]}


def token(key=EC, algorithm='ES256', kid=None, **changes):
    claims = {'jid': 'romeo@localhost', 'iss': 'https://login.example', 'aud': 'xmpp',
              'exp': time.time() + 600}
    claims.update(changes)
    return jwt.encode({k: v for k, v in claims.items() if v is not None}, key, algorithm,
                      headers={'kid': kid} if kid else None)


def unsigned():
    parts = [{'alg': 'none'}, {'jid': 'romeo@localhost', 'exp': time.time() + 600,
                               'iss': 'https://login.example', 'aud': 'xmpp'}]
    return '.'.join(base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b'=').decode()
                    for p in parts) + '.'


def changed():
    head, body, signature = token().split('.')
    return '.'.join((head, body, ('A' if signature[0] != 'A' else 'B') + signature[1:]))


def rsa_key_as_secret():
    """RFC 8725 §2.1: the public key, taken for the secret of an HMAC."""
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","kid":"rsa"}').rstrip(b'=').decode()
    return head + '.' + token().split('.')[1] + '.' + number(RSA.public_key().public_numbers().n)


class Tokens(unittest.TestCase):
    def refusal(self, server, user, password):
        """What SASL says to this login; None: it succeeds."""
        client = server.connect(user)
        try:
            client.open('localhost')
            client.starttls('localhost')
            client.open('localhost')
            client.auth('PLAIN', sasl.plain(user, password))
            answer = client.stanza()
            return None if answer.name == 'success' else answer.elements()[0].name
        finally:
            client.close()

    def test_tokens(self):
        server = Server(SETTINGS)
        self.write_keys(server, KEYS)
        with server:
            server.register('own@localhost')
            for what, user, password, expected in (
                    ('RFC 7518 §3.4: ES256', 'romeo', token(), None),
                    ('§3.3: RS256', 'romeo', token(RSA, 'RS256', 'rsa'), None),
                    ('§3.5: PS256', 'romeo', token(RSA, 'PS256', 'rsa'), None),
                    ('§3.2: HS256', 'romeo', token(SECRET, 'HS256', 'secret'), None),
                    ('a part of an address', 'romeo', token(jid='romeo'), None),
                    ('in capitals', 'romeo', token(jid='ROMEO@localhost'), None),
                    ('several audiences', 'romeo', token(aud=['mail', 'xmpp']), None),
                    ("somebody else's", 'juliet', token(), 'not-authorized'),
                    ('of another host', 'romeo', token(jid='romeo@other.example'), 'not-authorized'),
                    ('with a resource', 'romeo', token(jid='romeo@localhost/a'), 'not-authorized'),
                    ('of nobody', 'romeo', token(jid=None), 'not-authorized'),
                    ('RFC 7519 §4.1.1: another issuer', 'romeo', token(iss='https://x.example'),
                     'not-authorized'),
                    ('§4.1.3: another audience', 'romeo', token(aud='mail'), 'not-authorized'),
                    ('§4.1.4: expired', 'romeo', token(exp=time.time() - 60), 'not-authorized'),
                    ('§4.1.4: forever', 'romeo', token(exp=None), 'not-authorized'),
                    ('§4.1.5: not yet', 'romeo', token(nbf=time.time() + 300), 'not-authorized'),
                    ('a key of nobody', 'romeo', token(STRANGER), 'not-authorized'),
                    ('another key than it says', 'romeo', token(EC, 'ES256', 'rsa'), 'not-authorized'),
                    ('RFC 8725 §3.1: without a signature', 'romeo', unsigned(), 'not-authorized'),
                    ('a changed signature', 'romeo', changed(), 'not-authorized'),
                    ('RFC 8725 §2.1', 'romeo', rsa_key_as_secret(), 'not-authorized'),
                    ('no token', 'romeo', 'ey', 'not-authorized'),
                    ('a password of our own', 'own', 'secret of own', None),
                    ('a token for an account of our own', 'own', token(jid='own'), 'not-authorized')):
                with self.subTest(what):
                    self.assertEqual(self.refusal(server, user, password), expected)
            self.bearers(server)
            self.accounts_that_have_come(server)
            self.keys_that_change(server)

    def bearers(self, server):
        """RFC 7628: the token by a mechanism of its own."""
        for what, of, said, expected in (
                ('a good one', 'romeo', token(), 'success'),
                ("somebody else's", 'juliet', token(), 'not-authorized'),
                ('an old one', 'romeo', token(exp=time.time() - 60), 'not-authorized')):
            with self.subTest(what):
                client = server.connect(of)
                client.open('localhost')
                client.starttls('localhost')
                client.open('localhost')
                self.assertIn('OAUTHBEARER', client.mechanisms())
                client.auth('OAUTHBEARER', sasl.encode(
                    ('n,a=%s@localhost,\1auth=Bearer %s\1\1' % (of, said)).encode()))
                answer = client.stanza()
                if answer.name == 'challenge':
                    self.assertEqual(json.loads(base64.b64decode(answer.text()))['status'], 'invalid_token')
                    client.send("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>AQ==</response>")
                    answer = client.stanza().elements()[0]
                self.assertEqual(answer.name, expected)
                client.close()

    def write_keys(self, server, keys):
        with open(os.path.join(server.dir, 'next.jwks'), 'w', encoding='ascii') as f:
            json.dump(keys, f)
        os.rename(f.name, os.path.join(server.dir, 'keys.jwks'))

    def keys_that_change(self, server):
        self.write_keys(server, {'keys': 'none'})
        self.assertEqual(self.refusal(server, 'romeo', token(STRANGER)), 'not-authorized')
        self.assertIsNone(self.refusal(server, 'romeo', token()))
        self.write_keys(server, dict(public(STRANGER)))
        self.assertIsNone(self.refusal(server, 'romeo', token(STRANGER)))
        self.assertEqual(self.refusal(server, 'romeo', token()), 'not-authorized')

    def accounts_that_have_come(self, server):
        """Messages are kept for those who have come once, and for nobody else."""
        self.assertEqual([row['user'] for row in server.control('accounts', host='localhost')],
                         ['own', 'romeo'])
        own = server.login('own@localhost/here')
        own.send("<message to='romeo@localhost' type='chat'><body>kept</body></message>")
        own.send("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        own.expect("<iq type='result' id='p'/>")
        romeo = server.login('romeo@localhost/there', token(), 'PLAIN')
        romeo.send('<presence/>')
        romeo.expect('<presence/>')
        romeo.expect('<message><body>kept</body></message>')


if __name__ == '__main__':
    main()
