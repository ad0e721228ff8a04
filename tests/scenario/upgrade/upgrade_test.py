#!/usr/bin/python3
"""linnetctl upgrade: another process takes the server's place, and who has no TLS does not notice."""

import os
import random
import re
import socket
import threading
import time
import unittest

from harness.case import main
from harness.connection import WAIT_S, Failure
from harness.server import LINNETD, Server

SESSIONS = int(os.environ.get('UPGRADE_SESSIONS', '200'))      # half of them plain, half TLS
PIECE_MAX = 90          # bytes of one send: stanzas are cut anywhere
AHEAD_MAX = 50          # messages that one may be ahead of what has been heard of it


def until(is_so, seconds=WAIT_S):
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def gone(pid):
    try:
        with open('/proc/%d/stat' % pid, encoding='ascii') as f:
            return f.read().rpartition(')')[2].split()[0] == 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return True


class Talker:
    """A plain session that sends numbered messages to another one, in pieces, and reads all the
    time."""

    MESSAGE = re.compile(rb"<message [^>]*from='([^']*)'[^>]*>.*?</message>")
    NUMBER = re.compile(rb"<body>(\d+)</body>")

    def __init__(self, server, jid, to):
        self.client = server.login(jid, tls='none')
        self.sock = self.client.sock
        self.sock.setblocking(False)
        self.jid, self.to = jid, to
        self.sent = 0
        self.out = b''
        self.inbox = b''
        self.heard = {}         # by sender: the numbers in the order they came
        self.errors = []
        self.ended = False
        self.hearer = None      # the talker that hears this one

    def say(self):
        """One piece of what is to be said, if the socket takes it."""
        if not self.out and self.sent - len(self.hearer.heard.get(self.jid, ())) > AHEAD_MAX:
            return
        if not self.out:
            self.out = ("<message to='%s' type='chat'><body>%d</body><x xmlns='x'>&amp;%s</x></message>"
                        % (self.to, self.sent, 'é' * random.randint(0, 40))).encode()
            self.sent += 1
        try:
            n = self.sock.send(self.out[:random.randint(1, PIECE_MAX)])
            self.out = self.out[n:]
        except BlockingIOError:
            pass

    def finish(self):
        while self.out:
            try:
                self.out = self.out[self.sock.send(self.out):]
            except BlockingIOError:
                time.sleep(0.001)

    def hear(self):
        try:
            while True:
                data = self.sock.recv(65536)
                if not data:
                    self.ended = True
                    return
                self.inbox += data
        except BlockingIOError:
            pass
        at = 0
        for m in self.MESSAGE.finditer(self.inbox):
            at = m.end()
            if b"type='error'" in m.group():
                self.errors.append(m.group())
                continue
            sender = m.group(1).decode()
            self.heard.setdefault(sender, []).append(int(self.NUMBER.search(m.group()).group(1)))
        self.inbox = self.inbox[at:]


class Crowd:
    """Talkers in a ring, driven by a thread of its own."""

    def __init__(self, server, jids):
        self.talkers = [Talker(server, jid, to) for jid, to in zip(jids, jids[1:] + jids[:1])]
        for t, hearer in zip(self.talkers, self.talkers[1:] + self.talkers[:1]):
            t.hearer = hearer
        self.talking = False
        self.thread = threading.Thread(target=self.run)

    def talk(self):
        self.talking = True
        self.thread.start()

    def run(self):
        while self.talking:
            for t in self.talkers:
                t.say()
                t.hear()
            time.sleep(0.0005)

    def end(self, case):
        """All that was said has been heard, once and in order, and nobody was disconnected."""
        self.talking = False
        self.thread.join()
        for t in self.talkers:
            t.finish()

        def all_heard():
            for t in self.talkers:
                t.hear()
            return all(len(t.hearer.heard.get(t.jid, [])) >= t.sent for t in self.talkers)

        until(all_heard)
        for t in self.talkers:
            case.assertFalse(t.ended, '%s was disconnected' % t.jid)
            case.assertEqual(t.hearer.heard.get(t.jid), list(range(t.sent)), t.jid)
            case.assertEqual(t.errors, [])
        return sum(t.sent for t in self.talkers)

    def close(self):
        for t in self.talkers:
            t.sock.close()


def accounts(prefix, n):
    return ['%s%d@localhost' % (prefix, i) for i in range(n)]


class UnderLoad(unittest.TestCase):
    def test_plain_sessions_go_over_and_tls_sessions_come_back(self):
        plain, secure = accounts('plain', SESSIONS // 2), accounts('secure', SESSIONS // 2)
        with Server(accounts=[(jid, None) for jid in plain + secure]) as server:
            crowd = Crowd(server, [jid + '/r' for jid in plain])
            clients = [server.login(jid + '/r', tls='direct' if i % 2 else 'starttls')
                       for i, jid in enumerate(secure)]
            crowd.talk()
            for client, jid in zip(clients, plain):     # owed to a client when its stream ends
                client.send("<presence/><message to='%s/r' type='chat' id='s'><body>0</body>"
                            "</message>" % client.jid.partition('/')[0])
            old = server.children()[0]
            answer = server.control('upgrade')
            print(answer, flush=True)
            self.assertEqual((answer['moved'], answer['ended']), (len(plain), len(secure)))
            self.assertTrue(until(lambda: server.children() and server.children()[0] != old))
            for client, jid in zip(clients, secure):
                came = client.wait_for_end()
                self.assertEqual(len([e for e in came if e.name == 'message']), 1, jid)
                error = came[-1]
                self.assertEqual((error.name, error.elements()[0].name), ('error', 'reset'))
                client.close()
            again = [server.login(jid + '/r') for jid in secure]
            for client in again:
                client.send("<message to='%s' id='again'/>" % client.jid)
            for client in again:
                client.expect("<message id='again'/>")
            said = crowd.end(self)
            self.assertGreater(said, SESSIONS)
            self.assertTrue(until(lambda: gone(old)))
            self.assertEqual(server.control('status')['server_pid'], server.children()[0])
            self.assertEqual(server.control('status')['sessions'], SESSIONS)
            crowd.close()
            for client in again:
                client.close()


class Upgraded(Server):
    """An upgrade may be called off, and says so in the log."""

    def upgrade(self, **args):
        """The result, once the new server is the only one."""
        old = self.children()[0]
        answer = self.control('upgrade', **args)
        if not until(lambda: len(self.children()) == 1 and old not in self.children()):
            raise Failure('the old server, %d, does not end: %s' % (old, self.log()))
        return answer

    def successor(self, what):
        path = self.path('successor-' + what)
        with open(os.path.join(os.path.dirname(__file__), 'successor.py'), encoding='utf-8') as f:
            text = f.read().replace('@LINNETD@', os.path.abspath(LINNETD))
        with open(path, 'w', encoding='utf-8') as f:
            f.write(text)
        os.chmod(path, 0o755)
        return path


class CalledOff(unittest.TestCase):
    """Whatever is wrong with the new server: the old one goes on with everybody."""

    PEOPLE = 20

    def setUp(self):
        self.plain, self.secure = accounts('plain', self.PEOPLE), accounts('secure', 4)
        self.server = Upgraded(accounts=[(jid, None) for jid in self.plain + self.secure])
        self.server.__enter__()
        self.addCleanup(self.end_server)
        self.crowd = Crowd(self.server, [jid + '/r' for jid in self.plain])
        self.clients = [self.server.login(jid + '/r') for jid in self.secure]
        self.crowd.talk()

    def end_server(self):
        try:
            self.server.stop()
        finally:
            self.server.kill()
            self.server.clean()

    def refused(self, what, why, **args):
        """An upgrade to that successor fails for that reason, and nobody notices."""
        pid = self.server.children()[0]
        with self.assertRaisesRegex(Failure, why):
            self.server.control('upgrade', binary=self.server.successor(what), **args)
        self.assertTrue(until(lambda: self.server.children() == [pid]), self.server.children())
        for client in self.clients:
            client.send("<message to='%s' id='still'/>" % client.jid)
        for client in self.clients:
            client.expect("<message id='still'/>")
        said = self.crowd.talkers[0].sent
        self.assertTrue(until(lambda: self.crowd.talkers[0].sent > said + 3), 'talking goes on')
        self.assertTrue(until(lambda: 'called off' in self.server.log()))

    def end(self):
        """And another upgrade works."""
        self.assertEqual(self.server.upgrade()['moved'], self.PEOPLE)
        self.crowd.end(self)
        self.crowd.close()
        for client in self.clients:
            client.wait_for_end()
            client.close()

    def test_settings_that_it_does_not_take(self):
        self.refused('check', 'fails:\nlinnet.yml:1:1: not to its taste')
        self.end()

    def test_a_version_that_it_does_not_know(self):
        self.refused('knows_no_version', 'it does not know version 1 of c2s')
        self.end()

    def test_a_version_that_it_does_not_know_by_surprise(self):
        self.refused('finds_an_unknown_version', 'it does not know version 99 of c2s')
        self.end()

    def test_one_that_crashes_at_once(self):
        self.refused('dies_early', 'ended while it started')
        self.end()

    def test_one_that_crashes_while_it_takes(self):
        self.refused('dies_while_taking', 'ended while it (was given what is here|took what was given)')
        self.end()

    def test_one_that_crashes_at_the_last_step(self):
        self.refused('dies_when_told_to_go', 'ended while it was told to go on')
        self.end()

    def test_one_that_hangs(self):
        self.refused('hangs', 'took too long while it started', wait=1)
        self.end()

    def test_one_that_hangs_while_it_takes(self):
        self.refused('hangs_while_taking', 'took too long while it (was given|took)')
        self.end()

    def test_what_is_no_program(self):
        for path, why in ((self.server.path('linnet.yml'), 'cannot be run: Permission denied'),
                          (self.server.path('none'), 'cannot be run: No such file'),
                          ('/bin/false', '--check fails'),
                          ('/bin/true', 'ended while it started')):
            with self.assertRaisesRegex(Failure, why):
                self.server.control('upgrade', binary=path)
        self.end()


class Life(unittest.TestCase):
    def test_again_and_again(self):
        """Each new server is a whole one: it can be upgraded, and is started again when it dies."""
        jids = accounts('plain', 5)
        with Upgraded(accounts=[(jid, None) for jid in jids]) as server:
            server.allowed_errors = ['the server died and was started again']
            crowd = Crowd(server, [jid + '/r' for jid in jids])
            crowd.talk()
            other = server.path('other-linnetd')
            os.symlink(os.path.abspath(LINNETD), other)
            seen = {server.children()[0]}
            for args in {}, {}, {'binary': other}, {}:
                self.assertEqual(server.upgrade(**args)['moved'], len(jids))
                pid = server.children()[0]
                self.assertNotIn(pid, seen)
                seen.add(pid)
                status = server.control('status')
                self.assertEqual((status['pid'], status['server_pid'], status['sessions']),
                                 (server.process.pid, pid, len(jids)))
            crowd.end(self)
            crowd.close()
            os.kill(server.children()[0], 9)
            self.assertTrue(until(lambda: 'restarts=1' in server.log()), server.log())
            self.assertTrue(until(server.is_up))
            crowd = Crowd(server, [jid + '/r' for jid in jids])
            crowd.talk()
            self.assertEqual(server.upgrade()['moved'], len(jids))
            self.assertEqual(server.control('status')['restarts'], 1)
            crowd.end(self)
            crowd.close()

    def test_who_connects_meanwhile_waits(self):
        with Upgraded(accounts=[('romeo@localhost', None)]) as server:
            stop = threading.Event()
            failed = []

            def connect():
                while not stop.is_set():
                    try:
                        server.login('romeo@localhost/%d' % random.getrandbits(32), tls='none').close()
                    except (OSError, Failure) as e:
                        failed.append(e)

            thread = threading.Thread(target=connect)
            thread.start()
            for _ in range(3):
                server.upgrade()
            stop.set()
            thread.join()
            # One that was in the middle of a login is told to begin anew.
            self.assertLessEqual(len(failed), 3, failed)
            for e in failed:
                self.assertRegex(str(e), 'reset|closed|end')

    def test_what_systemd_hears(self):
        """Type=notify: the new server is ready, and the main process is the one it was."""
        class Notifying(Upgraded):
            def _spawn(self):
                os.environ['NOTIFY_SOCKET'] = self.path('notify')
                try:
                    super()._spawn()
                finally:
                    del os.environ['NOTIFY_SOCKET']

        server = Notifying()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.bind(server.path('notify'))
            notify.settimeout(WAIT_S)
            with server:
                self.assertEqual(notify.recv(1000), b'READY=1')
                server.upgrade()
                self.assertEqual(notify.recv(1000), b'READY=1')
                self.assertIsNone(server.process.poll())
                server.process.send_signal(1)
                self.assertTrue(notify.recv(1000).startswith(b'RELOADING=1'))
                self.assertEqual(notify.recv(1000), b'READY=1')
                notify.setblocking(False)
                self.assertRaises(BlockingIOError, notify.recv, 1000)

    def test_asked_to_end_meanwhile(self):
        """All of it ends, and well."""
        for _ in range(5):
            with Upgraded() as server:
                thread = threading.Thread(target=lambda: self.swallow(server))
                thread.start()
                time.sleep(random.random() / 4)
                server.process.terminate()
                self.assertEqual(server.process.wait(WAIT_S), 0, server.log())
                thread.join()
                server.start()

    @staticmethod
    def swallow(server):
        try:
            server.control('upgrade')
        except (OSError, Failure, ValueError):
            pass

    def test_no_monitor(self):
        class Alone(Server):
            def command(self):
                return [*super().command(), '--no-monitor']

        with Alone() as server:
            with self.assertRaisesRegex(Failure, 'there is no monitor'):
                server.control('upgrade')


class State(unittest.TestCase):
    """What a session is goes over with it."""

    def test_presence(self):
        """The new server knows who is available with what priority, and whom to tell of an end."""
        jids = ['romeo@localhost', 'juliet@localhost', 'nurse@localhost']
        with Upgraded(accounts=[(jid, None) for jid in jids]) as server:
            romeo = server.login('romeo@localhost/r', tls='none')
            low = server.login('juliet@localhost/low', tls='none')
            high = server.login('juliet@localhost/high', tls='none')
            gone_soon = server.login('juliet@localhost/tls')
            nurse = server.login('nurse@localhost/r', tls='none')
            low.send('<presence><priority>1</priority></presence>')
            low.expect("<presence from='juliet@localhost/low'/>")
            high.send("<presence><priority>7</priority><status>hier</status></presence>")
            for client in low, high:
                client.expect("<presence from='juliet@localhost/high'/>")
            high.expect("<presence from='juliet@localhost/low'/>")
            gone_soon.send('<presence><priority>3</priority></presence>')
            for client in low, high:
                client.expect("<presence from='juliet@localhost/tls'/>")
            nurse.send("<presence to='romeo@localhost/r'/>")
            romeo.expect("<presence from='nurse@localhost/r'/>")
            self.assertEqual(server.upgrade()['moved'], 4)
            for client in low, high:
                client.expect("<presence from='juliet@localhost/tls' type='unavailable'/>")
            romeo.send("<message to='juliet@localhost' type='chat' id='best'/>")
            high.expect("<message id='best'/>")
            again = server.login('juliet@localhost/again', tls='none')
            again.send('<presence/>')
            for client in low, high, again:
                client.expect("<presence from='juliet@localhost/again'/>")
            self.assertEqual({again.stanza().get('from'), again.stanza().get('from')},
                             {'juliet@localhost/low', 'juliet@localhost/high'})
            nurse.close()
            romeo.expect("<presence from='nurse@localhost/r' type='unavailable'/>")
            high.close()
            low.expect("<presence from='juliet@localhost/high' type='unavailable'/>")

    def test_what_a_client_has_not_read(self):
        """Output that waits for a slow reader comes whole and in order. What waits for one that
        ends without having read it is as if it had been sent to somebody who is not there."""
        with Upgraded('max_out_bytes: 100 MB', accounts=[
                (jid, None) for jid in ('romeo@localhost', 'juliet@localhost')]) as server:
            romeo = server.login('romeo@localhost/r', tls='none')
            slow = server.login('juliet@localhost/slow', tls='none')
            never = server.login('juliet@localhost/never', tls='none')
            n = 800
            for i in range(n):
                for to in 'slow', 'never':
                    romeo.send("<message to='juliet@localhost/%s' type='chat' id='%d'><body>%s</body>"
                               "</message>" % (to, i, 'x' * 20000))
            romeo.send("<iq type='get' to='localhost' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
            romeo.expect("<iq type='result' id='p'/>")
            self.assertEqual(server.upgrade()['moved'], 3)
            for i in range(n):
                slow.expect("<message id='%d'/>" % i)
            romeo.send("<message to='juliet@localhost/slow' type='chat' id='more'/>")
            slow.expect("<message id='more'/>")
            never.close()
            first = int(romeo.stanza().get('id'))
            self.assertGreater(first, 0)
            for i in range(first + 1, n):
                romeo.expect("<message type='error' id='%d' from='juliet@localhost/never'/>" % i)

    def test_an_unfinished_stanza(self):
        """Cut at each byte, inside of tags, texts and characters."""
        stanza = "<message to='romeo@localhost/r' id='é'><body>a&amp;é</body><a:b xmlns:a='c'><![CDATA[<]]></a:b></message>".encode()
        jids = ['cut%d@localhost' % i for i in range(len(stanza))]
        with Upgraded(accounts=[(jid, None) for jid in [*jids, 'romeo@localhost']]) as server:
            romeo = server.login('romeo@localhost/r', tls='none')
            clients = []
            for i, jid in enumerate(jids):
                client = server.login(jid + '/r', tls='none')
                client.send("<iq type='get' to='localhost' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
                client.sock.sendall(stanza[:i])
                client.expect("<iq type='result' id='p'/>")
                clients.append(client)
            self.assertEqual(server.upgrade()['moved'], len(clients) + 1)
            for i, client in enumerate(clients):
                client.sock.sendall(stanza[i:])
                romeo.expect("<message from='%s' id='é'><body>a&amp;é</body><a:b xmlns:a='c'>&lt;</a:b></message>"
                             % client.jid)
                client.send('</stream:stream>')
                client.expect_close()

    def test_failed_logins_are_not_forgotten(self):
        """auth_fail_limit counts on."""
        with Upgraded('auth_fail_limit: 4', [('romeo@localhost', None)]) as server:
            for n in range(4):
                if n == 2:
                    server.upgrade()
                with self.assertRaises(Failure):
                    server.login('romeo@localhost', 'guessed', tls='none', mechanism='SCRAM-SHA-1')
            server.upgrade()
            client = server.connect(port=server.plain_port)
            client.open('localhost')
            client.auth('SCRAM-SHA-1')
            client.expect_stream_error('policy-violation')

    def test_who_is_not_logged_in_begins_anew(self):
        with Upgraded(accounts=[('romeo@localhost', None)]) as server:
            early = server.connect(port=server.plain_port)
            half = server.connect(port=server.plain_port)
            half.open('localhost')
            self.assertEqual(server.upgrade()['moved'], 0)
            half.expect_stream_error('reset')
            kind, _ = early.event()
            self.assertEqual(kind, 'open')
            early.expect_stream_error('reset')

    def test_a_component_comes_again(self):
        """Its stream is reset, and the port is the new server's at once."""
        over = """
listen:
    - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s}
    - {port: ${plain_port}, ip: 127.0.0.1, module: ejabberd_c2s, starttls: false, starttls_required: false}
    - {port: ${component_port}, ip: 127.0.0.1, module: ejabberd_service, password: secret}
"""
        with Upgraded(over, accounts=[('romeo@localhost', None)]) as server:
            romeo = server.login('romeo@localhost/r', tls='none')
            bot = server.connect('bot', server.component_port)
            bot.serve('bot.example', 'secret')
            server.upgrade()
            bot.expect_stream_error('reset')
            bot.close()
            bot = server.connect('bot', server.component_port)
            bot.serve('bot.example', 'secret')
            romeo.send("<message to='bot.example' id='m1'/>")
            bot.expect("<message from='romeo@localhost/r' id='m1'/>")
            bot.send("<message from='bot.example' to='romeo@localhost/r' id='m2'/>")
            romeo.expect("<message from='bot.example' id='m2'/>")

    def test_a_port_and_a_host_that_the_settings_have_lost(self):
        """Their clients end, the others go over."""
        with Upgraded(accounts=[(jid, None) for jid in (
                'romeo@localhost', 'juliet@other.example')]) as server:
            romeo = server.login('romeo@localhost/r', tls='none')
            juliet = server.login('juliet@other.example/r', tls='none')
            server.write_settings('hosts: [localhost]')
            answer = server.upgrade()
            self.assertEqual((answer['moved'], answer['ended']), (1, 1))
            juliet.expect_stream_error('reset')
            romeo.send("<message to='romeo@localhost/r' id='here'/>")
            romeo.expect("<message id='here'/>")


main()
