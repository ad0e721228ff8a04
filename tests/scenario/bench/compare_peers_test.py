#!/usr/bin/python3
"""bench/compare with the peers, where they are installed: it measures them and ends them."""

import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import compare_test     # noqa: E402


def installed(package):
    said = subprocess.run(['dpkg-query', '-W', '-f', '${db:Status-Abbrev}', package], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return said.stdout.startswith('ii')


class Measures(compare_test.Measures):
    servers = 'ejabberd,prosody'
    # With TLS, started anew, with more features.
    scenarios = ['login-tls', 'idle', 'presence', 'offline', 'mam', 'resume', 'muc', 'pubsub',
                 'chat-10-im']


if __name__ == '__main__':
    if not installed('ejabberd') or not installed('prosody'):
        print('ejabberd and prosody are not installed')
        sys.exit(77)
    compare_test.main()
