#!/usr/bin/python3
"""bench/soak, short: everybody comes, works and goes, and it says whether something stayed."""

import json
import os
import subprocess
import sys
import tempfile
import unittest
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import main                       # noqa: E402
from harness.server import LINNETD, TREE, free_port     # noqa: E402

SOAK = os.path.join(TREE, 'bench/soak')


class Soak(unittest.TestCase):
    def test_two_turns(self):
        with tempfile.TemporaryDirectory(prefix='linnet-test-') as folder:
            out = os.path.join(folder, 'out.json')
            done = subprocess.run(
                [SOAK, '--build', os.path.dirname(LINNETD), '--minutes', '0.01', '--turn', '1',
                 '--settle', '0', '--users', '20', '--port', str(free_port(1)), '--json', out],
                env=dict(os.environ, TMPDIR=folder), stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, check=False)
            # Memory is for long runs; here it may do as it likes.
            self.assertIn('nothing lost, doubled or out of order: yes', done.stdout, done.stderr)
            with open(out, encoding='utf-8') as f:
                said = json.load(f)
            self.assertEqual(os.listdir(folder), ['out.json'])
        self.assertTrue(said['whole'])
        self.assertEqual(len(said['turns']), 2)
        for load in said['turns'][1]['loads'].values():
            self.assertEqual(load['status'], 0)
        self.assertGreater(said['turns'][1]['loads']['chat, STARTTLS']['messages'], 0)
        self.assertEqual(done.returncode, 0 if said['after'] <= said['before'] * 1.05 else 1)

    def test_what_stayed_is_seen(self):
        loader = SourceFileLoader('soak', SOAK)
        soak = module_from_spec(spec_from_loader('soak', loader))
        loader.exec_module(soak)
        self.assertTrue(soak.returned(1000, 1050))
        self.assertFalse(soak.returned(1000, 1051))
        outcome = soak.Soak.outcome(1, '', 'lost 3')
        self.assertEqual(outcome, {'status': 1, 'said': 'lost 3'})

    def test_wrong_options(self):
        for options in (['--users', '7'], ['--minutes', '0'], ['--turn', '0']):
            done = subprocess.run([SOAK, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  check=False)
            self.assertEqual(done.returncode, 2, options)


main()
