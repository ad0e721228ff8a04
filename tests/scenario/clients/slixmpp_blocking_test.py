#!/usr/bin/python3
"""slixmpp's own plugin for blocking (XEP-0191): two clients of one account, and who is blocked; with a
report of spam (XEP-0377)."""

import asyncio
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import slixmpp_test     # noqa: E402  (skips where slixmpp is not installed)

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import WAIT_S           # noqa: E402


class Client(slixmpp_test.Client):
    def __init__(self, *args, **how):
        super().__init__(*args, **how)
        self.register_plugin('xep_0191')
        self.pushes = asyncio.Queue()
        for event in ('blocked', 'unblocked'):
            self.add_event_handler(event, lambda iq, event=event: self.pushes.put_nowait((event, iq)))

    async def pushed(self):
        event, iq = await asyncio.wait_for(self.pushes.get(), WAIT_S)
        items = iq['block' if event == 'blocked' else 'unblock']['items']
        return event, sorted(str(jid) for jid in items)

    async def blocked(self):
        answer = await self['xep_0191'].get_blocked(timeout=WAIT_S)
        return sorted(str(jid) for jid in answer['blocklist']['items'])


class Blocking(ServerCase):
    settings = '''
disable_sasl_mechanisms: [SCRAM-SHA-1-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-512-PLUS]
modules:
    mod_blocking: {}
    mod_report: {}
    mod_roster: {}
'''
    run_async = slixmpp_test.Slixmpp.run_async

    async def client(self, jid):
        user, _, host = jid.partition('/')[0].partition('@')
        self.server.control('register', user=user, host=host, password='secret', **{'if-absent': True})
        return await Client(self.server, jid, 'secret').online()

    async def conditions(self, sender, to):
        """The error that a message is answered with; None: the receiver has it."""
        came = asyncio.Queue()
        sender.add_event_handler('message_error', came.put_nowait, disposable=True)
        sender.send_message(mto=to, mbody='hi', mtype='chat')
        error = await asyncio.wait_for(came.get(), WAIT_S)
        return error['error']['condition']

    def test_block_and_unblock(self):
        async def scenario():
            juliet = await self.client('juliet1@localhost/balcony')
            chamber = await self.client('juliet1@localhost/chamber')
            romeo = await self.client('romeo1@localhost/orchard')
            self.assertEqual(await juliet.blocked(), [])
            self.assertEqual(await chamber.blocked(), [])
            await juliet['xep_0191'].block(['romeo1@localhost', 'spam.example'], timeout=WAIT_S)
            for client in (juliet, chamber):
                self.assertEqual(await client.pushed(), ('blocked', ['romeo1@localhost', 'spam.example']))
            self.assertEqual(await chamber.blocked(), ['romeo1@localhost', 'spam.example'])
            self.assertEqual(await self.conditions(romeo, juliet.boundjid.full), 'service-unavailable')
            self.assertEqual(await self.conditions(juliet, romeo.boundjid.full), 'not-acceptable')
            await chamber['xep_0191'].unblock('romeo1@localhost', timeout=WAIT_S)
            for client in (juliet, chamber):
                self.assertEqual(await client.pushed(), ('unblocked', ['romeo1@localhost']))
            romeo.send_message(mto=juliet.boundjid.full, mbody='at last', mtype='chat')
            came = await asyncio.wait_for(juliet.said.get(), WAIT_S)
            self.assertEqual(came['body'], 'at last')
            self.assertEqual(await juliet.blocked(), ['spam.example'])
            for client in (juliet, chamber, romeo):
                await client.offline()
        self.run_async(scenario)

    def test_kept_over_a_restart(self):
        async def block():
            juliet = await self.client('juliet2@localhost/balcony')
            await juliet['xep_0191'].block('romeo2@localhost', timeout=WAIT_S)
            await juliet.offline()

        async def look():
            juliet = await self.client('juliet2@localhost/balcony')
            romeo = await self.client('romeo2@localhost/orchard')
            self.assertEqual(await juliet.blocked(), ['romeo2@localhost'])
            self.assertEqual(await self.conditions(romeo, juliet.boundjid.full), 'service-unavailable')
            await juliet.offline()
            await romeo.offline()

        self.run_async(block)
        self.server.stop()
        self.server.again()
        self.run_async(look)

    def test_a_report_comes_with_it(self):
        client = self.server.login('juliet@localhost/balcony')
        client.send("<iq type='set' id='b'><block xmlns='urn:xmpp:blocking'><item jid='spam@elsewhere.example'>"
                    "<report xmlns='urn:xmpp:reporting:1' reason='urn:xmpp:reporting:spam'>"
                    "<text>buy, buy</text></report></item><item jid='other@elsewhere.example'/></block></iq>")
        client.expect("<iq type='result' id='b'/>")
        end = time.monotonic() + WAIT_S
        while not (found := self.server.control('reports')):
            self.assertLess(time.monotonic(), end, 'it is never kept')
            time.sleep(0.02)
        self.assertEqual([row['reported'] for row in found], ['spam@elsewhere.example'])


if __name__ == '__main__':
    main()
