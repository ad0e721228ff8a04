"""The module with weaknesses, built once for a file of tests."""

import os
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '../plugin'))

from plugin_test import PublicHeaders  # noqa: E402

_folder = tempfile.TemporaryDirectory(prefix='linnet-frail-')


def settings(modules='mod_auth_internal: {}, mod_ping: {}', **options):
    """With the module among the others."""
    path = os.path.join(_folder.name, 'frail.so')
    if not os.path.exists(path):
        headers = PublicHeaders()
        headers.build(os.path.join(HERE, 'frail.c'), path)
        headers.dir.cleanup()
    given = ', '.join('%s: %s' % item for item in options.items())
    return 'module_path: ["%s"]\nmodules: {%s, mod_frail: {%s}}\n' % (_folder.name, modules, given)
