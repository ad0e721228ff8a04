"""The module with weaknesses, built once for a file of tests, on the host localhost."""

import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../plugin'))

from harness.server import Server  # noqa: E402
from plugin_test import PublicHeaders  # noqa: E402

_folder = tempfile.TemporaryDirectory(prefix='linnet-frail-')


def settings(over=''):
    """With the module among the others."""
    path = os.path.join(_folder.name, 'frail.so')
    if not os.path.exists(path):
        headers = PublicHeaders('core/server.h')
        headers.build(os.path.join(HERE, 'frail.c'), path)
        headers.dir.cleanup()
    return '''
module_path: ["%s"]
host_config:
  localhost:
    modules: {mod_auth_internal: {}, mod_ping: {}, mod_frail: {}}
%s''' % (_folder.name, over)


class FrailServer(Server):
    """Its module's process runs for ever, until script() says something else."""

    def __init__(self, over='', accounts=('romeo@localhost', 'juliet@other.example')):
        super().__init__(settings(over), [(jid, None) for jid in accounts])
        self.script('exec sleep 1000')

    def script(self, line):
        with open(self.path('frail.new'), 'w', encoding='ascii') as f:
            f.write('#!/bin/sh\n%s\n' % line)
        os.chmod(self.path('frail.new'), 0o755)
        os.rename(self.path('frail.new'), self.path('frail.sh'))

    def broken(self, pid):
        """In the server of that process id the module does not start; 0: in any."""
        with open(self.path('frail.new'), 'w', encoding='ascii') as f:
            f.write('%d\n' % pid)
        os.rename(self.path('frail.new'), self.path('frail.broken'))

    def mended(self):
        os.remove(self.path('frail.broken'))
