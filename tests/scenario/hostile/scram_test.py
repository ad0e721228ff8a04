#!/usr/bin/python3
"""SCRAM exchanges that are not quite right: RFC 5802, RFC 7677, XEP-0474's threats aside."""

import base64
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness import sasl                    # noqa: E402
from harness.case import ServerCase, main   # noqa: E402
from harness.element import NS_SASL         # noqa: E402
from harness.server import password_of      # noqa: E402

PASSWORD = password_of('romeo@localhost')


def changed(response, **fields):
    """A client-final-message with some fields replaced."""
    parts = [p.split('=', 1) for p in base64.b64decode(response).decode().split(',')]
    return sasl.encode(','.join('%s=%s' % (k, fields.get(k, v)) for k, v in parts).encode())


class Scram(ServerCase):
    settings = 'auth_fail_limit: 1000'

    def stream(self):
        client = self.server.connect()
        client.open('localhost')
        client.starttls('localhost')
        client.open('localhost')
        return client

    def exchange(self, change=lambda text: text, mechanism='SCRAM-SHA-256', user='romeo',
                 password=PASSWORD, bound=None, **how):
        client = self.stream()
        binding = None
        if mechanism.endswith('-PLUS'):
            binding = 'tls-server-end-point', bound or client.end_point()
        scram = sasl.Scram(mechanism, user, password, binding, **how)
        client.auth(mechanism, scram.first())
        answer = client.stanza()
        if answer.name == 'challenge':
            client.send("<response xmlns='%s'>%s</response>"
                        % (NS_SASL, change(scram.final(answer.text()))))
            answer = client.stanza()
        if answer.name == 'success':
            scram.check(answer.text())
        client.close()
        self.assert_serves()
        return answer

    def assert_fails(self, *conditions, **how):
        answer = self.exchange(**how)
        self.assertEqual(answer.name, 'failure', answer.show())
        if conditions:
            self.assertIn(answer.elements()[0].name, conditions)

    def test_all_mechanisms_work_as_they_should(self):
        """RFC 5802 §5, RFC 7677: what the others are variations of."""
        for mechanism in ('SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512'):
            for plus in ('', '-PLUS'):
                with self.subTest(mechanism + plus):
                    self.assertEqual(self.exchange(mechanism=mechanism + plus).name, 'success')

    def test_wrong_password(self):
        """RFC 6120 §6.5.10."""
        self.assert_fails('not-authorized', password='wrong')
        self.assert_fails('not-authorized', user='nobody')

    def test_wrong_proof(self):
        """RFC 6120 §6.5.10, RFC 5802 §3."""
        self.assert_fails('not-authorized', change=lambda r: changed(
            r, p=base64.b64encode(bytes(32)).decode()))
        for proof in ('', 'AAAA', '!', base64.b64encode(bytes(200)).decode()):
            self.assert_fails(change=lambda r, p=proof: changed(r, p=p))

    def test_wrong_nonce(self):
        """RFC 5802 §5.1: the nonce must be the one agreed upon."""
        self.assert_fails(change=lambda r: changed(r, r='another'))
        self.assert_fails(change=lambda r: changed(r, r=''))

    def test_wrong_binding_flag(self):
        """RFC 5802 §6: the header that was signed is not the one that was sent."""
        self.assert_fails(change=lambda r: changed(r, c=base64.b64encode(b'y,,').decode()))
        self.assert_fails(change=lambda r: changed(r, c='!!!!'))

    def test_binding_of_another_channel(self):
        """RFC 5802 §6: a man in the middle has another certificate."""
        self.assert_fails(mechanism='SCRAM-SHA-256-PLUS', bound=bytes(32))

    def test_downgrade(self):
        """RFC 5802 §6: 'y' says that the client saw no -PLUS, but one was offered."""
        self.assert_fails(flag='y')

    def test_unknown_binding(self):
        """RFC 5802 §6: a kind of channel binding that nobody knows."""
        client = self.stream()
        client.auth('SCRAM-SHA-256-PLUS', sasl.encode(b'p=tls-nonsense,,n=romeo,r=abcdef'))
        self.assertEqual(client.stanza().name, 'failure')
        client.close()

    def test_binding_with_a_mechanism_that_has_none(self):
        """RFC 5802 §6: p= needs a mechanism whose name ends in -PLUS."""
        client = self.stream()
        client.auth('SCRAM-SHA-256', sasl.encode(b'p=tls-server-end-point,,n=romeo,r=abcdef'))
        self.assertEqual(client.stanza().name, 'failure')
        client.close()

    def test_other_authorization(self):
        """RFC 6120 §6.5.6."""
        self.assert_fails('invalid-authzid', authzid='juliet@localhost')
        self.assertEqual(self.exchange(authzid='romeo@localhost').name, 'success')

    def test_unknown_accounts_cannot_be_told_by_their_challenge(self):
        """The same salt each time, as long as a true one, and as many rounds (RFC 5802 §9)."""
        seen = {}
        for user in ('romeo', 'nobody', 'nobody', 'romeo'):
            client = self.stream()
            scram = sasl.Scram('SCRAM-SHA-256', user, 'x')
            client.auth('SCRAM-SHA-256', scram.first())
            challenge = base64.b64decode(client.expect('<sasl:challenge/>').text()).decode()
            fields = dict(f.split('=', 1) for f in challenge.split(','))
            seen.setdefault(user, []).append((fields['s'], fields['i']))
            client.close()
        for user, challenges in seen.items():
            self.assertEqual(challenges[0], challenges[1], user)
        (salt, rounds), (false_salt, false_rounds) = seen['romeo'][0], seen['nobody'][0]
        self.assertEqual(len(salt), len(false_salt))
        self.assertEqual(rounds, false_rounds)
        self.assertNotEqual(salt, false_salt)



if __name__ == '__main__':
    main()
