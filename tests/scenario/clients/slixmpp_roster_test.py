#!/usr/bin/python3
"""slixmpp's own roster: contacts, subscriptions with and without being asked, who is there, versions."""

import asyncio
import logging
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

try:
    import slixmpp
except ImportError:
    print('python3-slixmpp is not installed', file=sys.stderr)
    sys.exit(77)    # skipped

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import WAIT_S           # noqa: E402
from harness.server import password_of          # noqa: E402


class Client(slixmpp.ClientXMPP):
    EVENTS = ('session_start', 'roster_update', 'got_online', 'got_offline', 'changed_status',
              'presence_subscribe', 'presence_subscribed', 'presence_unsubscribe',
              'presence_unsubscribed', 'disconnected')

    def __init__(self, server, jid, automatic=True):
        super().__init__(jid, password_of(jid.partition('/')[0]))
        self.under_test = server
        self.ca_certs = server.path('ca.pem')
        # None: slixmpp leaves requests to the program.
        self.auto_authorize = True if automatic else None
        self.auto_subscribe = automatic
        self.changed = asyncio.Event()
        self.seen = []
        for event in self.EVENTS:
            self.add_event_handler(event, lambda data, event=event: self.note(event, data))

    def note(self, event, data):
        sender = str(data['from'].bare) if isinstance(data, slixmpp.stanza.Presence) else ''
        self.seen.append((event, sender))
        self.changed.set()

    async def until(self, condition):
        """Whatever comes, until it is so."""
        async def wait():
            while not condition():
                self.changed.clear()
                await self.changed.wait()
        try:
            await asyncio.wait_for(wait(), WAIT_S)
        except asyncio.TimeoutError:
            raise AssertionError('%s: %s; %s' % (self.boundjid, self.seen, self.client_roster)) from None

    async def until_seen(self, event, sender=''):
        await self.until(lambda: (event, sender) in self.seen)

    async def online(self):
        self.connect(('127.0.0.1', self.under_test.port), force_starttls=True)
        await self.until_seen('session_start')
        await self.get_roster(timeout=WAIT_S)
        self.send_presence()
        return self

    async def offline(self):
        self.disconnect(wait=2)
        await self.until_seen('disconnected')

    def subscription(self, jid):
        return self.client_roster[jid]['subscription'] if jid in self.client_roster else None


class Roster(ServerCase):
    settings = '''
disable_sasl_mechanisms: [SCRAM-SHA-1-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-512-PLUS]
modules:
    mod_roster: {}
'''

    made = set()

    def run_async(self, scenario):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(asyncio.wait_for(scenario(), 6 * WAIT_S))
        finally:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.close()

    def client(self, jid, **how):
        account = jid.partition('/')[0]
        if account not in self.made:
            self.made.add(account)
            self.server.register(account)
        return Client(self.server, jid, **how)

    def test_contacts_are_added_changed_and_removed(self):
        async def scenario():
            one = await self.client('alpha@localhost/one').online()
            other = await self.client('alpha@localhost/other').online()
            await one.update_roster('friend@localhost', name='Friend', groups=['A', 'B'])
            for client in (one, other):
                await client.until(lambda client=client: client.subscription('friend@localhost') == 'none')
                self.assertEqual(client.client_roster['friend@localhost']['name'], 'Friend')
                self.assertEqual(set(client.client_roster['friend@localhost']['groups']), {'A', 'B'})
            await other.update_roster('friend@localhost', name='Old friend', groups=[])
            await one.until(lambda: one.client_roster['friend@localhost']['name'] == 'Old friend')
            await one.del_roster_item('friend@localhost')
            for client in (one, other):
                await client.until(lambda client=client: not client.client_roster.has_jid('friend@localhost'))
            await one.offline()
            await other.offline()
        self.run_async(scenario)

    def test_two_subscribe_and_part(self):
        async def scenario():
            one = await self.client('beta@localhost/one').online()
            other = await self.client('gamma@localhost/other').online()
            # Both answer by themselves and ask back.
            one.send_presence_subscription('gamma@localhost')
            await one.until(lambda: one.subscription('gamma@localhost') == 'both')
            await other.until(lambda: other.subscription('beta@localhost') == 'both')
            await one.until_seen('got_online', 'gamma@localhost')
            await other.until_seen('got_online', 'beta@localhost')
            one.send_presence(pshow='away', pstatus='tea')
            await other.until(lambda: other.client_roster['beta@localhost'].resources
                              .get('one', {}).get('status') == 'tea')
            await one.offline()
            await other.until_seen('got_offline', 'beta@localhost')
            again = await self.client('beta@localhost/again').online()
            await again.until_seen('got_online', 'gamma@localhost')
            self.assertEqual(again.subscription('gamma@localhost'), 'both')
            await again.del_roster_item('gamma@localhost')
            await other.until(lambda: other.subscription('beta@localhost') == 'none')
            await again.offline()
            await other.offline()
        self.run_async(scenario)

    def test_a_request_waits_until_somebody_comes(self):
        async def scenario():
            self.client('epsilon@localhost/x')
            one = await self.client('delta@localhost/one').online()
            one.send_presence_subscription('epsilon@localhost')
            await one.until(lambda: one.subscription('epsilon@localhost') == 'none')
            other = await self.client('epsilon@localhost/other', automatic=False).online()
            await other.until_seen('presence_subscribe', 'delta@localhost')
            await other.offline()
            other = await self.client('epsilon@localhost/other', automatic=False).online()
            await other.until_seen('presence_subscribe', 'delta@localhost')
            other.send_presence_subscription('delta@localhost', ptype='unsubscribed')
            await one.until_seen('presence_unsubscribed', 'epsilon@localhost')
            await other.offline()
            await one.offline()
        self.run_async(scenario)

    def test_versions(self):
        async def scenario():
            one = await self.client('zeta@localhost/one').online()
            self.assertIn('rosterver', one.features)
            await one.update_roster('friend@localhost', name='Friend')
            await one.until(lambda: one.subscription('friend@localhost') == 'none')
            version = one.client_roster.version
            self.assertTrue(version)
            # Asked again with it, the answer is empty, and the roster stays.
            answer = await one.get_roster(timeout=WAIT_S)
            self.assertEqual(answer['type'], 'result')
            self.assertEqual(answer.xml.findall('.//{jabber:iq:roster}item'), [])
            self.assertEqual(one.subscription('friend@localhost'), 'none')
            await one.offline()
        self.run_async(scenario)


if __name__ == '__main__':
    logging.basicConfig(level=os.environ.get('LOGLEVEL', 'CRITICAL'))
    main()
