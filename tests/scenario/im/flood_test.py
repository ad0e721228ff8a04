#!/usr/bin/python3
"""Accounts that flood each other with presence while their rosters and subscriptions change, and
while resources come and go: what one session hears of another comes in order, each side's roster
comes to fit the other's, and versions lead to the same roster as the whole (RFC 6121 §2.6, §3, §4)."""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main   # noqa: E402

ACCOUNTS = ('romeo', 'juliet', 'nurse', 'paris')
RESOURCES = ('a', 'b', 'c')
ROUNDS = 8
STANZAS = 40        # of each session in a round

QUERY = "<query xmlns='jabber:iq:roster'%s>%s</query>"


class Session:
    def __init__(self, case, account, resource):
        self.case, self.account, self.jid = case, account, '%s@localhost/%s' % (account, resource)
        self.heard = {}         # by full JID: the last number
        self.roster = {}        # by address: subscription and ask
        self.version = ''
        self.number = 0
        self.connect()

    def connect(self):
        self.stream = self.case.server.login(self.jid)
        self.present = False
        self.roster, self.version = {}, ''
        self.heard = {}
        self.stream.send("<iq type='get' id='roster'>%s</iq><presence/>" % (QUERY % (" ver=''", '')))
        self.until('roster')

    def others(self):
        return [a for a in ACCOUNTS if a != self.account]

    def something(self, chance):
        """One stanza that a client might send at this moment."""
        other = '%s@localhost' % chance.choice(self.others())
        dice = chance.random()
        if dice < 0.6:
            self.number += 1
            return '<presence><status>%d</status></presence>' % self.number
        if dice < 0.8:
            kind = chance.choice(('subscribe', 'subscribe', 'subscribed', 'subscribed',
                                  'unsubscribe', 'unsubscribed'))
            return "<presence to='%s' type='%s'/>" % (other, kind)
        if dice < 0.86:
            return "<presence type='unavailable'/><presence/>"
        if dice < 0.96:
            item = "<item jid='%s' name='%d'><group>G</group></item>" % (other, chance.randrange(99))
            return "<iq type='set' id='set'>%s</iq>" % (QUERY % ('', item))
        item = "<item jid='%s' subscription='remove'/>" % other
        return "<iq type='set' id='set'>%s</iq>" % (QUERY % ('', item))

    def until(self, identity):
        """Reads until the answer with this id has come."""
        while True:
            e = self.stream.stanza()
            if e.name == 'presence':
                self.on_presence(e)
            if e.name != 'iq':
                continue
            query = [c for c in e.elements() if c.ns == 'jabber:iq:roster']
            if query and e.attrs['type'] in ('set', 'result'):
                self.on_roster(e, query[0])
            if e.attrs.get('id') == identity and e.attrs['type'] != 'set':
                return e

    def on_presence(self, e):
        status = [c for c in e.elements() if c.name == 'status']
        if e.attrs.get('type') or not status:
            return
        number = int(''.join(status[0].children))
        sender = e.attrs['from']
        # A probe's answer may tell the last one again, never an older one.
        self.case.assertGreaterEqual(number, self.heard.get(sender, 0), '%s of %s' % (self.jid, sender))
        self.heard[sender] = number

    def on_roster(self, e, query):
        if e.attrs['type'] == 'result':
            self.roster = {}
        for item in query.elements():
            if item.attrs['subscription'] == 'remove':
                self.roster.pop(item.attrs['jid'], None)
            else:
                self.roster[item.attrs['jid']] = (item.attrs['subscription'], item.attrs.get('ask'),
                                                  item.attrs.get('name'))
        self.version = query.attrs.get('ver', self.version)


class Flood(ServerCase):
    accounts = tuple('%s@localhost' % a for a in ACCOUNTS)
    settings = '''
modules:
    mod_roster: {}
    mod_shared_roster: {}
'''

    def settle(self, sessions):
        """Everything that is under way has come: each account's lane has been empty in between."""
        for turn in range(4):
            for s in sessions:
                s.stream.send("<iq type='get' id='settle%d'>%s</iq>"
                              % (turn, QUERY % (" ver='%s'" % s.version, '')))
            for s in sessions:
                s.until('settle%d' % turn)

    def test_order_and_agreement(self):
        chance = random.Random(20261121)
        sessions = [Session(self, a, r) for a in ACCOUNTS for r in RESOURCES]
        for number in range(ROUNDS):
            with self.subTest(round=number):
                for s in sessions:
                    s.stream.send(''.join(s.something(chance) for _ in range(STANZAS)) +
                                  "<iq type='get' id='end'><ping xmlns='urn:xmpp:ping'/></iq>")
                for s in sessions:
                    s.until('end')
                gone = sessions[chance.randrange(len(sessions))]
                gone.stream.close()
                gone.connect()
        self.settle(sessions)
        self.check_copies(sessions)
        self.check_both_halves(sessions)

    def check_copies(self, sessions):
        """Pushes and versions have led every client to the roster that is there."""
        for s in sessions:
            copy = dict(s.roster)
            s.stream.send("<iq type='get' id='whole'>%s</iq>" % (QUERY % ('', '')))
            s.until('whole')
            self.assertEqual(copy, s.roster, s.jid)

    def check_both_halves(self, sessions):
        """Nobody gets presence that the other does not give, nor the other way."""
        rosters = {s.account: s.roster for s in sessions}
        for one in ACCOUNTS:
            for other in ACCOUNTS:
                to = rosters[one].get('%s@localhost' % other, ('none',))[0] in ('to', 'both')
                given = rosters[other].get('%s@localhost' % one, ('none',))[0] in ('from', 'both')
                self.assertEqual(to, given, '%s of %s' % (one, other))

    def test_groups_change_meanwhile(self):
        """Members come and go while their presence floods; no copy of a roster goes astray."""
        chance = random.Random(1121)
        self.server.control('srg-create', group='g', host='localhost', label='Label')
        sessions = [Session(self, a, r) for a in ACCOUNTS for r in ('x', 'y')]
        for number in range(ROUNDS):
            for s in sessions:
                s.stream.send(''.join(s.something(chance) for _ in range(STANZAS // 2)) +
                              "<iq type='get' id='end'><ping xmlns='urn:xmpp:ping'/></iq>")
            for account in ACCOUNTS:
                if chance.random() < 0.6:
                    self.server.control('srg-user-add', user=account, host='localhost', group='g')
            if number % 3 == 1:
                self.server.control('srg-create', group='here', host='localhost', who='online')
            if number % 3 == 2:
                self.server.control('srg-delete', group='here', host='localhost')
            for s in sessions:
                s.until('end')
        self.settle(sessions)
        self.check_copies(sessions)


if __name__ == '__main__':
    main()
