#!/usr/bin/python3
"""linnetd --check: every mistake of a file is told, at its place, with what helps; nothing else is."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.server import LINNETD, SUPPORT, TREE, make_certificate  # noqa: E402


def check(path, folder):
    done = subprocess.run([LINNETD, '--check', '--config', path], cwd=folder, capture_output=True,
                          text=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


class Check(unittest.TestCase):
    maxDiff = None

    def told(self, name):
        """name.yml has the mistakes that name.txt tells."""
        with open(os.path.join(SUPPORT, name + '.txt'), encoding='utf-8') as f:
            expected = f.read()
        status, out, err = check(name + '.yml', SUPPORT)
        self.assertEqual((status, out), (1, ''))
        self.assertMultiLineEqual(err, expected)
        return err.splitlines()

    def test_twenty_mistakes(self):
        self.assertEqual(len(self.told('mistakes')), 20)

    def test_a_file_of_ejabberd(self):
        """What is accepted is as telling as what is not: no line before the first listener's."""
        lines = self.told('ejabberd')
        with open(os.path.join(SUPPORT, 'ejabberd.yml'), encoding='utf-8') as f:
            listen = f.read().splitlines().index('listen:') + 1
        self.assertTrue(all(int(line.split(':')[1]) > listen for line in lines), lines)


class Good(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix='linnet-check-')
        self.addCleanup(shutil.rmtree, self.folder)
        make_certificate(os.path.join(self.folder, 'a.pem'), 'a.example')

    def check(self, text):
        with open(os.path.join(self.folder, 'linnet.yml'), 'w', encoding='utf-8') as f:
            f.write(text)
        return check('linnet.yml', self.folder)

    def test_no_errors(self):
        self.assertEqual(self.check('hosts: a.example\ncertfiles: a.pem\nlisten: [{port: 5222}]\n'),
                         (0, 'linnet.yml: no errors\n', ''))

    def test_nothing_is_made(self):
        self.check('hosts: a.example\ndatabase: new.db\nlog_file: new.log\n')
        self.assertEqual(sorted(os.listdir(self.folder)), ['a.pem', 'linnet.yml'])

    def test_certificates_are_tried(self):
        with open(os.path.join(self.folder, 'b.pem'), 'w', encoding='ascii') as f:
            f.write('no certificate\n')
        status, out, err = self.check('hosts: a.example\ncertfiles: b.pem\n')
        self.assertEqual((status, out), (1, ''))
        self.assertIn('b.pem', err)

    def test_the_printed_example_has_every_option_and_no_error(self):
        example = subprocess.run([LINNETD, '--example'], check=True, capture_output=True, text=True)
        self.assertEqual(self.check('hosts: a.example\n' + example.stdout)[0], 0)

    def documented(self, name):
        """The settings files that a document shows."""
        with open(os.path.join(TREE, name), encoding='utf-8') as f:
            return re.findall(r'(?ms)^```yaml\n(hosts:.*?)^```', f.read())

    def test_what_the_documents_show(self):
        for name in ('README.md', 'docs/operations.md'):
            shown = self.documented(name)
            self.assertTrue(shown, name)
            for text in shown:
                text = text.replace('/etc/linnet/', self.folder + '/')
                self.assertEqual(self.check(text)[0::2], (0, ''), text)

    def test_no_file(self):
        status, _, err = check('absent.yml', self.folder)
        self.assertEqual(status, 1)
        self.assertEqual(err, 'absent.yml: the settings file cannot be read: '
                              'No such file or directory\n')


if __name__ == '__main__':
    unittest.main()
