#!/usr/bin/python3
"""linnet-bench's scenarios about what a server may lack: against Linnet, which says in its features
what it has, each either plays well or says in one line that this is not offered."""

import json
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main       # noqa: E402
from harness.server import LINNETD              # noqa: E402

BENCH = os.path.join(os.path.dirname(LINNETD), 'linnet-bench')
SCENARIOS = ('presence', 'offline', 'mam', 'resume', 'muc', 'pubsub')
NOT_OFFERED = 3
COMMON = ('--users', '6', '--fanout', '2', '--batch', '4', '--page', '3', '--seconds', '0.3',
          '--warmup', '0.1', '--pid')


class NotOffered(ServerCase):
    settings = """
        modules:
            mod_register: {access: all, registration_timeout: 0, password_min_length: 1}
            mod_ping: {}
            mod_auth_internal: {}
        """

    def bench(self, *words):
        return subprocess.run([BENCH, '--port', str(self.server.plain_port), *COMMON,
                               str(self.server.serving_pid()), *words],
                              capture_output=True, text=True, check=False, timeout=100)

    def test_scenarios(self):
        self.assertEqual(self.bench('--register').returncode, 0)
        for scenario in SCENARIOS:
            with self.subTest(scenario):
                done = self.bench(scenario)
                self.assertEqual(done.stderr, '')
                if done.returncode == 0:
                    continue    # it is there by now
                self.assertEqual(done.returncode, NOT_OFFERED)
                self.assertRegex(done.stdout, r'\A%s: not offered by this server: [^\n]+\n\Z' % scenario)
                run = json.loads(self.bench('--json', '-', scenario).stdout)
                self.assertEqual(run['scenario'], scenario)
                self.assertIn(run['not_offered'], done.stdout)


if __name__ == '__main__':
    main()
