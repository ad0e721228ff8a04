#!/usr/bin/python3
"""A component of another hand: slixmpp's ComponentXMPP, a bot that echoes messages, has presence, asks
and answers requests both ways, and, privileged, keeps its contact in somebody's roster and speaks in
their name (XEP-0356)."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../clients'))

import slixmpp_test     # noqa: E402  (skips where slixmpp is not installed)

import slixmpp          # noqa: E402
from harness.case import ServerCase, main       # noqa: E402
from harness.connection import WAIT_S           # noqa: E402


class Bot(slixmpp.ComponentXMPP):
    def __init__(self, server, domain='bot.localhost', secret='a secret of ours'):
        super().__init__(domain, secret)
        self.under_test = server
        self.server_host = 'localhost'      # whom privileged messages are sent to
        self.events, self.presences = asyncio.Queue(), asyncio.Queue()
        for plugin in ('xep_0030', 'xep_0092', 'xep_0199', 'xep_0356'):
            self.register_plugin(plugin)
        for event in ('session_start', 'disconnected', 'stream_error', 'privileges_advertised'):
            self.add_event_handler(event, lambda *_, event=event: self.events.put_nowait(event))
        self.add_event_handler('message', self.on_message)
        self.add_event_handler('presence', self.presences.put_nowait)

    def on_message(self, message):
        if message['type'] in ('chat', 'normal') and message['body']:
            self.send_message(mto=message['from'], mfrom=message['to'], mbody='echo: ' + message['body'],
                              mtype=message['type'])

    async def wait_for(self, what):
        while await asyncio.wait_for(self.events.get(), WAIT_S) != what:
            pass

    async def online(self, last='session_start'):
        self.connect('127.0.0.1', self.under_test.component_port)
        await self.wait_for(last)
        return self

    async def offline(self):
        self.disconnect(wait=2)
        await self.wait_for('disconnected')


class Component(ServerCase):
    settings = '''
disable_sasl_mechanisms: [SCRAM-SHA-1-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-512-PLUS]
listen:
    - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s}
    - port: ${component_port}
      ip: 127.0.0.1
      module: ejabberd_service
      hosts: {bot.localhost: {password: a secret of ours}, plain.localhost: {password: x}}
acl: {bot: {server: bot.localhost}}
access_rules: {bot: {allow: bot}}
modules:
    mod_roster: {}
    mod_carboncopy: {}
    mod_privilege: {roster: {both: bot}, message: {outgoing: bot}, presence: {managed_entity: bot}}
'''
    run_async = slixmpp_test.Slixmpp.run_async

    async def client(self, jid):
        return await slixmpp_test.Client(self.server, jid, 'secret of ' + jid.partition('@')[0]).online()

    def test_talks(self):
        async def scenario():
            bot = await Bot(self.server).online()
            romeo = await self.client('romeo@localhost/orchard')
            for to in ('bot.localhost', 'echo@bot.localhost', 'echo@bot.localhost/here'):
                romeo.send_message(mto=to, mbody='hello & <you>', mtype='chat')
                said = await asyncio.wait_for(romeo.said.get(), WAIT_S)
                self.assertEqual((said['from'], said['body']), (to, 'echo: hello & <you>'))
            await romeo['xep_0199'].send_ping('bot.localhost', timeout=WAIT_S)
            await bot['xep_0199'].send_ping(romeo.boundjid, ifrom='echo@bot.localhost', timeout=WAIT_S)
            await bot['xep_0199'].send_ping('localhost', ifrom='bot.localhost', timeout=WAIT_S)
            items = await romeo['xep_0030'].get_items(jid='localhost', timeout=WAIT_S)
            self.assertIn('bot.localhost', [item[0] for item in items['disco_items']['items']])
            info = await romeo['xep_0030'].get_info(jid='bot.localhost', timeout=WAIT_S)
            self.assertIn('http://jabber.org/protocol/disco#info', info['disco_info']['features'])
            listed = {row['domain']: row for row in self.server.control('components')}
            self.assertEqual(listed['bot.localhost']['tls'], False)
            self.assertGreater(listed['bot.localhost']['received'], 3)
            await romeo.offline()
            await bot.offline()
        self.run_async(scenario)

    def test_subscribes(self):
        async def scenario():
            bot = await Bot(self.server, 'plain.localhost', 'x').online()
            romeo = await self.client('romeo@localhost/orchard')
            romeo.auto_authorize = romeo.auto_subscribe = True
            bot.send_presence_subscription(pto='romeo@localhost', pfrom='echo@plain.localhost')
            while True:     # once it may, it hears of every client
                presence = await asyncio.wait_for(bot.presences.get(), WAIT_S)
                if presence['type'] == 'available':
                    break
            self.assertEqual(presence['from'], romeo.boundjid)
            await romeo.offline()
            while presence['type'] != 'unavailable':
                presence = await asyncio.wait_for(bot.presences.get(), WAIT_S)
            await bot.offline()
        self.run_async(scenario)

    def test_privileged(self):
        async def scenario():
            bot = await Bot(self.server).online('privileges_advertised')
            privileged = bot['xep_0356']
            self.assertEqual(privileged.granted_privileges,
                             {'roster': 'both', 'message': 'outgoing', 'presence': 'managed_entity'})
            await privileged.set_roster('juliet@localhost', {
                'friend@bot.localhost': {'name': 'A friend', 'subscription': 'both', 'groups': ['Bots']},
            }, timeout=WAIT_S)
            # What slixmpp thinks of it: else it answers a probe by ending the subscription.
            bot.roster['friend@bot.localhost'].add('juliet@localhost', ato=True, afrom=True)
            juliet = await self.client('juliet@localhost/balcony')
            while True:
                presence = await asyncio.wait_for(bot.presences.get(), WAIT_S)
                if presence['to'] == 'friend@bot.localhost' and presence['type'] == 'available':
                    break       # the contact hears it: the subscription holds
            self.assertEqual(presence['from'], juliet.boundjid)
            roster = await privileged.get_roster('juliet@localhost', timeout=WAIT_S)
            item = roster['roster']['items'][slixmpp.JID('friend@bot.localhost')]
            self.assertEqual((item['name'], item['subscription'], item['groups']),
                             ('A friend', 'both', ['Bots']))
            romeo = await self.client('romeo@localhost/orchard')
            message = bot.make_message(mto=romeo.boundjid, mfrom='juliet@localhost', mtype='chat',
                                       mbody='I said it elsewhere')
            privileged.send_privileged_message(message)
            said = await asyncio.wait_for(romeo.said.get(), WAIT_S)
            self.assertEqual((said['from'], said['body']), ('juliet@localhost', 'I said it elsewhere'))
            for client in (romeo, juliet, bot):
                await client.offline()
        self.run_async(scenario)

    def test_wrong_secret(self):
        async def scenario():
            bot = await Bot(self.server, secret='another').online('stream_error')
            bot.abort()
        self.run_async(scenario)


if __name__ == '__main__':
    main()
