#!/usr/bin/python3
"""Accounts that an operator brings from elsewhere, as passwords or as verifiers."""

import base64
import hashlib
import hmac
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.console import FAILED, ConsoleCase, main  # noqa: E402


def verifier(password, rounds=4096):
    """RFC 5803, of SCRAM-SHA-1."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac('sha1', password.encode(), salt, rounds)
    stored = hashlib.sha1(hmac.digest(salted, b'Client Key', 'sha1')).digest()
    server = hmac.digest(salted, b'Server Key', 'sha1')
    text = [base64.b64encode(part).decode() for part in (salt, stored, server)]
    return 'SCRAM-SHA-1$%d:%s$%s:%s' % (rounds, *text)


class Imported(ConsoleCase):
    over = 'host_config:\n    other.example: {auth_password_format: plain}'

    def bring(self, host, *lines):
        path = self.server.path('accounts')
        with open(path, 'w', encoding='utf-8') as f:
            f.writelines(line + '\n' for line in lines)
        answer = self.ctl.json('accounts-import', host, path)
        return [answer[key] for key in ('imported', 'existed', 'refused', 'first_refused_line')]

    def database(self):
        parts = []
        for end in '', '-wal':
            with open(self.server.path('linnet.db' + end), 'rb') as f:
                parts.append(f.read())
        return b''.join(parts)

    def test_log_in(self):
        self.server.register('juliet@localhost')
        self.assertEqual(self.bring(
            'localhost', '# theirs', 'romeo:mon:tague', 'juliet:x', '', 'no password', 'a b:x',
            'Tybalt:' + verifier('capulet'), 'paris:' + 'x' * 9000, 'nurse:\x07'), [2, 1, 4, 5])
        self.server.login('romeo@localhost', 'mon:tague', 'SCRAM-SHA-256').close()
        self.server.login('tybalt@localhost', 'capulet', 'SCRAM-SHA-1').close()
        self.server.login('tybalt@localhost', 'capulet', 'PLAIN').close()
        self.server.login('juliet@localhost').close()
        self.assertIn('No such file', self.refused(FAILED, 'accounts-import', 'localhost', '/nowhere'))

    def test_passwords_stay_until_a_login(self):
        names = ['user%03d' % n for n in range(450)]
        self.assertEqual(self.bring('other.example', *('%s:secret of %s' % (n, n) for n in names)),
                         [450, 0, 0, 0])
        self.assertIn(b'secret of user007', self.database())
        self.assertEqual(self.bring('other.example', *('%s:x' % n for n in names)), [0, 450, 0, 0])
        self.server.login('user007@other.example', mechanism='SCRAM-SHA-512').close()
        self.server.login('user008@other.example', mechanism='PLAIN').close()
        self.server.login('user007@other.example', mechanism='SCRAM-SHA-1').close()
        self.assertEqual(len(self.ctl.json('accounts', 'other.example')), 450)


if __name__ == '__main__':
    main()
