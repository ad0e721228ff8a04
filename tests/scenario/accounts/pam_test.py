#!/usr/bin/python3
"""Accounts that PAM knows: a service file of the test's own, whose modules ask a program."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness import sasl, slixmpp_login                 # noqa: E402
from harness.connection import WAIT_S                   # noqa: E402
from harness.console import Console, ConsoleCase, main  # noqa: E402
from harness.server import Server                       # noqa: E402

# pam_exec(8) gives PAM_SYSTEM_ERR for whatever is not 0, so pam_deny says no in its place.
SERVICE = '''
auth    [success=done default=ignore] pam_exec.so quiet expose_authtok {program}
auth    required                      pam_deny.so
account [success=done default=ignore] pam_exec.so quiet {program}
account required                      pam_deny.so
'''
BROKEN = '''
auth    required pam_exec.so quiet /nowhere
account required pam_exec.so quiet /nowhere
'''
PROGRAM = '''#!/bin/sh
# The table has lines "user password"; closed accounts have a line "user" in the file beside it.
if [ "$PAM_TYPE" = account ]; then
	grep -q "^$PAM_USER " {table}
	exit $?
fi
IFS= read -r password || true
echo "$PAM_USER" >>{table}.asked
while [ "$PAM_USER" = hangs ] && [ -e {table} ]; do sleep 0.2; done
grep -qxF "$PAM_USER $password" {table}
'''
PING = "<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>"


class PamCase(ConsoleCase):
    options = 'pam_threads: 2'
    table = ('romeo montague', 'tybalt a:b c', 'hangs x')

    def setUp(self):
        self.server = Server(
            'auth_method: [internal, pam]\nauth_fail_limit: 0\nmodules:\n    mod_offline: {}\n'
            "    mod_auth_pam: {pam_folder: '${dir}/pam', pam_service: test, %s}\n"
            'host_config:\n    other.example:\n        auth_method: [pam]\n        modules:\n'
            "            mod_auth_internal: {}\n            mod_auth_pam: "
            "{pam_folder: '${dir}/pam', pam_service: broken, pam_userinfotype: jid}" % self.options)
        os.mkdir(self.server.path('pam'))
        program = self.server.path('program')
        self.write('pam/test', SERVICE.format(program=program))
        self.write('pam/broken', BROKEN)
        self.write('table', ''.join(line + '\n' for line in self.table))
        self.write('program', PROGRAM.format(table=self.server.path('table')))
        os.chmod(program, 0o755)
        self.server.__enter__()
        self.addCleanup(self._end)
        self.ctl = Console(self.server)

    def write(self, name, text):
        with open(self.server.path(name), 'w', encoding='utf-8') as f:
            f.write(text)

    def asked(self):
        try:
            with open(self.server.path('table.asked'), encoding='utf-8') as f:
                return f.read().split()
        except FileNotFoundError:
            return []

    def attempt(self, user, password, domain='localhost'):
        client = self.server.connect()
        client.open(domain)
        client.starttls(domain)
        client.open(domain)
        self.assertEqual(client.mechanisms(), ['PLAIN'])
        client.auth('PLAIN', sasl.plain(user, password))
        return client

    def logs_in(self, *who):
        client = self.attempt(*who)
        answer = client.stanza()
        client.close()
        return answer.name if answer.name == 'success' else answer.elements()[0].name


class Accounts(PamCase):
    def test_slixmpp_logs_in(self):
        slixmpp_login.log_in(self.server, 'romeo@localhost/slixmpp', 'montague')

    def test_log_in_and_are_accounts(self):
        self.server.register('juliet@localhost', 'capulet')
        for who, wanted in ((('romeo', 'montague'), 'success'), (('romeo', 'x'), 'not-authorized'),
                            (('tybalt', 'a:b c'), 'success'), (('nobody', 'x'), 'not-authorized'),
                            (('juliet', 'capulet'), 'success'), (('juliet', 'x'), 'not-authorized'),
                            (('romeo', 'montague', 'other.example'), 'temporary-auth-failure')):
            self.assertEqual(self.logs_in(*who), wanted, who)
        juliet = self.server.login('juliet@localhost/balcony', 'capulet')
        juliet.send("<message to='romeo@localhost' type='chat'><body>x</body></message>"
                    "<message to='nobody@localhost' type='chat' id='n'><body>x</body></message>")
        juliet.expect("<message type='error' id='n'><error><e:service-unavailable/></error></message>")
        juliet.send(PING)
        juliet.expect("<iq type='result' id='ping'/>")
        romeo = self.server.login('romeo@localhost/orchard', 'montague')
        romeo.send('<presence/>')
        while romeo.stanza().name != 'message':
            pass
        rows = self.ctl.json('account-sources', 'romeo', 'localhost')
        self.assertEqual([row['account'] for row in rows], [False, True])


class Hanging(PamCase):
    options = 'pam_threads: 2, pam_timeout: 1 s'

    def test_others_do_not_wait(self):
        self.server.register('juliet@localhost', 'capulet')
        hung = [self.attempt('hangs', 'x') for _ in range(4)]
        end = time.monotonic() + WAIT_S
        while self.asked().count('hangs') < 2 and time.monotonic() < end:
            time.sleep(0.02)
        self.assertEqual(self.logs_in('juliet', 'capulet'), 'success')
        for client in hung:
            answer = client.stanza()
            self.assertEqual(answer.elements()[0].name, 'temporary-auth-failure')
            client.close()
        self.assertEqual(self.logs_in('romeo', 'montague'), 'temporary-auth-failure')
        self.assertEqual(self.logs_in('juliet', 'capulet'), 'success')
        self.assertEqual(self.asked().count('hangs'), 2)


if __name__ == '__main__':
    main()
