#!/usr/bin/python3
"""Accounts of a directory (mod_auth_ldap), of a real slapd: who may log in, over what, and what it
costs others when it hangs or is away."""

import threading
import unittest

from harness import sasl, slixmpp_login
from harness.case import main
from harness.connection import Failure
from harness.directory import BASE, ROOT, ROOT_PASSWORD, Directory
from harness.server import Server

PEOPLE = [
    ('Romeo Montague', 'romeo', 'wherefore:art thou'),
    ('Juliet Capulet', 'juliet', 'a rose'),
    ('Nurse', 'nurse', 'of the nurse'),
    ('One Twin', 'twin', 'same'),
    ('Other Twin', 'twin', 'same'),
]
GROUPS = {'chat': ['Romeo Montague', 'Juliet Capulet', 'One Twin', 'Other Twin']}
SETTINGS = '''
auth_method: [internal, ldap]
modules:
    mod_offline: {}
    mod_roster: {}
    mod_auth_ldap: {%s}
'''
OPTIONS = {
    'ldap_servers': '[127.0.0.1]', 'ldap_base': '"ou=people,%s"' % BASE,
    'ldap_rootdn': '"%s"' % ROOT, 'ldap_password': '"%s"' % ROOT_PASSWORD,
    'ldap_filter': '"(objectClass=inetOrgPerson)"', 'ldap_timeout': '1 s',
}


def settings(**options):
    return SETTINGS % ', '.join('%s: %s' % o for o in dict(OPTIONS, **options).items())


def refusal(server, user, password, mechanism='PLAIN'):
    """What SASL says to this login; None: it succeeds."""
    client = server.connect(user)
    try:
        client.open('localhost')
        client.starttls('localhost')
        client.open('localhost')
        if mechanism not in client.mechanisms():
            return 'not offered'
        client.auth(mechanism, sasl.plain(user, password))
        answer = client.stanza()
        return None if answer.name == 'success' else answer.elements()[0].name
    finally:
        client.close()


def accounts(server):
    return [row['user'] for row in server.control('accounts', host='localhost')]


class Ldap(unittest.TestCase):
    def test_who_may_log_in(self):
        with Directory(PEOPLE, GROUPS) as directory, Server(settings(ldap_port=directory.port)) as server:
            server.register('own@localhost')
            for what, user, password, expected in (
                    ('a person', 'romeo', 'wherefore:art thou', None),
                    ('in capitals', 'ROMEO', 'wherefore:art thou', None),
                    ('another', 'nurse', 'of the nurse', None),
                    ("somebody else's password", 'juliet', 'wherefore:art thou', 'not-authorized'),
                    ('RFC 4616 §2: an empty password is none', 'juliet', '', 'malformed-request'),
                    ('nobody', 'tybalt', 'a rose', 'not-authorized'),
                    ('RFC 4515 §3: a star is a star', '*', 'a rose', 'not-authorized'),
                    ('RFC 4515 §3: brackets are brackets', 'juliet)(uid=*', 'a rose', 'not-authorized'),
                    ('two entries are nobody', 'twin', 'same', 'not-authorized'),
                    ('one of our own', 'own', 'secret of own', None)):
                with self.subTest(what):
                    self.assertEqual(refusal(server, user, password), expected)
            self.accounts_of_a_directory_are_accounts(server)

    def accounts_of_a_directory_are_accounts(self, server):
        romeo = server.login('romeo@localhost/orchard', 'wherefore:art thou', 'PLAIN')
        romeo.send('<presence/>')
        romeo.expect('<presence/>')
        romeo.send("<message to='juliet@localhost' type='chat'><body>with love</body></message>")
        juliet = server.login('juliet@localhost/balcony', 'a rose', 'PLAIN')
        juliet.send('<presence/>')
        juliet.expect('<presence/>')
        juliet.expect('<message><body>with love</body></message>')
        self.assertEqual(sorted(accounts(server)),
                         ['juliet', 'nurse', 'own', 'romeo', 'twin'])

    def test_slixmpp_logs_in(self):
        with Directory(PEOPLE) as directory, Server(settings(ldap_port=directory.port)) as server:
            slixmpp_login.log_in(server, 'juliet@localhost/slixmpp', 'a rose')

    def test_group(self):
        filters = {'ldap_group_filter': '"(&(cn=chat)(member=%D))"', 'ldap_group_base': '"%s"' % BASE}
        with Directory(PEOPLE, GROUPS) as directory, \
                Server(settings(ldap_port=directory.port, **filters)) as server:
            self.assertIsNone(refusal(server, 'juliet', 'a rose'))
            self.assertEqual(refusal(server, 'nurse', 'of the nurse'), 'not-authorized')

    def test_patterns(self):
        """A user is the part of an address before the host's name."""
        uids = {'ldap_uids': '{mail: "%u@other.example"}'}
        with Directory(PEOPLE) as directory, \
                Server(settings(ldap_port=directory.port, **uids)) as server:
            self.assertIsNone(refusal(server, 'juliet', 'a rose'))
            self.assertIn('juliet', accounts(server))

    def test_tls(self):
        with Directory(PEOPLE) as directory:
            ca = {'ldap_tls_cacertfile': directory.ca}
            for what, options, expected in (
                    ('StartTLS', dict(ca, ldap_port=directory.port, ldap_encrypt='starttls'), None),
                    ('TLS', dict(ca, ldap_port=directory.tls_port, ldap_encrypt='tls'), None),
                    ('an authority that nobody knows', {'ldap_port': directory.tls_port,
                     'ldap_encrypt': 'tls'}, 'temporary-auth-failure'),
                    ('the same, without a look', {'ldap_port': directory.tls_port,
                     'ldap_encrypt': 'tls', 'ldap_tls_verify': 'false'}, None)):
                with self.subTest(what), Server(settings(**options)) as server:
                    self.assertEqual(refusal(server, 'juliet', 'a rose'), expected)

    def test_hanging(self):
        """A directory that answers nothing costs its own logins, and is asked again once it answers."""
        with Directory(PEOPLE) as directory, Server(settings(ldap_port=directory.port)) as server:
            server.register('own@localhost')
            self.assertIsNone(refusal(server, 'juliet', 'a rose'))
            directory.hang()
            said = {}
            waiting = [threading.Thread(target=lambda n=n: said.update(
                {n: refusal(server, 'juliet', 'a rose')})) for n in range(10)]
            for thread in waiting:
                thread.start()
            self.assertIsNone(refusal(server, 'own', 'secret of own'))
            for thread in waiting:
                thread.join()
            self.assertEqual(set(said.values()), {'temporary-auth-failure'})
            directory.go_on()
            self.assertIsNone(refusal(server, 'juliet', 'a rose'))

    def test_away(self):
        """Connections that lay idle are dead after the directory was started again: nobody notices."""
        with Directory(PEOPLE) as directory, Server(settings(ldap_port=directory.port)) as server:
            self.assertIsNone(refusal(server, 'juliet', 'a rose'))
            directory.stop()
            self.assertEqual(refusal(server, 'juliet', 'a rose'), 'temporary-auth-failure')
            directory.start()
            self.assertIsNone(refusal(server, 'juliet', 'a rose'))
            directory.stop()
            directory.start()
            self.assertIsNone(refusal(server, 'juliet', 'a rose'))

    def test_backup(self):
        with Directory(PEOPLE) as directory:
            options = {'ldap_servers': '["127.0.0.3"]', 'ldap_backups': '["127.0.0.1"]'}
            with Server(settings(ldap_port=directory.port, **options)) as server:
                self.assertIsNone(refusal(server, 'juliet', 'a rose'))

    def test_settings(self):
        with self.assertRaises(Failure) as caught:
            Server(settings(ldap_filter='"objectClass=*"')).start()
        self.assertIn('ldap_filter is no filter', str(caught.exception))


if __name__ == '__main__':
    main()
