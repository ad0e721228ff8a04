#!/usr/bin/python3
"""An installation is complete, and a module is built with nothing but what it has brought."""

import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.console import ConsoleCase, main  # noqa: E402
from harness.server import LINNETD, TREE  # noqa: E402

FILES = ('sbin/linnetd', 'bin/linnetctl', 'share/man/man8/linnetd.8', 'share/man/man8/linnetctl.8',
         'bin/linnet-bench', 'share/man/man1/linnet-bench.1', 'share/man/man5/linnet.yml.5',
         'share/bash-completion/completions/linnetctl',
         'lib/systemd/system/linnet.service', 'lib/sysusers.d/linnet.conf',
         'include/linnet/modules/module.h', 'include/linnet/xml/builder.h')


class Installed(ConsoleCase):
    over = 'module_path: ["${dir}/modules"]\nmodules: {mod_auth_internal: {}}'

    def setUp(self):
        super().setUp()
        self.prefix = tempfile.mkdtemp(prefix='linnet-installed-')
        self.addCleanup(shutil.rmtree, self.prefix)
        subprocess.run(['cmake', '--install', os.path.dirname(LINNETD), '--prefix', self.prefix],
                       check=True, stdout=subprocess.DEVNULL)

    def flags(self):
        """What pkg-config says, wherever this machine has its libraries."""
        folder, = (folder for folder, _, names in os.walk(self.prefix) if 'linnet.pc' in names)
        said = subprocess.run(
            ['pkg-config', '--define-variable=prefix=' + self.prefix, '--cflags', 'linnet'],
            env=dict(os.environ, PKG_CONFIG_PATH=folder), check=True, capture_output=True, text=True)
        return said.stdout.split()

    def test_complete(self):
        for name in FILES:
            self.assertTrue(os.path.isfile(os.path.join(self.prefix, name)), name)
        unit = subprocess.run(['grep', '-r', '@', os.path.join(self.prefix, 'lib/systemd')],
                              capture_output=True, text=True, check=False)
        self.assertNotRegex(unit.stdout, '@CMAKE')

    def test_a_module_is_built_from_it(self):
        """As docs/modules.md says."""
        with open(os.path.join(TREE, 'modules/cputime.c'), encoding='utf-8') as f:
            text = f.read()
        source = self.server.path('worked.c')
        with open(source, 'w', encoding='utf-8') as f:
            f.write(text.replace('"cputime"', '"worked"').replace('NS_CPUTIME', '"urn:example:worked"'))
        os.mkdir(self.server.path('modules'))
        subprocess.run(['gcc', '-shared', '-Wall', '-Werror', *self.flags(), '-o',
                        self.server.path('modules/worked.so'), source], check=True)
        self.server.write_settings(self.over.replace('{}}', '{}, mod_worked: {}}'))
        self.done('reload')
        self.server.register('juliet@localhost')
        client = self.server.login('juliet@localhost/a')
        client.send("<iq type='get' id='1' to='localhost'><query xmlns='urn:example:worked'/></iq>")
        self.assertEqual(client.expect("<iq type='result' id='1'/>").elements()[0].name, 'query')
        client.close()


if __name__ == '__main__':
    main()
