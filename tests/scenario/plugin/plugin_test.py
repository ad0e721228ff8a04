#!/usr/bin/python3
"""Modules built outside of the tree: against the public headers alone, found in module_path, used,
withdrawn and brought back by reload; one that does not fit is refused and changes nothing."""

import os
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.connection import Failure  # noqa: E402
from harness.console import FAILED, ConsoleCase, main  # noqa: E402
from harness.server import LINNETD, TREE  # noqa: E402

SAMPLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'sample.c')
COMPILER = [os.environ.get('CC', 'cc'), '-std=gnu17', '-D_GNU_SOURCE', '-Wall', '-Wextra', '-Werror',
            '-Wno-missing-field-initializers']
CPUTIME = "<iq type='get' id='c' to='localhost'><query xmlns='ejabberd:cputime'/></iq>"


def compiled(*arguments):
    return subprocess.run([*COMPILER, *arguments], check=True, capture_output=True, text=True).stdout


class PublicHeaders:
    """modules/module.h, others of those that are installed, and what they include, copied to where
    nothing else of the tree is."""

    def __init__(self, *others):
        self.dir = tempfile.TemporaryDirectory(prefix='linnet-headers-')
        included = [word for name in others for word in ('-include', os.path.join(TREE, name))]
        rule = compiled('-I', TREE, '-MM', '-x', 'c', *included,
                        os.path.join(TREE, 'modules/module.h'))
        self.names = [os.path.relpath(word, TREE)
                      for word in rule.partition(':')[2].replace('\\\n', ' ').split()]
        for name in self.names:
            to = os.path.join(self.dir.name, name)
            os.makedirs(os.path.dirname(to), exist_ok=True)
            with open(os.path.join(TREE, name), 'rb') as f, open(to, 'wb') as out:
                out.write(f.read())

    def build(self, source, to, *defines):
        """Under another name first: the server may be looking."""
        compiled('-I', self.dir.name, '-shared', '-fPIC', '-O1', *defines, '-o', to + '.new', source)
        os.rename(to + '.new', to)


class Plugins(ConsoleCase):
    over = 'module_path: ["${dir}/none", "${dir}/modules"]'

    @classmethod
    def setUpClass(cls):
        cls.headers = PublicHeaders()

    @classmethod
    def tearDownClass(cls):
        cls.headers.dir.cleanup()

    def setUp(self):
        super().setUp()
        os.mkdir(self.server.path('modules'))

    def module_file(self, name):
        return self.server.path('modules/%s.so' % name)

    def build(self, name, *defines, source=SAMPLE):
        self.headers.build(source, self.module_file(name), *defines)

    def build_from_tree(self, name, new_name):
        """The tree's module under another name, because built-in names come first."""
        with open(os.path.join(TREE, 'modules', name + '.c'), encoding='utf-8') as f:
            text = f.read()
        self.assertEqual(text.count('.name = "%s"' % name), 1)
        source = self.server.path(new_name + '.c')
        with open(source, 'w', encoding='utf-8') as f:
            f.write(text.replace('.name = "%s"' % name, '.name = "%s"' % new_name))
        self.build(new_name, source=source)

    def write(self, modules, over=''):
        """These modules and nothing else of the defaults; one a line."""
        self.server.write_settings('%s\n%s\nmodules: {%s}\n' % (
            self.over, over, ',\n    '.join(('mod_auth_internal: {}', *modules))))

    def reload_with(self, *modules):
        self.write(modules)
        self.done('reload')

    def check(self):
        """linnetd --check on the settings as they are: its status and what it says."""
        done = subprocess.run([LINNETD, '--check', '--config', self.server.path('linnet.yml')],
                              capture_output=True, text=True, timeout=60, check=False)
        return done.returncode, done.stdout + done.stderr

    def modules(self):
        return [row['module'] for row in self.ctl.json('modules', 'localhost')]

    def client(self):
        self.server.register('juliet@localhost')
        return self.server.login('juliet@localhost/balcony')

    def test_headers_are_of_the_rooms_below(self):
        for name in self.headers.names:
            self.assertIn(name.split('/')[0], ('core', 'xml', 'router', 'modules'))
        self.assertEqual([n for n in self.headers.names if n.startswith('modules/')],
                         ['modules/module.h'])

    def test_used_withdrawn_and_brought_back(self):
        self.build_from_tree('cputime', 'cputime_plugin')
        self.build_from_tree('echo', 'echo_plugin')
        client = self.client()
        client.send(CPUTIME)
        client.expect("<iq type='error' id='c'><error><e:service-unavailable/></error></iq>")
        for _ in range(2):
            self.reload_with('cputime_plugin: {iqdisc: parallel}',
                             'mod_echo_plugin: {host: "repeat.@HOST@"}', 'mod_disco: {}')
            self.assertCountEqual(self.modules(),
                                  ['auth_internal', 'cputime_plugin', 'echo_plugin', 'disco'])
            client.send(CPUTIME)
            answer = client.expect("<iq type='result' id='c' from='localhost'/>")
            self.assertGreater(float(answer.elements()[0].elements()[0].text()), 0)
            client.send("<message to='x@repeat.localhost' id='m'><body>Romeo</body></message>")
            client.expect("<message from='x@repeat.localhost' id='m'><body>Romeo</body></message>")
            client.send("<iq type='get' id='d' to='localhost'>"
                        "<query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
            features = client.expect("<iq type='result' id='d'/>").elements()[0].elements()
            self.assertIn('ejabberd:cputime', [f.get('var') for f in features])

            self.reload_with()
            self.assertEqual(self.modules(), ['auth_internal'])
            client.send(CPUTIME)
            client.expect("<iq type='error' id='c'><error><e:service-unavailable/></error></iq>")
            client.send("<message to='x@repeat.localhost' id='m'/>")
            client.expect("<message type='error' id='m'>"
                          "<error><e:remote-server-not-found/></error></message>")
        client.close()

    def test_there_at_the_start(self):
        self.build_from_tree('cputime', 'cputime_plugin')
        self.server.over = self.over + '\nmodules:\n    cputime_plugin: {}'
        self.server.stop()
        self.server.start()
        client = self.client()
        client.send(CPUTIME)
        client.expect("<iq type='result' id='c'/>")
        client.close()

    def test_options_are_its_own(self):
        self.build_from_tree('echo', 'echo_plugin')
        self.write(['echo_plugin: {hots: x}'])
        status, said = self.check()
        self.assertEqual(status, 1, said)
        self.assertIn('did you mean "host"?', said)

    def test_built_in_names_come_first(self):
        self.build('echo', '-DSAMPLE_ABI=99')   # would be refused if it were looked at
        self.reload_with('mod_echo: {}')
        client = self.client()
        client.send("<message to='echo.localhost' id='m'/>")
        client.expect("<message from='echo.localhost' id='m'/>")
        client.close()

    def assert_refused(self, *reasons):
        """At --check and at reload, with its place, and the server goes on as it was."""
        self.server.allowed_errors += ['reload failed']
        before = self.modules()
        self.write(['mod_time: {}', 'sample: {}'], 'loglevel: debug')
        with open(self.server.path('linnet.yml'), encoding='utf-8') as f:
            line = next(n for n, text in enumerate(f, 1) if 'sample: {}' in text)
        place = 'linnet.yml:%d:5: ' % line
        status, checked = self.check()
        self.assertEqual(status, 1, checked)
        for said in (checked, self.refused(FAILED, 'reload')):
            for reason in (place, *reasons):
                self.assertIn(reason, said)
        self.assertEqual(self.modules(), before)
        self.assertEqual(self.ctl.json('log-level'), {'log_level': 'info'})

    def test_missing(self):
        self.assert_refused('there is no module "sample"')

    def test_of_another_interface(self):
        self.build('sample', '-DSAMPLE_ABI=99')
        self.assert_refused('sample.so was built for module interface 99, this server has ',
                            'build it anew')
        self.build('sample')    # and mended, it loads
        self.reload_with('sample: {}')
        self.assertEqual(self.modules(), ['auth_internal', 'sample'])

    def test_without_the_symbol(self):
        self.build('sample', '-DSAMPLE_HIDDEN')
        self.assert_refused('sample.so is not a module: it has no symbol linnet_module')

    def test_with_another_name(self):
        self.build('sample', '-DSAMPLE_NAME="ample"')
        self.assert_refused('sample.so holds a module named ample')

    def test_without_a_name(self):
        self.build('sample', '-DSAMPLE_NAME=0')
        self.assert_refused('sample.so holds a module without a name')

    def test_that_needs_what_no_server_has(self):
        self.build('sample', '-DSAMPLE_LACKS')
        self.assert_refused('the module cannot be loaded: ', 'function_of_no_server')

    def test_that_is_no_shared_object(self):
        with open(self.module_file('sample'), 'w', encoding='ascii') as f:
            f.write('int main(void) {}\n')
        self.assert_refused('the module cannot be loaded: ', 'sample.so')

    def test_that_does_not_start(self):
        self.server.allowed_errors += ['reload failed']
        self.build('sample', '-DSAMPLE_FAILS')
        before = self.modules()
        self.write(['mod_time: {}', 'sample: {}'])
        self.assertEqual(self.check()[0], 0)    # only a start can tell
        self.assertIn('sample did not start on localhost: Operation not supported',
                      self.refused(FAILED, 'reload'))
        self.assertEqual(self.modules(), before)

    def test_names_are_no_paths(self):
        self.build('sample')
        os.rename(self.module_file('sample'), self.server.path('sample.so'))
        self.write(['"../sample": {}'])
        status, said = self.check()
        self.assertEqual(status, 1, said)
        self.assertIn('there is no module "../sample"', said)


if __name__ == '__main__':
    main()
