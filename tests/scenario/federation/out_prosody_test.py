#!/usr/bin/python3
"""Streams to Debian's prosody: dialback (XEP-0220), and what becomes of stanzas when it vanishes."""

import time
import unittest

from harness.case import main
from harness.federation import Linnet, Prosody, World

OURS = {'settings': 's2s_max_retry_delay: 1 s\n'}


class Out(unittest.TestCase):
    def meet(self, world, certificates, **theirs):
        linnet = world.add(Linnet, 'linnet.example', certificate=certificates, **OURS)
        prosody = world.add(Prosody, 'prosody.example', certificate=certificates, **theirs)
        if certificates == 'self-signed':
            linnet.ca, prosody.ca = linnet.certificate, prosody.certificate
        world.start()
        linnet.register('romeo')
        prosody.register('juliet')
        romeo, juliet = linnet.login('romeo'), prosody.login('juliet')
        for client in romeo, juliet:
            self.addCleanup(client.close)
            client.send('<presence/>')
            client.expect('<presence/>')
        return linnet, prosody, romeo, juliet

    def say(self, sender, to, *ids):
        for id_ in ids:
            sender.send("<message to='%s' id='%s' type='chat'><body>%s</body></message>" % (to, id_, id_))

    def came(self, receiver, sender, *ids):
        for id_ in ids:
            receiver.expect("<message from='%s' id='%s'><body>%s</body></message>"
                            % (sender.jid, id_, id_))

    def test_dialback(self):
        """Nobody's certificate is worth anything."""
        with World() as world:
            linnet, _, romeo, juliet = self.meet(world, 'self-signed',
                                                 settings='s2s_secure_auth = false')
            self.say(romeo, juliet.jid, *'abc')
            self.came(juliet, romeo, *'abc')
            self.say(juliet, romeo.jid, *'def')
            self.came(romeo, juliet, *'def')
            ways = [r['way'] for r in linnet.control('s2s', action='list')]
            self.assertEqual(len(ways), 1)
            self.assertRegex(ways[0], '^stream_established, .*, TLS, dialback')

    def test_it_vanishes(self):
        """It reads nothing more and then it is gone: what it has not acknowledged (XEP-0198) comes
        back, once; what is sent when it is there again arrives."""
        with World() as world:
            linnet, prosody, romeo, juliet = self.meet(world, 'good', modules=('smacks',))
            self.say(romeo, juliet.jid, 'a')
            self.came(juliet, romeo, 'a')
            while linnet.control('s2s', action='list')[0]['unacknowledged']:
                time.sleep(0.02)
            prosody.pause()
            self.say(romeo, juliet.jid, 'b', 'c')
            prosody.kill()
            self.say(romeo, juliet.jid, 'd')
            back = [romeo.expect("<message type='error' from='%s'/>" % juliet.jid).get('id')
                    for _ in 'bcd']
            self.assertEqual(back, ['b', 'c', 'd'])
            prosody.start()
            again = prosody.login('juliet')
            self.addCleanup(again.close)
            again.send('<presence/>')
            again.expect('<presence/>')
            answer = None
            while not answer or answer.get('type') == 'error':  # it is tried again within a second
                romeo.send("<iq type='get' id='p' to='prosody.example'><ping xmlns='urn:xmpp:ping'/></iq>")
                answer = romeo.expect("<iq id='p'/>")
            self.say(romeo, juliet.jid, 'e')
            self.came(again, romeo, 'e')


if __name__ == '__main__':
    main()
