#!/usr/bin/python3
"""docs/examples/auth_script.py with users that get it into trouble, for script_test.py: `hangs` is
never answered, `rambles` is answered with something else, `dies` ends it."""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../docs/examples'))

import auth_script  # noqa: E402


class Troubled(auth_script.Accounts):
    def auth(self, user, server, password):
        with open(self.path + '.asked', 'a', encoding='utf-8') as f:
            f.write('%s %s\n' % (user, password))
        if user == 'hangs':
            time.sleep(1000)
        if user == 'rambles':
            sys.stdout.write('yes, of course')
            sys.stdout.flush()
        if user == 'dies':
            os._exit(1)
        return super().auth(user, server, password)


auth_script.Accounts = Troubled
auth_script.main()
