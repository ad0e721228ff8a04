#!/usr/bin/python3
"""XEP-0198 over `linnetctl upgrade`: who had to connect again resumes its session in the new server,
as after any other end of the server's process. The cases are those of ../sm/crash_test.py."""

import contextlib
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../sm'))

import crash_test                           # noqa: E402
from harness.case import main               # noqa: E402
from harness.server import Server           # noqa: E402


class Upgraded(crash_test.Ends, unittest.TestCase):
    @contextlib.contextmanager
    def begun(self, over=''):
        with Server(over, accounts=[(a, None) for a in crash_test.ACCOUNTS]) as server:
            yield server, lambda: server.control('upgrade')


main()
