#!/usr/bin/python3
"""Accounts in tables that somebody else keeps: hashes of crypt(3), SCRAM verifiers, and passwords as
they are. The server reads them and never writes."""

import base64
import ctypes
import hashlib
import hmac
import os
import sqlite3
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness import sasl                                        # noqa: E402
from harness.connection import WAIT_S                           # noqa: E402
from harness.console import FAILED, Console, ConsoleCase, main  # noqa: E402
from harness.element import NS_SASL                             # noqa: E402
from harness.server import Server                               # noqa: E402

TABLES = '''
CREATE TABLE members (login TEXT PRIMARY KEY, password TEXT, active INTEGER);
CREATE TABLE users (username TEXT, server_host TEXT, password TEXT, serverkey TEXT, salt TEXT,
	iterationcount INTEGER);
CREATE TABLE people (name TEXT, secret TEXT);
'''


def crypt(password, setting):
    """As crypt(3) makes it; Python's module of that name goes."""
    lib = ctypes.CDLL('libcrypt.so.1')
    lib.crypt.restype = ctypes.c_char_p
    return lib.crypt(password.encode(), setting.encode()).decode()


def scram(password, name, rounds=4096):
    """(stored key, server key, salt), in base64."""
    salt = os.urandom(16)
    salted = hashlib.pbkdf2_hmac(name, password.encode(), salt, rounds)
    client = hmac.digest(salted, b'Client Key', name)
    keys = hashlib.new(name, client).digest(), hmac.digest(salted, b'Server Key', name), salt
    return [base64.b64encode(key).decode() for key in keys]


class Tables(ConsoleCase):
    """One host for each way to keep passwords."""

    hosts = {
        'crypt': 'database: {path: %(db)s}, password_query: '
                 '"SELECT password FROM members WHERE login = %%u AND active = 1", '
                 'exists_query: "SELECT 1 FROM members WHERE login = %%u", '
                 'list_query: "SELECT login FROM members WHERE login > %%a ORDER BY login LIMIT %%n", '
                 'count_query: "SELECT count(*) FROM members"',
        'scram': 'database: %(db)s, password_format: scram, password_query: '
                 '"SELECT password, serverkey, salt, iterationcount FROM users '
                 'WHERE username = %%u AND server_host = %%d"',
        'plain': 'database: %(db)s, password_format: plain, auth_scram_hash: sha256, '
                 'password_query: "SELECT secret FROM people WHERE name = %%u"',
    }

    def setUp(self):
        hosts = ['%s.example' % name for name in self.hosts]
        config = ''.join(
            '    %s.example:\n        auth_method: [internal, sql]\n        modules:\n'
            '            mod_auth_internal: {}\n            mod_offline: {}\n            mod_ping: {}\n'
            '            mod_auth_sql: {%s}\n'
            % (name, options % {'db': '${dir}/theirs.db'}) for name, options in self.hosts.items())
        self.server = Server('hosts: [localhost, %s]\nauth_fail_limit: 0\nhost_config:\n%s'
                             % (', '.join(hosts), config))
        self.server.allowed_errors.append('reload failed|cannot open')
        self.fill()
        self.server.__enter__()
        self.addCleanup(self._end)
        self.ctl = Console(self.server)

    def fill(self):
        db = sqlite3.connect(self.server.path('theirs.db'))
        db.executescript(TABLES)
        db.executemany('INSERT INTO members VALUES (?, ?, ?)', [
            ('romeo', crypt('montague', '$6$rounds=1000$saltsalt$'), 1),
            ('tybalt', '{BLF-CRYPT}' + crypt("a:b' OR '1'='1", '$2b$04$' + 'a' * 22), 1),
            ('paris', crypt('county', '$y$j75$' + 'saltsaltsaltsalt' + '$'), 1),
            ('rosaline', crypt('gone', '$6$rounds=1000$saltsalt$'), 0),
            ('friar', '!', 1), ('nurse', None, 1), ('Not A Name', 'x', 1),
        ])
        stored, server, salt = scram('montague', 'sha1')
        db.execute('INSERT INTO users VALUES (?, ?, ?, ?, ?, ?)',
                   ('romeo', 'scram.example', stored, server, salt, 4096))
        stored, server, salt = scram('capulet', 'sha1', 5000)
        db.execute('INSERT INTO users VALUES (?, ?, ?, NULL, NULL, NULL)', (
            'tybalt', 'scram.example', 'SCRAM-SHA-1$5000:%s$%s:%s' % (salt, stored, server)))
        db.execute('INSERT INTO users VALUES (?, ?, ?, ?, ?, ?)',
                   ('broken', 'scram.example', 'x', 'y', 'z', 1))
        db.execute('INSERT INTO users VALUES (?, ?, ?, ?, ?, ?)',
                   ('paris', 'other.example', stored, server, salt, 5000))
        db.execute("INSERT INTO people VALUES ('romeo', 'montague')")
        db.commit()
        db.close()
        os.chmod(self.server.path('theirs.db'), 0o444)

    def stream(self, domain):
        client = self.server.connect(port=self.server.port)
        client.open(domain)
        client.starttls('localhost')    # whose certificate there is
        client.open(domain)
        return client

    def logs_in(self, user, password, domain, mechanism='PLAIN'):
        client = self.stream(domain)
        if mechanism == 'PLAIN':
            client.auth('PLAIN', sasl.plain(user, password))
        else:
            exchange = sasl.Scram(mechanism, user, password)
            client.auth(mechanism, exchange.first())
        answer = client.stanza()
        if answer.name == 'challenge':
            client.send("<response xmlns='%s'>%s</response>" % (NS_SASL, exchange.final(answer.text())))
            answer = client.stanza()
        client.close()
        return answer.name if answer.name == 'success' else answer.elements()[0].name

    def test_hashes_of_crypt(self):
        self.assertEqual(self.stream('crypt.example').mechanisms(), ['PLAIN'])
        for user, password, wanted in (
                ('romeo', 'montague', 'success'), ('romeo', 'x', 'not-authorized'),
                ('tybalt', "a:b' OR '1'='1", 'success'), ('paris', 'county', 'success'),
                ('rosaline', 'gone', 'not-authorized'), ('friar', '!', 'not-authorized'),
                ('nurse', 'x', 'not-authorized'), ("x' or 1 -- ", 'x', 'not-authorized'),
                ('nobody', 'x', 'not-authorized')):
            self.assertEqual(self.logs_in(user, password, 'crypt.example'), wanted, user)

    def test_listed_and_asked_for(self):
        self.server.register('juliet@crypt.example', 'x')
        rows = self.ctl.json('accounts', 'crypt.example')
        self.assertEqual([row['user'] for row in rows],
                         ['friar', 'juliet', 'nurse', 'paris', 'romeo', 'rosaline', 'tybalt'])
        rows = self.ctl.json('accounts', 'crypt.example', '--after', 'nurse', '--max', '2')
        self.assertEqual([row['user'] for row in rows], ['paris', 'romeo'])
        self.assertEqual(self.ctl.json('accounts', 'plain.example'), [])
        for user, knows in ('rosaline', 'yes'), ('nobody', 'no'):
            row = self.ctl.json('account-sources', user, 'crypt.example')[1]
            self.assertEqual((row['source'], row['knows']), ('sql', knows))
        self.assertIn('cannot be changed', self.refused(FAILED, 'change-password', 'romeo', 'crypt.example', 'x'))
        self.assertIn('cannot be changed', self.refused(FAILED, 'unregister', 'romeo', 'crypt.example'))

    def waiting(self, *users):
        """Messages for each."""
        return [self.ctl.json('offline-count', user, 'crypt.example')['messages'] for user in users]

    def test_forgotten(self):
        self.server.register('juliet@crypt.example', 'x')
        juliet = self.stream('crypt.example')
        juliet.auth('PLAIN', sasl.plain('juliet', 'x'))
        juliet.expect('<sasl:success/>')
        juliet.open('crypt.example')
        juliet.bind()
        for user in 'romeo', 'friar':
            juliet.send("<message to='%s@crypt.example' type='chat'><body>x</body></message>" % user)
        end = time.monotonic() + WAIT_S
        while self.waiting('romeo', 'friar') != [1, 1] and time.monotonic() < end:
            time.sleep(0.05)
        self.done('account-forget', 'romeo', 'crypt.example')
        self.assertEqual(self.waiting('romeo', 'friar'), [0, 1])
        self.assertIn('unregister', self.refused(FAILED, 'account-forget', 'juliet', 'crypt.example'))
        self.assertEqual(self.logs_in('romeo', 'montague', 'crypt.example'), 'success')

    def test_verifiers(self):
        mechanisms = self.stream('scram.example').mechanisms()
        self.assertIn('SCRAM-SHA-1', mechanisms)
        self.assertNotIn('SCRAM-SHA-256', mechanisms)
        for mechanism in 'SCRAM-SHA-1', 'PLAIN':
            for user, password, wanted in (
                    ('romeo', 'montague', 'success'), ('romeo', 'x', 'not-authorized'),
                    ('tybalt', 'capulet', 'success'), ('broken', 'x', 'not-authorized'),
                    ('paris', 'capulet', 'not-authorized'), ('nobody', 'x', 'not-authorized')):
                self.assertEqual(self.logs_in(user, password, 'scram.example', mechanism), wanted,
                                 (mechanism, user))
        self.server.register('juliet@scram.example', 'x')
        self.assertEqual(self.logs_in('juliet', 'x', 'scram.example', 'SCRAM-SHA-1'), 'success')

    def test_passwords_as_they_are(self):
        self.assertIn('SCRAM-SHA-256', self.stream('plain.example').mechanisms())
        for mechanism in 'SCRAM-SHA-256', 'PLAIN':
            self.assertEqual(self.logs_in('romeo', 'montague', 'plain.example', mechanism), 'success')
            self.assertEqual(self.logs_in('romeo', 'x', 'plain.example', mechanism), 'not-authorized')
            self.assertEqual(self.logs_in('nobody', 'x', 'plain.example', mechanism), 'not-authorized')

    def test_a_table_that_goes_and_settings_that_are_wrong(self):
        os.rename(self.server.path('theirs.db'), self.server.path('away.db'))
        for options, said in (('password_query: "SELECT 1"', 'auth_sql did not start'),
                              ("password_query: \"SELECT 1 WHERE a = '%u\"", 'quotes'),
                              ('password_query: "SELECT %x"', '%u'),
                              ('password_query: "SELECT 1; DELETE"', 'single query')):
            self.server.write_settings(
                'auth_method: [internal, sql]\nmodules:\n    mod_auth_sql: {database: "${dir}/theirs.db", %s}\n'
                % options)
            self.assertIn(said, self.refused(FAILED, 'reload'))


if __name__ == '__main__':
    main()
