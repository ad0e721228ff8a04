#!/usr/bin/python3
"""slixmpp's own plugins for archives (XEP-0313) and their pages (XEP-0059)."""

import asyncio
import datetime
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import slixmpp_test     # noqa: E402  (skips where slixmpp is not installed)

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import WAIT_S           # noqa: E402


class Client(slixmpp_test.Client):
    def __init__(self, *args, **how):
        super().__init__(*args, **how)
        for plugin in ('xep_0313', 'xep_0359'):
            self.register_plugin(plugin)


class Archive(ServerCase):
    settings = '''
disable_sasl_mechanisms: [SCRAM-SHA-1-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-512-PLUS]
modules:
    mod_mam: {}
    mod_offline: {}
'''
    run_async = slixmpp_test.Slixmpp.run_async

    def client(self, jid):
        user, _, host = jid.partition('/')[0].partition('@')
        self.server.control('register', user=user, host=host, password='secret', **{'if-absent': True})
        return Client(self.server, jid, 'secret').online()

    async def say(self, sender, receiver, n):
        for i in range(n):
            sender.send_message(mto=receiver.boundjid.full, mbody='message %d' % i, mtype='chat')
        return [await asyncio.wait_for(receiver.said.get(), WAIT_S) for _ in range(n)]

    @staticmethod
    def bodies(results):
        return [r['mam_result']['forwarded']['stanza']['body'] for r in results]

    def test_pages(self):
        wanted = ['message %d' % i for i in range(25)]

        async def scenario():
            benvolio = await self.client('benvolio@localhost/orchard')
            rosaline = await self.client('rosaline@localhost/balcony')
            came = await self.say(benvolio, rosaline, 25)
            for client in (benvolio, rosaline):
                mam = client['xep_0313']
                found = [m async for m in mam.iterate(rsm={'max': 10})]
                self.assertEqual(self.bodies(found), wanted)
                found = [m async for m in mam.iterate(rsm={'max': 7}, reverse=True)]
                self.assertEqual(self.bodies(found), wanted[::-1])
            ids = [m['mam_result']['id'] async for m in rosaline['xep_0313'].iterate(rsm={'max': 100})]
            self.assertEqual(ids, [m['stanza_id']['id'] for m in came])
            stamp = found[0]['mam_result']['forwarded']['delay']['stamp']
            now = datetime.datetime.now(datetime.timezone.utc)
            self.assertLess(abs((now - stamp).total_seconds()), 10 * WAIT_S)
            for client in (benvolio, rosaline):
                await client.offline()
        self.run_async(scenario)

    def test_filters(self):
        async def scenario():
            nurse = await self.client('nurse@localhost/hall')
            mercutio = await self.client('mercutio@localhost/street')
            tybalt = await self.client('tybalt@localhost/square')
            await self.say(nurse, tybalt, 2)
            await self.say(mercutio, tybalt, 3)
            mam = tybalt['xep_0313']
            found = [m async for m in mam.iterate(with_jid='nurse@localhost')]
            self.assertEqual(self.bodies(found), ['message 0', 'message 1'])
            future = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=1)
            self.assertEqual([m async for m in mam.iterate(start=future)], [])
            self.assertEqual(len([m async for m in mam.iterate(end=future)]), 5)
            for client in (nurse, mercutio, tybalt):
                await client.offline()
        self.run_async(scenario)


if __name__ == '__main__':
    main()
