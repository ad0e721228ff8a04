#!/usr/bin/python3
"""Whether the tools of the scenario tests can tell right from wrong."""

import base64
import os
import re
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness import play, sasl, settings            # noqa: E402
from harness.ca import Authority, self_signed     # noqa: E402
from harness.element import NotXML, StreamParser, parse  # noqa: E402
from harness.pattern import Pattern                 # noqa: E402
from harness.server import TREE                     # noqa: E402


class Patterns(unittest.TestCase):
    MATCHES = (
        ('<message/>', "<message from='a'><body>x</body></message>"),
        ("<message from='*@b'/>", "<message from='a@b'/>"),
        ("<message type='(none)'/>", '<message/>'),
        ("<any:stanza id='1'/>", "<iq id='1'/>"),
        ('<message><body>*</body></message>', '<message><x/><body>hi</body></message>'),
        ('<message><body/><body/></message>', '<message><body>1</body><body>2</body></message>'),
        ('<error><e:gone/></error>',
         "<error><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>xmpp:a@b</gone></error>"),
    )
    DIFFERS = (
        ('<message/>', '<presence/>'),
        ('<message/>', "<message xmlns='jabber:server'/>"),
        ("<message from='a'/>", '<message/>'),
        ("<message from='a'/>", "<message from='ab'/>"),
        ("<message from='a.b'/>", "<message from='axb'/>"),
        ("<message type='(none)'/>", "<message type='chat'/>"),
        ('<message><body>hi</body></message>', '<message><body>ho</body></message>'),
        ('<message><body/><body/></message>', '<message><body/></message>'),
        ('<message><body>a</body></message>', '<message>a</message>'),
        ('<error><e:gone/></error>', '<error><gone/></error>'),
    )
    EXACT = (
        ('<message/>', "<message from='a'/>", False),
        ('<message/>', "<message xml:lang='en'/>", True),
        ('<message/>', '<message>text</message>', False),
        ('<message><body>a</body></message>', '<message><body>a</body><x/></message>', False),
        ('<message><body>a</body></message>', '<message><body>a</body></message>', True),
    )

    def test_match(self):
        for pattern, element in self.MATCHES:
            self.assertIsNone(Pattern(pattern).why_not(parse(element), {}), pattern)

    def test_difference(self):
        for pattern, element in self.DIFFERS:
            self.assertIsNotNone(Pattern(pattern).why_not(parse(element), {}), pattern)

    def test_exact(self):
        for pattern, element, same in self.EXACT:
            reason = Pattern(pattern, exact=True).why_not(parse(element), {})
            self.assertEqual(reason is None, same, (pattern, element, reason))

    def test_variables(self):
        variables = {}
        pattern = Pattern("<iq id='${id}' to='${to}/x'/>")
        self.assertIsNone(pattern.why_not(parse("<iq id='7' to='a@b/x'/>"), variables))
        self.assertEqual(variables, {'id': '7', 'to': 'a@b'})
        self.assertIsNotNone(pattern.why_not(parse("<iq id='8' to='a@b/x'/>"), variables))

    def test_a_difference_sets_no_variable(self):
        variables = {}
        Pattern("<iq id='${id}' type='set'/>").why_not(parse("<iq id='7' type='get'/>"), variables)
        self.assertEqual(variables, {})


class Streams(unittest.TestCase):
    def test_events(self):
        parser = StreamParser()
        events = parser.feed(b"<?xml version='1.0'?><a:stream xmlns:a='s' xmlns='c'><b><c/>t</b> ")
        events += parser.feed(b'</a:stream>')
        self.assertEqual([kind for kind, _ in events], ['open', 'stanza', 'close'])
        self.assertEqual(events[1][1].show('c'), '<b><c/>t</b>')

    def test_a_success_is_followed_by_another_stream(self):
        first = b"<s xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><a/>"
        then = b"<?xml version='1.0'?><t><b/></t>"
        for success in b'<success/>', b'<success>AA==</success >':
            whole = first + success + then
            for cut in range(len(whole)):
                parser = StreamParser(restarts=True)
                events = parser.feed(whole[:cut]) + parser.feed(whole[cut:])
                self.assertEqual([(kind, e.name if e else None) for kind, e in events],
                                 [('open', 's'), ('stanza', 'a'), ('stanza', 'success'),
                                  ('open', 't'), ('stanza', 'b'), ('close', None)])

    def test_in_pieces_as_at_once(self):
        whole = b"<s a='&gt;' b='>'><m to='a@b/c' type='chat'><body>1 > 0, \xc3\xa4</body></m><iq/></s>"
        for cut in range(len(whole)):
            parser = StreamParser()
            events = parser.feed(whole[:cut]) + parser.feed(whole[cut:])
            self.assertEqual([kind for kind, _ in events], ['open', 'stanza', 'stanza', 'close'], cut)
            self.assertEqual(events[1][1].elements()[0].text(), '1 > 0, \u00e4')

    def test_what_a_server_must_not_send(self):
        for bad in (b'<a><!-- c --></a>', b'<a><?p i?></a>', b'<!DOCTYPE a><a/>', b'<a>text</a>',
                    b'<a><b></a>', b'<a><b>\xff</b></a>'):
            with self.assertRaises(NotXML, msg=bad):
                StreamParser().feed(bad)


class Settings(unittest.TestCase):
    BASE = 'hosts: [a]\nlisten:\n    - {port: 1}\n    - {port: 2}\nmodules:\n    one: {}\n    two:\n' \
           '        x: 1\n        y: 2'

    def merged(self, over):
        return settings.merge(self.BASE, over)

    def test_nothing(self):
        self.assertEqual(self.merged(''), self.BASE)

    def test_replaced(self):
        self.assertIn('hosts: [b]', self.merged('hosts: [b]'))
        self.assertNotIn('hosts: [a]', self.merged('hosts: [b]'))

    def test_list_replaced(self):
        self.assertIn('listen:\n    - {port: 3}\nmodules', self.merged('listen:\n  - {port: 3}'))

    def test_joined(self):
        merged = self.merged('modules:\n  two:\n    y: 3\n  three: {}')
        self.assertIn('    one: {}\n    two:\n        x: 1\n        y: 3\n    three: {}', merged)

    def test_taken_away(self):
        self.assertNotIn('one', self.merged('modules:\n  one: none'))


class Sasl(unittest.TestCase):
    def scram(self, mechanism, nonce):
        scram = sasl.Scram(mechanism, 'user', 'pencil')
        scram.nonce = nonce
        scram.first()
        return scram

    def answer(self, scram, challenge):
        return base64.b64decode(scram.final(base64.b64encode(challenge.encode()))).decode()

    def test_sha_1(self):
        """RFC 5802 §5."""
        scram = self.scram('SCRAM-SHA-1', 'fyko+d2lbbFgONRv9qkxdawL')
        self.assertEqual(
            self.answer(scram, 'r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,'
                               's=QSXCR+Q6sek8bf92,i=4096'),
            'c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=')
        scram.check(base64.b64encode(b'v=rmF9pqV8S7suAoZWja4dJRkFsKQ='))
        with self.assertRaises(sasl.ScramError):
            scram.check(base64.b64encode(b'v=smF9pqV8S7suAoZWja4dJRkFsKQ='))

    def test_sha_256(self):
        """RFC 7677 §3."""
        scram = self.scram('SCRAM-SHA-256', 'rOprNGfwEbeRWgbNEkqO')
        self.assertEqual(
            self.answer(scram, 'r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,'
                               's=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096'),
            'c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,'
            'p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=')


class Authorities(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.root = Authority(self.folder, 'Root')

    def verdict(self, path, purpose='sslserver'):
        """What openssl(1) thinks of it: OK, or its number of the first fault."""
        done = subprocess.run(['openssl', 'verify', '-purpose', purpose, '-CAfile', self.root.path,
                               '-untrusted', path, path], capture_output=True, text=True, timeout=60, check=False)
        found = re.search(r'error (\d+) at', done.stderr)
        return int(found.group(1)) if found else 'OK'

    def names(self, path):
        shown = subprocess.run(['openssl', 'x509', '-in', path, '-noout', '-ext', 'subjectAltName'],
                               capture_output=True, text=True, timeout=60, check=True).stdout
        return [n.strip() for n in shown.splitlines()[-1].split(',')]

    def test_good_and_bad(self):
        middle = Authority(self.folder, 'Middle', self.root)
        stranger = Authority(self.folder, 'Stranger')
        for path, wanted in (
                (self.root.certificate('a.example'), 'OK'),
                (middle.certificate('a.example'), 'OK'),
                (self.root.certificate('a.example', days=(-9, -1), file='old'), 10),
                (self.root.certificate('a.example', days=(1, 9), file='new'), 9),
                (stranger.certificate('a.example'), 20),
                (self_signed(self.folder, 'a.example'), 18)):
            self.assertEqual(self.verdict(path), wanted, path)
        client = self.root.certificate('romeo', 'XMPP:romeo@a.example', use='clientAuth')
        self.assertEqual(self.verdict(client, 'sslclient'), 'OK')
        self.assertEqual(self.verdict(client), 26)

    def test_names(self):
        self.assertEqual(self.names(self.root.certificate('a.example')), ['DNS:a.example'])
        path = self.root.certificate('x', 'b.example', 'DNS:*.b.example', 'XMPP:b.example',
                                     'SRV:_xmpp-server.b.example', 'IP:192.0.2.1')
        self.assertCountEqual(self.names(path), [
            'DNS:b.example', 'DNS:*.b.example', 'IP Address:192.0.2.1', 'othername: XmppAddr::b.example',
            'othername: SRVName::_xmpp-server.b.example'])


class Language(unittest.TestCase):
    def read(self, text):
        with tempfile.NamedTemporaryFile('w', suffix='.play') as f:
            f.write(text)
            f.flush()
            return play.Play(f.name)

    def test_blocks(self):
        p = self.read('# c\n[RFC 1] row\na sends\n    <x\n      y="1">\n    </x>\nfor v in 1 2\n    b drops\n')
        self.assertEqual([s.text for s in p.statements], ['[RFC 1] row', 'a sends', 'for v in 1 2'])
        self.assertEqual(p.statements[1].joined(), '<x y="1"></x>')
        self.assertEqual([(s.line, s.text) for s in p.statements[2].body], [(8, 'b drops')])

    def test_accounts(self):
        p = self.read('account a@h password p q\nclient r as b@h/x\nclient s as c@h/x stranger\n')
        _, accounts, _ = p._prepare()
        self.assertEqual([jid for jid, _ in accounts], ['a@h', 'b@h'])

    def test_functions(self):
        p = self.read('let x = 1\n')
        p.variables['x'] = '1'
        self.assertEqual(p._known('${x} ${y} ${repeat:3:ab} ${plain:u:p}'), '1 ${y} ababab AHUAcA==')

    def test_nonsense(self):
        p = self.read('romeo ponders\n')
        with self.assertRaises(play.BadPlay):
            p._statement(p.statements[0])
        with self.assertRaises(play.BadPlay):
            self.read('    a drops\nb drops\n')

    def test_expectation_without_a_row(self):
        p = self.read('a expects <x/>\n')
        with self.assertRaises(play.BadPlay):
            p._statement(p.statements[0])


class Described(unittest.TestCase):
    """docs/testing.md has a line for each statement, and none for what is no statement."""

    def setUp(self):
        with open(os.path.join(TREE, 'docs/testing.md'), encoding='utf-8') as f:
            table = f.read().partition('| line | what it does |')[2].partition('\n\n')[0]
        self.lines = re.findall(r'(?m)^\| `(.+?)` \|', table)

    def test_every_statement(self):
        meant = [next((name for pattern, name in play.Play.VERBS if pattern.match(line)), None)
                 for line in self.lines]
        self.assertNotIn(None, meant, self.lines)
        for pattern, name in play.Play.VERBS:
            self.assertIn(name, meant, pattern.pattern)
        self.assertEqual(meant.count('_nothing'), 3)


if __name__ == '__main__':
    unittest.main()
