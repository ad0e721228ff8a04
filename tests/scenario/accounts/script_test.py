#!/usr/bin/python3
"""Accounts that a script knows, beside the server's own: docs/examples/auth_script.py, with some
users who get it into trouble."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness import sasl, slixmpp_login                         # noqa: E402
from harness.connection import WAIT_S                           # noqa: E402
from harness.console import FAILED, Console, ConsoleCase, main  # noqa: E402
from harness.element import NS_SASL, NS_SASL2                   # noqa: E402
from harness.sasl2 import Client                                # noqa: E402
from harness.server import TREE, Server                         # noqa: E402

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'troubled_script.py')
EXAMPLE = os.path.join(TREE, 'docs/examples/auth_script.py')
PING = "<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>"


class ScriptCase(ConsoleCase):
    methods = '[internal, external]'
    options = 'extauth_pool_size: 2, extauth_timeout: 20 s'
    program = SCRIPT
    others = ''
    table = ('romeo:localhost:montague', 'tybalt:localhost:a:b::c', 'both:localhost:script',
             'hangs:localhost:x', 'rambles:localhost:x', 'dies:localhost:x')

    def settings(self, file='${dir}/accounts'):
        return ('auth_method: %s\nauth_fail_limit: 0\n%s\nmodules:\n    mod_roster: {}\n    mod_offline: {}\n'
                "    mod_auth_external: {extauth_program: '%s %s', %s}\n"
                % (self.methods, self.others, self.program, file, self.options))

    def setUp(self):
        self.server = Server(self.settings())
        self.server.allowed_errors += ['scripts fail too often', 'child ended', 'part=supervisor', 'has no mod_auth_ldap']
        self.write('accounts', *self.table)
        self.server.__enter__()
        self.addCleanup(self._end)
        self.ctl = Console(self.server)

    def write(self, name, *lines):
        with open(self.server.path(name), 'w', encoding='utf-8') as f:
            f.writelines(line + '\n' for line in lines)

    def asked(self):
        """Whose passwords the scripts were asked about."""
        try:
            with open(self.server.path('accounts.asked'), encoding='utf-8') as f:
                return [line.split()[0] for line in f]
        except FileNotFoundError:
            return []

    def stream(self, domain='localhost'):
        client = self.server.connect()
        client.open(domain)
        client.starttls(domain)
        client.open(domain)
        return client

    def attempt(self, user, password, domain='localhost', mechanism='PLAIN'):
        """A login that is not waited for."""
        client = self.stream(domain)
        if mechanism == 'PLAIN':
            client.auth('PLAIN', sasl.plain(user, password))
        else:
            client.scram = sasl.Scram(mechanism, user, password)
            client.auth(mechanism, client.scram.first())
        return client

    def outcome(self, client):
        answer = client.stanza()
        if answer.name == 'challenge':
            client.send("<response xmlns='%s'>%s</response>"
                        % (NS_SASL, client.scram.final(answer.text())))
            answer = client.stanza()
        client.close()
        return answer.name if answer.name == 'success' else answer.elements()[0].name

    def logs_in(self, *args, **how):
        return self.outcome(self.attempt(*args, **how))


class Accounts(ScriptCase):
    others = 'host_config:\n    other.example: {auth_method: [internal]}'

    def test_whose_accounts_log_in_how(self):
        self.server.register('juliet@localhost', 'capulet')
        self.assertEqual(self.stream().mechanisms(), ['PLAIN'])
        self.assertIn('SCRAM-SHA-256', self.stream('other.example').mechanisms())
        for user, password, wanted in (
                ('juliet', 'capulet', 'success'), ('juliet', 'montague', 'not-authorized'),
                ('romeo', 'montague', 'success'), ('romeo', 'capulet', 'not-authorized'),
                ('tybalt', 'a:b::c', 'success'), ('tybalt', 'a', 'not-authorized'),
                ('nobody', 'x', 'not-authorized')):
            self.assertEqual(self.logs_in(user, password), wanted, user)
        self.assertEqual(self.logs_in('romeo', 'montague', 'other.example'), 'not-authorized')
        self.assertEqual(self.logs_in('romeo', 'montague', mechanism='SCRAM-SHA-256'),
                         'invalid-mechanism')

    def test_a_name_that_both_know_is_of_the_first(self):
        self.assertEqual(self.logs_in('both', 'script'), 'success')
        self.assertIn('exists', self.refused(FAILED, 'register', 'both', 'localhost', 'internal'))
        rows = self.ctl.json('account-sources', 'both', 'localhost')
        self.assertEqual([(row['source'], row['knows'], row['account']) for row in rows],
                         [('internal', 'no', False), ('external', 'yes', True)])
        rows = self.ctl.json('account-sources', 'nobody', 'localhost')
        self.assertEqual([row['knows'] for row in rows], ['no', 'no'])

    def test_its_accounts_are_accounts(self):
        """Messages wait for them, they have contacts, and nobody else is there."""
        self.server.register('juliet@localhost')
        juliet = self.server.login('juliet@localhost/balcony')
        juliet.send("<message to='romeo@localhost' type='chat' id='m'><body>early</body></message>" + PING)
        juliet.expect("<iq type='result' id='ping'/>")
        juliet.send("<message to='nobody@localhost' type='chat' id='n'><body>x</body></message>")
        juliet.expect("<message type='error' id='n'><error><e:service-unavailable/></error></message>")
        romeo = self.server.login('romeo@localhost/orchard', 'montague')
        romeo.send("<iq type='set' id='add'><query xmlns='jabber:iq:roster'><item jid='juliet@localhost'/></query></iq>")
        romeo.expect("<iq type='result' id='add'/>")
        romeo.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>")
        self.assertIn('juliet@localhost', romeo.expect("<iq type='result' id='roster'/>").show())
        romeo.send('<presence/>')
        while (got := romeo.stanza()).name != 'message':
            pass
        self.assertIn('early', got.show())

    def test_the_console_changes_what_the_script_lets_it(self):
        self.assertEqual(self.logs_in('romeo', 'montague'), 'success')
        self.done('change-password', 'romeo', 'localhost', 'an:other')
        self.assertEqual(self.logs_in('romeo', 'montague'), 'not-authorized')
        self.assertEqual(self.logs_in('romeo', 'an:other'), 'success')
        self.done('unregister', 'romeo', 'localhost')
        self.assertEqual(self.logs_in('romeo', 'an:other'), 'not-authorized')
        self.assertIn('wrong', self.refused(FAILED, 'unregister-with-password', 'tybalt', 'localhost', 'a'))
        self.done('unregister-with-password', 'tybalt', 'localhost', 'a:b::c')
        self.assertEqual(self.logs_in('tybalt', 'a:b::c'), 'not-authorized')
        self.assertIn('no such', self.refused(FAILED, 'unregister', 'nobody', 'localhost'))

    def test_a_reload_brings_another_program(self):
        self.assertEqual(self.logs_in('romeo', 'montague'), 'success')
        self.write('others', 'romeo:localhost:changed')
        self.server.write_settings(self.settings('${dir}/others'))
        self.done('reload')
        self.assertEqual(self.logs_in('romeo', 'montague'), 'not-authorized')
        self.assertEqual(self.logs_in('romeo', 'changed'), 'success')
        self.server.write_settings(self.settings().replace('external]', 'external, ldap]'))
        self.assertIn('mod_auth_ldap', self.refused(FAILED, 'reload'))
        self.assertEqual(self.logs_in('romeo', 'changed'), 'success')

    def test_tokens_need_the_account(self):
        """XEP-0484: the script is asked whether there still is one, at each login."""
        romeo = Client(self.server, 'romeo', 'montague')
        c, came = romeo.by_password(romeo.want_token(), 'PLAIN')
        c.close()
        self.assertTrue(came.is_('success', NS_SASL2) and romeo.token, came.show())
        c, came = romeo.by_token()
        c.close()
        self.assertTrue(came.is_('success', NS_SASL2), came.show())
        self.write('accounts', *(line for line in self.table if not line.startswith('romeo')))
        c, came = romeo.by_token()
        c.close()
        self.assertEqual(came.elements()[0].name, 'not-authorized')

    def test_slixmpp_logs_in(self):
        slixmpp_login.log_in(self.server, 'romeo@localhost/slixmpp', 'montague')


class Offered(ScriptCase):
    """SCRAM beside PLAIN, for accounts that can."""

    program = EXAMPLE
    others = 'scram_beside_plain: true'

    def test_scram_where_an_account_can(self):
        self.server.register('juliet@localhost', 'capulet')
        self.assertIn('SCRAM-SHA-256', self.stream().mechanisms())
        self.assertEqual(self.logs_in('juliet', 'capulet', mechanism='SCRAM-SHA-256'), 'success')
        self.assertEqual(self.logs_in('romeo', 'montague'), 'success')
        for user in 'romeo', 'nobody':
            self.assertEqual(self.logs_in(user, 'montague', mechanism='SCRAM-SHA-256'), 'not-authorized')


class Trouble(ScriptCase):
    """One process of two is enough for the others."""

    options = 'extauth_pool_size: 2, extauth_timeout: 2 s'

    def test_each_trouble_is_its_own(self):
        self.server.register('juliet@localhost', 'capulet')
        for user in 'rambles', 'dies', 'hangs':
            self.assertEqual(self.logs_in(user, 'x'), 'temporary-auth-failure', user)
            self.assertEqual(self.logs_in('juliet', 'capulet'), 'success', user)
            self.assertEqual(self.logs_in('tybalt', 'a:b::c'), 'success', user)
        metrics = {line.rpartition(' ')[0]: float(line.rpartition(' ')[2])
                   for line in self.ctl.run('metrics').stdout.splitlines()
                   if line.startswith('linnet_auth_')}
        self.assertGreaterEqual(metrics['linnet_auth_source_away_total{source="external"}'], 3)
        self.assertGreaterEqual(metrics['linnet_auth_script_restarts_total'], 2)


class Failing(ScriptCase):
    """Who makes them end again and again has them rest for a while, and no more than that."""

    def test_they_come_back(self):
        self.server.register('juliet@localhost', 'capulet')
        for _ in range(8):
            self.assertEqual(self.logs_in('dies', 'x'), 'temporary-auth-failure')
        self.assertEqual(self.logs_in('tybalt', 'a:b::c'), 'temporary-auth-failure')
        self.assertEqual(self.logs_in('juliet', 'capulet'), 'success')
        end = time.monotonic() + 6 * WAIT_S
        while (outcome := self.logs_in('tybalt', 'a:b::c')) != 'success' and time.monotonic() < end:
            time.sleep(0.1)
        self.assertEqual(outcome, 'success')


class Hanging(ScriptCase):
    """All of its processes hang: nobody else's logins and messages do."""

    options = 'extauth_pool_size: 2, extauth_timeout: 10 min'
    others = 'host_config:\n    other.example: {auth_method: [internal]}'

    def test_others_do_not_wait(self):
        self.server.register('juliet@localhost', 'capulet')
        self.server.register('mercutio@localhost')
        self.server.register('nurse@other.example', 'x')
        hung = [self.attempt('hangs', 'x') for _ in range(6)]
        end = time.monotonic() + WAIT_S
        while self.asked().count('hangs') < 2 and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(self.asked(), ['hangs', 'hangs'])
        for _ in range(3):
            self.assertEqual(self.logs_in('juliet', 'capulet'), 'success')
            self.assertEqual(self.logs_in('juliet', 'wrong'), 'not-authorized')
            self.assertEqual(self.logs_in('nurse', 'x', 'other.example'), 'success')
        juliet = self.server.login('juliet@localhost/balcony', 'capulet')
        juliet.send("<message to='mercutio@localhost' id='m'><body>waits</body></message>"
                    "<message to='somebody@localhost' id='n'><body>whose?</body></message>" + PING)
        answers = {juliet.stanza().attrs.get('id') for _ in range(2)}
        self.assertEqual(answers, {'n', 'ping'})
        row, = [row for row in self.ctl.json('auth-sources', 'localhost') if row['source'] == 'external']
        self.assertEqual(row['running'], 2)
        for client in hung:
            client.close()
        juliet.close()


class Remembered(ScriptCase):
    options = 'extauth_pool_size: 1, extauth_cache: 1 hour'

    def test_a_password_that_was_right(self):
        for _ in range(3):
            self.assertEqual(self.logs_in('romeo', 'montague'), 'success')
        self.assertEqual(self.asked(), ['romeo'])
        self.assertEqual(self.logs_in('romeo', 'wrong'), 'not-authorized')
        self.assertEqual(self.asked(), ['romeo'] * 2)
        self.assertEqual(self.logs_in('romeo', 'montague'), 'success')
        self.done('auth-cache-clear', 'localhost')
        self.assertEqual(self.logs_in('romeo', 'montague'), 'success')
        self.assertEqual(self.asked(), ['romeo'] * 3)


if __name__ == '__main__':
    main()
