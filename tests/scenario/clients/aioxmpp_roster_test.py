#!/usr/bin/python3
"""aioxmpp's own roster and presence services: what they make of contacts and subscriptions."""

import asyncio
import logging
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

try:
    import aioxmpp
    import aioxmpp.connector
except ImportError:
    print('python3-aioxmpp is not installed', file=sys.stderr)
    sys.exit(77)    # skipped

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import WAIT_S           # noqa: E402
from harness.server import password_of          # noqa: E402

JID = aioxmpp.JID.fromstr


class Client:
    def __init__(self, server, jid):
        jid = JID(jid)
        peer = ('127.0.0.1', server.port, aioxmpp.connector.STARTTLSConnector())
        self.node = aioxmpp.PresenceManagedClient(
            jid, aioxmpp.make_security_layer(password_of(str(jid.bare())), no_verify=True),
            override_peer=[peer], max_initial_attempts=1)
        self.roster = self.node.summon(aioxmpp.RosterClient)
        self.presence = self.node.summon(aioxmpp.PresenceClient)
        self.asked, self.changed = [], asyncio.Event()
        self.roster.on_subscribe.connect(self._on_subscribe)
        for signal in (self.roster.on_initial_roster_received, self.roster.on_entry_added,
                       self.roster.on_entry_removed, self.roster.on_entry_name_changed,
                       self.roster.on_entry_subscription_state_changed,
                       self.roster.on_entry_added_to_group, self.roster.on_entry_removed_from_group,
                       self.presence.on_bare_available, self.presence.on_bare_unavailable,
                       self.presence.on_changed):
            signal.connect(self._on_change)

    def _on_subscribe(self, stanza):
        self.asked.append(stanza.from_.bare())
        self.changed.set()

    def _on_change(self, *_args, **_named):
        self.changed.set()

    async def until(self, condition):
        async def wait():
            while not condition():
                self.changed.clear()
                await self.changed.wait()
        try:
            await asyncio.wait_for(wait(), WAIT_S)
        except asyncio.TimeoutError:
            raise AssertionError('%s: %s' % (self.node.local_jid, self.roster.items)) from None

    def entry(self, jid):
        return self.roster.items.get(JID(jid))

    def subscription(self, jid):
        return self.entry(jid).subscription if self.entry(jid) else None

    def resources(self, jid):
        return set(self.presence.get_peer_resources(JID(jid)))


class Roster(ServerCase):
    accounts = ('romeo@localhost', 'juliet@localhost', 'paris@localhost', 'nurse@localhost')
    settings = '''
modules:
    mod_roster: {}
'''

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

    def test_contacts_are_added_changed_and_removed(self):
        async def scenario():
            one, other = (Client(self.server, 'paris@localhost/' + r) for r in ('one', 'other'))
            async with one.node.connected(), other.node.connected():
                await one.roster.set_entry(JID('nurse@localhost'), name='Nurse', add_to_groups={'A', 'B'})
                for client in (one, other):
                    await client.until(lambda client=client: client.entry('nurse@localhost'))
                    self.assertEqual(client.entry('nurse@localhost').name, 'Nurse')
                    self.assertEqual(set(client.entry('nurse@localhost').groups), {'A', 'B'})
                await other.roster.set_entry(JID('nurse@localhost'), name='N', remove_from_groups={'A'})
                await one.until(lambda: one.entry('nurse@localhost').name == 'N')
                self.assertEqual(set(one.entry('nurse@localhost').groups), {'B'})
                await one.roster.remove_entry(JID('nurse@localhost'))
                await other.until(lambda: not other.entry('nurse@localhost'))
                with self.assertRaises(aioxmpp.errors.XMPPCancelError) as caught:
                    await one.roster.remove_entry(JID('nurse@localhost'))
                self.assertEqual(caught.exception.condition.name, 'ITEM_NOT_FOUND')
        self.run_async(scenario)

    def test_two_subscribe_and_part(self):
        async def scenario():
            romeo, juliet = (Client(self.server, j) for j in ('romeo@localhost/o', 'juliet@localhost/b'))
            async with romeo.node.connected(), juliet.node.connected():
                romeo.roster.subscribe(JID('juliet@localhost'))
                await juliet.until(lambda: JID('romeo@localhost') in juliet.asked)
                await romeo.until(lambda: romeo.entry('juliet@localhost'))
                self.assertEqual(romeo.entry('juliet@localhost').ask, 'subscribe')
                juliet.roster.approve(JID('romeo@localhost'))
                await romeo.until(lambda: romeo.subscription('juliet@localhost') == 'to')
                await romeo.until(lambda: romeo.resources('juliet@localhost') == {'b'})
                self.assertEqual(juliet.subscription('romeo@localhost'), 'from')
                juliet.node.presence = aioxmpp.PresenceState(True, aioxmpp.PresenceShow.AWAY)
                await romeo.until(lambda: romeo.presence.get_most_available_stanza(JID('juliet@localhost')).show
                                  == aioxmpp.PresenceShow.AWAY)
                self.assertEqual(juliet.resources('romeo@localhost'), set())
                romeo.roster.unsubscribe(JID('juliet@localhost'))
                await romeo.until(lambda: romeo.subscription('juliet@localhost') == 'none')
                await juliet.until(lambda: juliet.subscription('romeo@localhost') == 'none')
                await romeo.until(lambda: romeo.resources('juliet@localhost') == set())
        self.run_async(scenario)

    def test_approved_before_it_was_asked_for(self):
        async def scenario():
            nurse, paris = (Client(self.server, j) for j in ('nurse@localhost/k', 'paris@localhost/r'))
            async with nurse.node.connected(), paris.node.connected():
                nurse.roster.approve(JID('paris@localhost'))
                await nurse.until(lambda: nurse.entry('paris@localhost'))
                self.assertTrue(nurse.entry('paris@localhost').approved)
                paris.roster.subscribe(JID('nurse@localhost'))
                await paris.until(lambda: paris.subscription('nurse@localhost') == 'to')
                await paris.until(lambda: paris.resources('nurse@localhost') == {'k'})
                self.assertEqual(nurse.subscription('paris@localhost'), 'from')
                self.assertEqual(nurse.asked, [])
        self.run_async(scenario)


if __name__ == '__main__':
    logging.basicConfig(level=os.environ.get('LOGLEVEL', 'CRITICAL'))
    main()
