#!/usr/bin/python3
"""aioxmpp's own services for capabilities of both kinds (XEP-0115, XEP-0390), vCards (XEP-0054) and
private XML with bookmarks (XEP-0049, XEP-0048)."""

import asyncio
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import aioxmpp_test     # noqa: E402  (skips where aioxmpp is not installed)
import aioxmpp.vcard    # noqa: E402
from lxml import etree  # noqa: E402

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import Failure          # noqa: E402


class Cards(ServerCase):
    settings = '''
modules:
    mod_caps: {}
    mod_private: {}
    mod_vcard: {}
    mod_vcard_xupdate: {}
'''
    run_async = aioxmpp_test.Aioxmpp.run_async
    peers = aioxmpp_test.Aioxmpp.peers
    client = aioxmpp_test.Aioxmpp.client

    async def known(self, client):
        """What the server knows of a client once it has been asked."""
        while True:
            try:
                rows = self.server.control('caps', jid=str(client.local_jid))
                return [row['feature'] for row in rows]
            except Failure:
                await asyncio.sleep(0.02)

    def count(self, name):
        for line in self.server.control('metrics').splitlines():
            if line.startswith('linnet_%s ' % name):
                return int(line.split()[1])
        raise AssertionError(name)

    def test_capabilities_of_both_kinds(self):
        async def scenario():
            for old, new in ((True, False), (False, True), (True, True)):
                with self.subTest(old=old, new=new):
                    self.server.control('caps-clear')
                    before = self.count('caps_verified_total')
                    client = self.client('romeo@localhost')
                    caps = client.summon(aioxmpp.EntityCapsService)
                    caps.xep115_support, caps.xep390_support = old, new
                    async with client.connected():
                        known = await self.known(client)
                        self.assertIn('http://jabber.org/protocol/disco#info', known)
                        self.assertEqual(self.count('caps_verified_total'), before + 1)
        self.run_async(scenario)

    def test_vcard(self):
        async def scenario():
            romeo, juliet = self.client('romeo@localhost'), self.client('juliet@localhost')
            async with romeo.connected(), juliet.connected():
                service = romeo.summon(aioxmpp.vcard.VCardService)
                card = await service.get_vcard()
                self.assertEqual(len(card.elements), 0)
                name = etree.Element('{vcard-temp}FN')
                name.text = 'Romeo <Montague>'
                card.elements.append(name)
                await service.set_vcard(card)
                got = await juliet.summon(aioxmpp.vcard.VCardService).get_vcard(romeo.local_jid.bare())
                self.assertEqual([(e.tag, e.text) for e in got.elements],
                                 [('{vcard-temp}FN', 'Romeo <Montague>')])
        self.run_async(scenario)

    def test_bookmarks(self):
        async def scenario():
            romeo, again = self.client('romeo@localhost'), self.client('romeo@localhost')
            room = aioxmpp.bookmarks.Conference('The orchard', aioxmpp.JID.fromstr('orchard@rooms.example'),
                                                autojoin=True, nick='romeo')
            async with romeo.connected():
                await romeo.summon(aioxmpp.BookmarkClient).add_bookmark(room)
            async with again.connected():
                got = await again.summon(aioxmpp.BookmarkClient).get_bookmarks()
                self.assertEqual(got, [room])
        self.run_async(scenario)


if __name__ == '__main__':
    main()
