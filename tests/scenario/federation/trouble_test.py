#!/usr/bin/python3
"""What goes wrong between two servers, here with Debian's prosody: each has its error, which reaches who
wrote, and when the trouble is over what is said arrives again."""

import unittest

from harness.case import main
from harness.federation import Linnet, Prosody, World

TRUSTED = {'settings': 's2s_use_starttls: required_trusted\ns2s_max_retry_delay: 1 s\n'}
MESSAGE = "<message id='%s' to='%s' type='chat'><body>%s</body></message>"


class Trouble(unittest.TestCase):
    def meet(self, world, ours=None, theirs=None):
        linnet = world.add(Linnet, 'linnet.example', **(ours or {}))
        other = world.add(Prosody, 'other.example', **(theirs or {}))
        world.start()
        linnet.register('romeo')
        other.register('juliet')
        return linnet, other, self.log_in(linnet, 'romeo'), self.log_in(other, 'juliet')

    def log_in(self, server, user):
        client = server.login(user)
        self.addCleanup(client.close)
        client.send('<presence/>')
        client.expect('<presence/>')
        return client

    def say(self, sender, to, id_):
        sender.send(MESSAGE % (id_, to, id_))

    def came(self, receiver, *ids):
        for id_ in ids:
            receiver.expect("<message id='%s'><body>%s</body></message>" % (id_, id_))

    def told(self, sender, id_, *conditions):
        """Back with one of these."""
        element = sender.expect("<message id='%s' type='error'><error/></message>" % id_)
        error = element.child('error')
        self.assertIn(error.elements()[0].name, conditions, element.show())
        return element

    def explained(self, linnet):
        return ' '.join(row['what'] for row in
                        linnet.control('s2s', action='explain', domain='other.example'))

    def test_their_certificate(self):
        """RFC 6125 §6: a name that is another's, a time that is over, nobody who vouches for it."""
        for kind, why in (('wrong', 'name'), ('expired', 'expired'), ('self-signed', 'self-signed')):
            with self.subTest(kind), World() as world:
                linnet, _, romeo, juliet = self.meet(world, TRUSTED, {'certificate': kind})
                self.say(romeo, juliet.jid, 'a')
                self.told(romeo, 'a', 'remote-server-timeout', 'remote-server-not-found')
                self.assertIn(why, self.explained(linnet))

    def test_our_certificate(self):
        """RFC 6120 §13.7: they want a good one, and ours is another's."""
        with World() as world:
            _, _, romeo, juliet = self.meet(
                world, {'certificate': 'wrong'},
                {'settings': 's2s_secure_auth = true\nmodules_disabled = { "dialback" }'})
            self.say(romeo, juliet.jid, 'a')
            self.told(romeo, 'a', 'remote-server-timeout', 'remote-server-not-found')
            self.say(juliet, romeo.jid, 'b')
            self.told(juliet, 'b', 'remote-server-not-found', 'remote-server-timeout')

    def test_dead_addresses_come_first(self):
        """RFC 2782, RFC 8305: of two hosts the first has an address that is not there, and a port that
        nobody listens on."""
        with World() as world:
            _, _, romeo, juliet = self.meet(world, None, {
                'records': '_xmpp-server._tcp SRV 1 1 9 dead\n_xmpp-server._tcp SRV 2 1 {port} host\n'
                           'dead A 127.0.0.99\ndead AAAA ::1\n'})
            self.say(romeo, juliet.jid, 'a')
            self.came(juliet, 'a')

    def test_no_service(self):
        """RFC 2782: a target of "." is no server at all, whatever address there is."""
        with World() as world:
            linnet, _, romeo, juliet = self.meet(world, None, {'records': '_xmpp-server._tcp SRV 0 0 0 .'})
            self.say(romeo, juliet.jid, 'a')
            self.told(romeo, 'a', 'remote-server-not-found')
            self.assertIn('no XMPP server', self.explained(linnet))

    def test_it_is_killed(self):
        """With messages on their way: they come back, or go to the next server at that place."""
        with World() as world:
            linnet, other, romeo, juliet = self.meet(world, TRUSTED)
            self.say(romeo, juliet.jid, 'before')
            self.came(juliet, 'before')
            other.kill()
            for n in range(20):
                self.say(romeo, juliet.jid, 'm%d' % n)
            for n in range(20):
                self.told(romeo, 'm%d' % n, 'remote-server-timeout', 'remote-server-not-found')
            other.start()
            juliet = self.log_in(other, 'juliet')
            linnet.control('s2s', action='close', domain='other.example')
            self.say(romeo, juliet.jid, 'after')
            self.came(juliet, 'after')

    def test_it_hangs(self):
        """It takes connections and answers nothing, before the stream is established."""
        with World() as world:
            _, other, romeo, juliet = self.meet(
                world, {'settings': 's2s_negotiation_timeout: 1 s\ns2s_max_retry_delay: 1 s\n'})
            other.pause()
            for n in range(5):
                self.say(romeo, juliet.jid, 'm%d' % n)
            for n in range(5):
                self.told(romeo, 'm%d' % n, 'remote-server-timeout')
            other.go_on()

    def test_messages_wait_while_it_is_slow(self):
        """What is said while the stream opens goes out when it is there, in order."""
        with World() as world:
            _, other, romeo, juliet = self.meet(world, TRUSTED)
            other.pause()
            for n in range(20):
                self.say(romeo, juliet.jid, 'm%d' % n)
            other.go_on()
            self.came(juliet, *('m%d' % n for n in range(20)))


if __name__ == '__main__':
    main()
