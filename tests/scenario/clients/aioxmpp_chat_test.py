#!/usr/bin/python3
"""aioxmpp's own services for what a conversation needs: carbons (XEP-0280), blocking (XEP-0191), and
stream management (XEP-0198): it resumes by itself after the server was killed."""

import asyncio
import datetime
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import aioxmpp_test     # noqa: E402  (skips where aioxmpp is not installed)
import aioxmpp          # noqa: E402
from aioxmpp.im.dispatcher import IMDispatcher, MessageSource   # noqa: E402

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import WAIT_S           # noqa: E402

JULIET = aioxmpp.JID.fromstr('juliet@localhost')


def message(to, text):
    made = aioxmpp.Message(to=to, type_=aioxmpp.MessageType.CHAT)
    made.body[None] = text
    return made


class Chat(ServerCase):
    settings = '''
modules:
    mod_blocking: {}
    mod_carboncopy: {}
    mod_offline: {}
'''
    run_async = aioxmpp_test.Aioxmpp.run_async
    peers = aioxmpp_test.Aioxmpp.peers
    client = aioxmpp_test.Aioxmpp.client

    def conversation(self, client):
        """A queue of (what its dispatcher says of it, sent or received, text)."""
        heard = asyncio.Queue()

        def note(what, _peer, sent, source):
            heard.put_nowait((source, sent, what.body.any()))
            return what
        client.summon(IMDispatcher).message_filter.register(note, 0)
        return heard

    def test_carbons(self):
        async def scenario():
            romeo, window, juliet = map(self.client, ('romeo@localhost/orchard', 'romeo@localhost/window',
                                                      'juliet@localhost/balcony'))
            heard = [self.conversation(c) for c in (romeo, window, juliet)]
            async with romeo.connected(), window.connected(), juliet.connected():
                for client in romeo, window:
                    await client.summon(aioxmpp.CarbonsClient).enable()
                await romeo.send(message(juliet.local_jid, 'out'))
                self.assertEqual(await asyncio.wait_for(heard[2].get(), WAIT_S),
                                 (MessageSource.STREAM, False, 'out'))
                self.assertEqual(await asyncio.wait_for(heard[1].get(), WAIT_S),
                                 (MessageSource.CARBONS, True, 'out'))
                await juliet.send(message(romeo.local_jid, 'in'))
                while True:     # it notes what it sends itself, too
                    came = await asyncio.wait_for(heard[0].get(), WAIT_S)
                    if came[2] == 'in':
                        break
                self.assertEqual(came, (MessageSource.STREAM, False, 'in'))
                self.assertEqual(await asyncio.wait_for(heard[1].get(), WAIT_S),
                                 (MessageSource.CARBONS, False, 'in'))
        self.run_async(scenario)

    def test_blocking(self):
        async def scenario():
            romeo, juliet = self.client('romeo@localhost/orchard'), self.client('juliet@localhost/balcony')
            blocks = romeo.summon(aioxmpp.BlockingClient)
            async with romeo.connected(), juliet.connected():
                changed = asyncio.Queue()
                blocks.on_jids_blocked.connect(changed.put_nowait)
                blocks.on_jids_unblocked.connect(changed.put_nowait)
                await blocks.block_jids([JULIET])
                self.assertEqual(await asyncio.wait_for(changed.get(), WAIT_S), frozenset([JULIET]))
                self.assertEqual(blocks.blocklist, frozenset([JULIET]))
                await juliet.send(message(romeo.local_jid, 'nobody hears'))
                refused = await asyncio.wait_for(juliet.said.get(), WAIT_S)
                self.assertEqual(refused.type_, aioxmpp.MessageType.ERROR)
                await blocks.unblock_jids([JULIET])
                self.assertEqual(await asyncio.wait_for(changed.get(), WAIT_S), frozenset([JULIET]))
                await juliet.send(message(romeo.local_jid, 'again'))
                came = await asyncio.wait_for(romeo.said.get(), WAIT_S)
                self.assertEqual(came.body.any(), 'again')
        self.run_async(scenario)

    def test_a_killed_server(self):
        async def scenario():
            romeo, juliet = self.client('romeo@localhost/orchard'), self.client('juliet@localhost/balcony')
            for client in romeo, juliet:
                client.backoff_start = datetime.timedelta(milliseconds=50)
            back = asyncio.Event()
            began = []
            romeo.on_stream_established.connect(lambda: began.append(romeo.stream))
            romeo.on_stream_resumed.connect(back.set)
            async with romeo.connected(), juliet.connected():
                self.assertTrue(romeo.stream.sm_enabled)
                self.assertTrue(romeo.stream.sm_resumable)
                await juliet.send(message(romeo.local_jid, '0'))
                await asyncio.to_thread(self.server.kill)
                await asyncio.to_thread(self.server.again)
                await asyncio.wait_for(back.wait(), WAIT_S)
                for i in range(1, 5):
                    await asyncio.wait_for(juliet.send(message(romeo.local_jid, str(i))), WAIT_S)
                for i in range(5):
                    came = await asyncio.wait_for(romeo.said.get(), WAIT_S)
                    self.assertEqual(came.body.any(), str(i))
                await romeo.send(message(juliet.local_jid, 'here'))
                came = await asyncio.wait_for(juliet.said.get(), WAIT_S)
                self.assertEqual(came.body.any(), 'here')
                self.assertEqual(len(began), 1)
        self.run_async(scenario)


if __name__ == '__main__':
    main()
