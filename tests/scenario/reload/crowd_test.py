#!/usr/bin/python3
"""Reloads by signal and by the console at the same time, while others look: nobody waits for ever."""

import os
import signal
import sys
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.console import FAILED, ConsoleCase, main  # noqa: E402
from harness.server import free_port  # noqa: E402

PING = "<iq type='get' id='%d' to='localhost'><ping:ping xmlns:ping='urn:xmpp:ping'/></iq>"
ROUNDS = 20


class Crowd(ConsoleCase):
    def files(self, port):
        """Something of each kind differs from one to the next; the last is refused."""
        return [
            'loglevel: debug\nmodules: {mod_auth_internal: {}, mod_ping: {iqdisc: parallel}, '
            'mod_echo: {host: "one.@HOST@"}}\nshaper: {a: 100000}\n',
            'hosts: [localhost, other.example, new.example]\nmodules: {mod_auth_internal: {}, '
            'mod_ping: {iqdisc: one_queue}, mod_echo: {host: "two.@HOST@"}}\n'
            'listen: [{port: %d, ip: 127.0.0.1}, {port: %d, ip: 127.0.0.1, starttls: false}]\n'
            % (self.server.port, port),
            'hosts: [localhost]\nmodules: {mod_auth_internal: {}, mod_ping: {}, '
            'mod_echo: {host: localhost}}\n',
        ]

    def signalled(self, files):
        for n in range(ROUNDS):
            self.server.write_settings(files[n % len(files)])
            os.kill(self.server.serving_pid(), signal.SIGHUP)

    def test_all_at_once(self):
        files = self.files(free_port())
        self.server.allowed_errors += ['reload failed', 'the domain is taken']
        self.server.register('juliet@localhost')
        client = self.server.login('juliet@localhost/a')
        signals = threading.Thread(target=self.signalled, args=(files,))
        signals.start()
        for n in range(ROUNDS):
            for words in (['reload'], ['listeners'], ['modules'], ['certificates'], ['hosts'],
                          ['reload', '--dry-run'], ['config-check']):
                self.ctl.run(*words)    # any of them may find a file that is half written
            client.send(PING % n)
            client.expect("<iq type='result' id='%d'/>" % n)
        signals.join()
        self.server.write_settings(files[2])
        self.assertIn('echo did not start', self.refused(FAILED, 'reload'))
        self.server.write_settings('')
        self.done('reload')
        self.assertEqual([row['host'] for row in self.ctl.json('hosts')],
                         ['localhost', 'other.example'])
        self.assertEqual(len(self.ctl.json('listeners')), 3)
        self.assertEqual(self.ctl.json('reload', '--dry-run'), [])
        client.close()


if __name__ == '__main__':
    main()
