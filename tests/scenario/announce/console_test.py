#!/usr/bin/python3
"""linnetctl announce: what it sends, how it tells how far it is, and what it refuses."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.console import FAILED, ConsoleCase, main  # noqa: E402


class Announce(ConsoleCase):
    over = 'modules:\n    mod_announce: {rate: 10}\n'

    def login(self, jid):
        self.server.register(jid.split('/')[0])
        return self.server.login(jid)

    def row(self, number):
        for row in self.ctl.json('announcements'):
            if row['announcement'] == number:
                return row
        self.fail(f'no announcement {number}')

    def wait_for(self, number, state):
        until = time.monotonic() + 30
        while self.row(number)['state'] != state:
            self.assertLess(time.monotonic(), until, self.row(number))
            time.sleep(0.05)
        return self.row(number)

    def test_online_and_progress(self):
        romeo = self.login('romeo@localhost/orchard')
        other = self.login('nurse@other.example/ward')
        sent = self.ctl.json('announce', 'online', 'hear ye', '--subject', 'News')
        romeo.expect("<message from='localhost' type='headline'><subject>News</subject>"
                     '<body>hear ye</body></message>')
        other.expect("<message from='other.example' type='headline'><body>hear ye</body></message>")
        row = self.wait_for(sent['announcement'], 'done')
        self.assertEqual((row['to'], row['host'], row['sent'], row['total']),
                         ('online', '(all)', 2, 2))

    def test_all_of_one_host(self):
        for name in ('a', 'b', 'c'):
            self.done('register', name, 'localhost', '-', stdin='secret-' + name)
        sent = self.ctl.json('announce', 'all', 'to each', '--host', 'localhost')
        row = self.wait_for(sent['announcement'], 'done')
        self.assertEqual((row['to'], row['host'], row['sent'], row['total']),
                         ('all', 'localhost', 3, 3))

    def test_cancelled(self):
        for i in range(60):
            self.done('register', f'user{i}', 'localhost', '-', stdin='secret')
        number = self.ctl.json('announce', 'all', 'a long story')['announcement']
        self.done('announce-cancel', str(number))
        row = self.wait_for(number, 'cancelled')
        self.assertLess(row['sent'], 60)
        self.assertIn('no announcement', self.refused(FAILED, 'announce-cancel', str(number)))

    def test_motd(self):
        self.assertEqual(self.ctl.json('announce', 'motd-update', 'be kind')['announcement'], None)
        romeo = self.login('romeo@localhost/orchard')
        romeo.send('<presence/>')
        romeo.expect("<presence from='romeo@localhost/orchard'/>")
        romeo.expect("<message from='localhost'><body>be kind</body></message>")
        self.done('announce', 'motd-update', 'be brief', '--subject', 'Today', '--host', 'localhost')
        self.assertEqual(sorted((m['host'], m['subject'], m['text']) for m in self.ctl.json('motd')),
                         [('localhost', 'Today', 'be brief'), ('other.example', None, 'be kind')])
        self.assertTrue(self.ctl.json('announce', 'motd-delete')['deleted'])
        self.assertFalse(self.ctl.json('announce', 'motd-delete')['deleted'])

    def test_motd_survives_a_restart(self):
        self.done('announce', 'motd-update', 'be kind')
        self.server.stop()
        self.server.start()
        romeo = self.login('romeo@localhost/orchard')
        romeo.send('<presence/>')
        romeo.expect("<presence from='romeo@localhost/orchard'/>")
        romeo.expect("<message from='localhost'><body>be kind</body></message>")

    def test_refused(self):
        self.assertIn('expected online', self.refused(FAILED, 'announce', 'nobody', 'x'))
        self.assertIn('what shall be said', self.refused(FAILED, 'announce', 'online'))
        self.assertIn('too long', self.refused(FAILED, 'announce', 'online', 'x' * 40000))
        self.assertIn('is not a host', self.refused(FAILED, 'announce', 'all', 'x',
                                                    '--host', 'elsewhere.example'))


class Without(ConsoleCase):
    def test_without_the_module(self):
        self.assertIn('mod_announce does not run', self.refused(FAILED, 'announce', 'online', 'x'))


if __name__ == '__main__':
    main()
