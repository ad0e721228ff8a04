#!/usr/bin/python3
"""What was accepted for another server is not lost when this one is killed, or ended, or replaced: it
waits in the spool, and the next process sends it, in order, and only what the other one has not got."""

import os
import signal
import unittest

from harness.callee import DIALBACK, SM, CalleeCase
from harness.case import main
from harness.connection import Failure
from harness.federation import Linnet, World

MESSAGE = "<message to='%s' id='%s' type='%s'><body>%s</body></message>"
ENABLE = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
ACK = "<a xmlns='urn:xmpp:sm:3' h='%d'/>"
PING = "<iq type='get' id='%s' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>"


def resume(client, domain, previd, h):
    """XEP-0198 §5 on a new connection: what the server has handled."""
    client.open(domain)
    client.starttls(domain)
    client.open(domain)
    client.authenticate('romeo', 'secret of romeo')
    client.open(domain)
    client.send("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='%d'/>" % (previd, h))
    client.expect("<sm:resumed previd='%s'/>" % previd)
    return int(client.last.get('h'))


class Kept(CalleeCase):
    accounts = ('romeo@localhost', 'juliet@localhost')
    begins = 's2s_use_starttls: false\ns2s_max_retry_delay: 1 s\n'

    def setUp(self):
        super().setUp()
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
        self.romeo.send(PING % (self.pings, 'localhost'))
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

    RESUMABLE = "<enabled xmlns='urn:xmpp:sm:3' id='first' resume='true' max='60'/>"

    def sent(self):
        """Ten messages, with something between them that is not kept, and four acknowledged."""
        self.say('m0', 'm1')
        self.romeo.send("<presence to='juliet@%s' id='p'/>" % self.domain)
        self.say(*('m%d' % n for n in range(2, 10)))
        link = self.managed(self.RESUMABLE)
        self.came(link, 'm0', 'm1')
        link.expect("<presence id='p'/>")
        self.came(link, *('m%d' % n for n in range(2, 10)))
        link.send(ACK % 4)
        while self.row()['unacknowledged'] != 7:
            pass
        return link

    def resumes(self, answer):
        link = self.link(DIALBACK + SM)
        link.expect("<resume xmlns='urn:xmpp:sm:3' previd='first' h='0'/>")
        link.send(answer)
        return link

    def test_resumed(self):
        """XEP-0198 §5, by the next process: exactly what the other server has not got goes again."""
        self.sent()
        self.again()
        self.romeo = self.log_in()
        self.say('new')
        self.handled()
        link = self.resumes("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='8'/>")
        self.came(link, 'm7', 'm8', 'm9', 'new')
        link.send(ACK % 10)
        while self.row()['unacknowledged'] != 2:
            pass
        self.again()
        link = self.resumes("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='11'/>")
        self.came(link, 'new')
        link.send(ACK % 12)
        while self.row()['unacknowledged']:
            pass
        self.again()
        link = self.resumes("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='12'/>")
        self.is_silent(link, 'last')

    def test_not_resumed(self):
        """The other server knows nothing of that stream, but how far it came; then not even that."""
        self.sent()
        self.again()
        link = self.resumes("<failed xmlns='urn:xmpp:sm:3' h='9'/>")
        link.expect(ENABLE)
        link.send(self.RESUMABLE)
        self.came(link, 'm8', 'm9')
        self.again()
        link = self.resumes("<failed xmlns='urn:xmpp:sm:3'/>")
        link.expect(ENABLE)
        link.send("<enabled xmlns='urn:xmpp:sm:3'/>")
        self.came(link, 'm8', 'm9')

    def enable(self):
        self.romeo.send(ENABLE)
        self.romeo.expect("<sm:enabled resume='true'/>")
        return self.romeo.last.get('id')

    def resume(self, previd, h):
        """What the server has handled."""
        self.romeo = self.server.connect('romeo')
        self.addCleanup(self.romeo.close)
        return resume(self.romeo, 'localhost', previd, h)

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

    over = 'modules:\n    mod_mam: {default: always}\n'
    test_upgraded = test_part_restarts = test_stopped = test_sender_is_told = None

    def archived(self):
        return self.server.control('archive-count', user='romeo', host='localhost')['messages']

    def test_sender_resumes(self):
        before = self.archived()
        super().test_sender_resumes()
        self.assertEqual(self.archived() - before, 301)


class Between(unittest.TestCase):
    """Two servers that know XEP-0198, one of which is killed while it sends."""

    KILLS = 4
    AT_ONCE = 60

    def meet(self, world):
        one, two = (world.add(Linnet, name + '.example') for name in ('one', 'two'))
        world.start()
        one.register('romeo')
        two.register('juliet')
        juliet = two.login('juliet')
        self.addCleanup(juliet.close)
        juliet.send('<presence/>')
        juliet.expect('<presence/>')
        romeo = one.login('romeo')
        self.addCleanup(romeo.close)
        romeo.send(ENABLE)
        romeo.expect("<sm:enabled resume='true'/>")
        return one, two, romeo, juliet

    def back(self, one, previd):
        romeo = one.connect('romeo')
        self.addCleanup(romeo.close)
        romeo.ca = None
        return romeo, resume(romeo, one.domain, previd, 0)

    def hears(self, juliet, ids):
        for id_ in ids:
            juliet.expect("<message from='romeo@one.example/there' id='%s'/>" % id_)

    def test_killed_while_it_sends(self):
        """Each message arrives once, in order, wherever it was when it happened."""
        with World() as world:
            one, _, romeo, juliet = self.meet(world)
            previd, sent = romeo.last.get('id'), 0
            for _ in range(self.KILLS):
                romeo.send(''.join(MESSAGE % ('juliet@two.example', n, 'chat', n)
                                   for n in range(sent, sent + self.AT_ONCE)))
                heard = sent
                if sent:    # it is in the middle of them
                    self.hears(juliet, [heard])
                    heard += 1
                one.kill()
                romeo.close()
                one.again()
                romeo, handled = self.back(one, previd)
                sent += self.AT_ONCE
                romeo.send(''.join(MESSAGE % ('juliet@two.example', n, 'chat', n)
                                   for n in range(handled, sent)))
                self.hears(juliet, range(heard, sent))

    def test_killed_while_the_other_hangs(self):
        """What the other one has in its socket, and what it has not."""
        with World() as world:
            one, two, romeo, juliet = self.meet(world)
            previd = romeo.last.get('id')
            romeo.send(MESSAGE % ('juliet@two.example', 'first', 'chat', 'first'))
            self.hears(juliet, ['first'])
            os.kill(two.serving_pid(), signal.SIGSTOP)
            try:
                romeo.send(''.join(MESSAGE % ('juliet@two.example', n, 'chat', n) for n in range(40)) + PING % ('x', 'one.example'))
                while not romeo.stanza().is_('iq', 'jabber:client'):
                    pass
                one.kill()
                romeo.close()
                one.again()
            finally:
                os.kill(two.serving_pid(), signal.SIGCONT)
            romeo, handled = self.back(one, previd)
            self.assertEqual(handled, 42)
            romeo.send(MESSAGE % ('juliet@two.example', 'last', 'chat', 'last'))
            self.hears(juliet, [*range(40), 'last'])


if __name__ == '__main__':
    main()
