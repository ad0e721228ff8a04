#!/usr/bin/python3
"""What was accepted for another server is not lost when this one is killed, or ended, or replaced: it
waits in the spool, and the next process sends it, in order, and only what the other one has not got."""

import signal

from harness.callee import DIALBACK, SM, Callee
from harness.case import ServerCase, main
from harness.connection import Failure

MESSAGE = "<message to='%s' id='%s' type='%s'><body>%s</body></message>"
ENABLE = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
ACK = "<a xmlns='urn:xmpp:sm:3' h='%d'/>"
PING = "<iq type='get' id='%s' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"


class Kept(ServerCase):
    """Each test has a domain of its own, so that none meets what another has left behind."""

    accounts = ('romeo@localhost', 'juliet@localhost')
    modules = ''

    @classmethod
    def setUpClass(cls):
        cls.names = [n[5:].replace('_', '-') + '.example' for n in dir(cls) if n.startswith('test_')]
        cls.callees = {name: Callee(name) for name in cls.names}
        cls.settings = ('s2s_use_starttls: false\ns2s_max_retry_delay: 1 s\ns2s_places:\n' + ''.join(
            '  %s: [%s]\n' % (n, c.place()) for n, c in cls.callees.items()) + cls.modules)
        super().setUpClass()

    @classmethod
    def tearDownClass(cls):
        for callee in cls.callees.values():
            callee.close()
        super().tearDownClass()

    def setUp(self):
        self.domain = self._testMethodName[5:].replace('_', '-') + '.example'
        self.callee = self.callees[self.domain]
        self.romeo = self.log_in()
        self.pings = 0

    def log_in(self):
        romeo = self.server.login('romeo@localhost/' + self.domain)
        self.addCleanup(romeo.close)
        return romeo

    def say(self, *ids, kind='chat'):
        self.romeo.send(''.join(MESSAGE % ('juliet@' + self.domain, i, kind, i) for i in ids))

    def handled(self):
        """All that was said has been."""
        self.pings += 1
        self.romeo.send(PING % self.pings)
        self.hears('iq', str(self.pings), 'result')

    def hears(self, name, id_, type_):
        """This comes next, requests for acknowledgement aside."""
        while self.romeo.stanza().is_('r', 'urn:xmpp:sm:3'):
            pass
        e = self.romeo.last
        self.assertEqual((e.name, e.get('id'), e.get('type')), (name, id_, type_), e.show())

    def again(self, end=signal.SIGKILL):
        if end == signal.SIGKILL:
            self.server.kill()
        else:
            self.server.process.send_signal(end)
            self.assertEqual(self.server.process.wait(30), 0)
        self.romeo.close()
        self.server.again()

    def link(self, features=DIALBACK):
        """The next connection, but for those that a process before has begun."""
        while True:
            link = self.callee.accept()
            self.addCleanup(link.close)
            try:
                link.greet(features)
                link.validate()
                return link
            except (Failure, OSError):
                if not link.ended:
                    raise

    def hang(self):
        """It takes the connection and says nothing."""
        self.addCleanup(self.callee.accept().close)

    def managed(self, enabled="<enabled xmlns='urn:xmpp:sm:3'/>"):
        link = self.link(DIALBACK + SM)
        link.expect(ENABLE)
        link.send(enabled)
        return link

    def came(self, link, *ids):
        """These, and nothing before them."""
        for id_ in ids:
            while link.stanza().is_('r', 'urn:xmpp:sm:3'):
                pass
            self.assertEqual((link.last.name, link.last.get('id'), link.last.child('body').text()),
                             ('message', id_, id_))

    def row(self):
        """On the shard of the link: what was done there before is done."""
        rows = [r for r in self.server.control('s2s', action='list') if r['to'] == self.domain]
        return rows[0] if rows else {}

    def is_silent(self, link, answered):
        """Nothing was sent but what has come: answered is told then."""
        self.romeo = self.log_in()
        self.say(answered)
        self.came(link, answered)

    def test_waiting(self):
        """The other server takes the connection and says nothing."""
        ids = ['m%d' % n for n in range(20)]
        self.say(*ids)
        self.say('room', kind='groupchat')
        self.handled()
        self.hang()
        self.again()
        link = self.link()
        self.came(link, *ids, 'room')
        self.assertEqual(self.row()['waiting'], 0)
        self.again()        # nothing is left of them
        self.romeo = self.log_in()
        self.say('last')
        self.came(self.link(), 'last')

    def test_killed_again(self):
        """Before they could be sent, and with more behind them."""
        for n in range(3):
            self.say('%da' % n, '%db' % n)
            self.handled()
            self.hang()
            self.again()
            self.romeo = self.log_in()
        self.came(self.link(), '0a', '0b', '1a', '1b', '2a', '2b')

    def test_unacknowledged(self):
        """XEP-0198 without resumption: what it has not acknowledged comes, perhaps again."""
        ids = ['m%d' % n for n in range(10)]
        self.say(*ids)
        link = self.managed()
        self.came(link, *ids)
        link.send(ACK % 4)
        while self.row()['unacknowledged'] != 6:
            pass
        self.say('late')
        self.handled()
        self.again()
        link = self.managed()
        self.came(link, *ids[4:], 'late')
        link.send(ACK % 7)
        while self.row()['unacknowledged']:
            pass
        self.again()
        self.romeo = self.log_in()
        self.say('last')
        self.came(self.managed(), 'last')

    def enable(self):
        self.romeo.send(ENABLE)
        self.romeo.expect("<sm:enabled resume='true'/>")
        return self.romeo.last.get('id')

    def resume(self, previd, h):
        """What the server has handled."""
        self.romeo = self.server.connect('romeo')
        self.addCleanup(self.romeo.close)
        self.romeo.open('localhost')
        self.romeo.starttls('localhost')
        self.romeo.open('localhost')
        self.romeo.authenticate('romeo', 'secret of romeo')
        self.romeo.open('localhost')
        self.romeo.send("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='%d'/>" % (previd, h))
        self.romeo.expect("<sm:resumed previd='%s'/>" % previd)
        return int(self.romeo.last.get('h'))

    def test_sender_resumes(self):
        """XEP-0198 §5: its sender is told which were handled, and sends the others again."""
        ids = ['m%d' % n for n in range(300)]
        previd = self.enable()
        self.say(*ids)      # and it is killed in the middle of them
        self.again()
        h = self.resume(previd, 0)
        self.assertLessEqual(h, len(ids))
        self.say(*ids[h:])
        self.handled()
        link = self.link()
        self.came(link, *ids)
        self.is_silent(link, 'last')

    def test_sender_is_told(self):
        """What cannot be sent by the next process, either, comes back to who resumes, once."""
        previd = self.enable()
        self.say('one')
        self.handled()
        self.hang()
        self.server.kill()
        self.romeo.close()
        self.callee.listener.close()
        self.server.again()
        self.resume(previd, 1)
        self.hears('message', 'one', 'error')
        self.handled()

    def test_stopped(self):
        """An orderly end, too."""
        self.say('one', 'two')
        self.handled()
        self.hang()
        self.say('three')
        self.handled()
        self.again(signal.SIGTERM)
        self.came(self.link(), 'one', 'two', 'three')

    def test_upgraded(self):
        """The process that takes this one's place."""
        self.say('one', 'two')
        self.handled()
        self.hang()
        self.server.control('upgrade')
        link = self.link()
        self.came(link, 'one', 'two')
        self.romeo.close()
        self.is_silent(link, 'three')

    def test_part_restarts(self):
        """The part of the server that speaks with others."""
        self.say('one', 'two')
        self.handled()
        self.hang()
        self.server.control('supervisor', action='restart', path='s2s out')
        link = self.link()
        self.came(link, 'one', 'two')
        self.is_silent(link, 'three')


class WithArchive(Kept):
    """Each message is in its sender's archive once."""

    modules = 'modules:\n    mod_mam: {default: always}\n'
    test_upgraded = test_part_restarts = test_stopped = test_sender_is_told = None

    def archived(self):
        return self.server.control('archive-count', user='romeo', host='localhost')['messages']

    def test_sender_resumes(self):
        before = self.archived()
        super().test_sender_resumes()
        self.assertEqual(self.archived() - before, 301)


if __name__ == '__main__':
    main()
