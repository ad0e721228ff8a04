#!/usr/bin/python3
"""The pages in docs/ are what the programs print, and man and mandoc have nothing to say against them."""

import glob
import os
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.server import LINNETD, TREE  # noqa: E402

DOCS = os.path.join(TREE, 'docs')
PAGES = sorted(glob.glob(os.path.join(DOCS, 'man', '*')))


class Pages(unittest.TestCase):
    def test_up_to_date(self):
        fresh = tempfile.mkdtemp(prefix='linnet-manual-')
        self.addCleanup(shutil.rmtree, fresh)
        subprocess.run([os.path.join(TREE, 'tools/manual'), LINNETD, fresh], check=True)
        for folder, _, names in os.walk(fresh):
            for name in names:
                new = os.path.join(folder, name)
                old = os.path.join(DOCS, os.path.relpath(new, fresh))
                diff = subprocess.run(['diff', '-u', old, new], capture_output=True, text=True,
                                      check=False)
                self.assertEqual(diff.returncode, 0,
                                 'docs/ is behind; build, then run tools/manual:\n'
                                 + diff.stdout + diff.stderr)

    def test_no_complaints(self):
        self.assertEqual([os.path.basename(page) for page in PAGES],
                         ['linnet-bench.1', 'linnet.yml.5', 'linnetctl.8', 'linnetd.8'])
        env = dict(os.environ, LC_ALL='C.UTF-8', MANWIDTH='80')
        for page in PAGES:
            for command in (['mandoc', '-Tlint', page],
                            ['man', '--warnings', '--local-file', '-Tutf8', '-Z', page]):
                got = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
                said = got.stdout if command[0] == 'mandoc' else ''
                self.assertEqual((got.returncode, said, got.stderr), (0, '', ''), command)

    def test_description_of_the_project(self):
        """docs/linnet.doap: each extension once, in order, by the module tables."""
        rdf = '{http://www.w3.org/1999/02/22-rdf-syntax-ns#}resource'
        xmpp = '{https://linkmauve.fr/ns/xmpp-doap#}'
        tree = xml.etree.ElementTree.parse(os.path.join(DOCS, 'linnet.doap'))
        found = {}
        for e in tree.iter(xmpp + 'SupportedXep'):
            number = e.find(xmpp + 'xep').get(rdf)
            self.assertNotIn(number, found)
            self.assertRegex(e.find(xmpp + 'version').text, r'^[0-9.]+$')
            found[number] = e.find(xmpp + 'note')
        self.assertEqual(list(found), sorted(found))
        admin = found['https://xmpp.org/extensions/xep-0133.html']
        self.assertEqual(admin.text, 'mod_announce, mod_configure')

    def test_unknown_page(self):
        got = subprocess.run([LINNETD, '--reference', 'nonsense'], capture_output=True, text=True,
                             check=False)
        self.assertEqual((got.returncode, got.stdout), (2, ''))
        self.assertIn('linnet.yml.5', got.stderr)


if __name__ == '__main__':
    unittest.main()
