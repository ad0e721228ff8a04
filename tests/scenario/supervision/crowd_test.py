#!/usr/bin/python3
"""Parts of the server are restarted in any order while clients come, talk and are sent away, settings
are reloaded and others ask: nothing is left down, and nobody waits for ever."""

import os
import random
import signal
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import frail  # noqa: E402
from harness.connection import Failure  # noqa: E402
from harness.console import Console, ConsoleCase, main  # noqa: E402

ROUNDS = 40
TALKERS = 4
PATHS = ['hooks', 'router', 'session manager', 'iq handlers', 'database', 'temporary tasks',
         'accounts', 'hosts', 'hosts/localhost', 'hosts/localhost/modules',
         'hosts/localhost/processes', 'hosts/other.example', 'c2s', 'components', 's2s manager',
         's2s out', 's2s in', 'acceptors', 'listener', 'dns', 'system monitor']


class Crowd(ConsoleCase):
    def setUp(self):
        self.server = frail.FrailServer()
        # Two who change the server at once may find each other's half.
        self.server.allowed_errors = ['part=supervisor', 'reload failed', 'reload what=',
                                      'did not start after a reload', 'accounts need a database']
        self.server.__enter__()
        self.addCleanup(self._end)
        self.ctl = Console(self.server)
        self.over = threading.Event()

    def talk(self, n):
        """As somebody who always comes back."""
        jid = ('romeo@localhost/%d', 'juliet@other.example/%d')[n % 2] % n
        while not self.over.is_set():
            try:
                client = self.server.login(jid, tls=('none', 'starttls')[n // 2 % 2])
                try:
                    while not self.over.is_set():
                        client.send("<message to='%s' id='t'/>" % jid)
                        client.expect("<message from='%s' id='t'/>" % jid)
                finally:
                    client.close()
            except (Failure, OSError):
                continue

    def reload(self):
        while not self.over.is_set():
            os.kill(self.server.serving_pid(), signal.SIGHUP)
            self.over.wait(0.05)

    def test_all_at_once(self):
        seed = random.randrange(1 << 32)
        print('seed', seed, flush=True)
        choose = random.Random(seed)
        pid = self.server.serving_pid()
        threads = [threading.Thread(target=self.talk, args=(n,)) for n in range(TALKERS)]
        threads.append(threading.Thread(target=self.reload))
        for t in threads:
            t.start()
        try:
            for _ in range(ROUNDS):
                path = choose.choice(PATHS)
                if choose.random() < 0.3:
                    self.ctl.run('supervisor', 'stop', path)
                    self.ctl.run('supervisor', 'start', path)
                else:
                    self.ctl.run('supervisor', 'restart', path)
                self.ctl.run(choose.choice(['connected', 'listeners', 'modules', 'status']))
        finally:
            self.over.set()
            for t in threads:
                t.join()
        for path in 'database', 'hosts', 'listener':    # whatever was left half done
            self.ctl.run('supervisor', 'start', path)
        self.done('supervisor', 'restart', 'hooks')
        tree = self.ctl.json('supervisor', 'tree')
        self.assertEqual([row['path'] for row in tree if row['state'] != 'up'], [])
        self.assertEqual(self.server.serving_pid(), pid)
        for jid in 'romeo@localhost/last', 'juliet@other.example/last':
            self.server.login(jid).close()


main()
