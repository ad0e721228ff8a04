#!/usr/bin/python3
"""slixmpp's own plugins for vCards and pictures (XEP-0054, XEP-0153), private XML (XEP-0049, with the
bookmarks of XEP-0048), the directory of people (XEP-0055) and capabilities (XEP-0115)."""

import asyncio
import hashlib
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import slixmpp_test     # noqa: E402  (skips where slixmpp is not installed)

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import WAIT_S, Failure  # noqa: E402

PICTURE = b'\x89PNG\r\n\x1a\n' + bytes(range(256))


class Client(slixmpp_test.Client):
    def __init__(self, *args, **how):
        super().__init__(*args, **how)
        for plugin in ('xep_0004', 'xep_0048', 'xep_0049', 'xep_0054', 'xep_0055', 'xep_0115', 'xep_0153'):
            self.register_plugin(plugin)
        self.pictures = asyncio.Queue()
        self.add_event_handler('vcard_avatar_update', self.pictures.put_nowait)


class Cards(ServerCase):
    settings = '''
disable_sasl_mechanisms: [SCRAM-SHA-1-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-512-PLUS]
modules:
    mod_caps: {}
    mod_private: {}
    mod_roster: {}
    mod_vcard: {search: true}
    mod_vcard_xupdate: {}
'''
    run_async = slixmpp_test.Slixmpp.run_async

    def client(self, jid):
        user, _, host = jid.partition('/')[0].partition('@')
        self.server.control('register', user=user, host=host, password='secret', **{'if-absent': True})
        return Client(self.server, jid, 'secret').online()

    async def picture_of(self, client, jid):
        """The hash that a presence of somebody has; others pass by."""
        while True:
            presence = await asyncio.wait_for(client.pictures.get(), WAIT_S)
            if presence['from'] == jid and presence['vcard_temp_update']['photo']:
                return presence['vcard_temp_update']['photo']

    async def known(self, client):
        """What the server knows of a client once it has been asked."""
        while True:
            try:
                rows = self.server.control('caps', jid=client.boundjid.full)
                return [row['feature'] for row in rows]
            except Failure:
                await asyncio.sleep(0.02)

    def test_vcard_and_picture(self):
        async def scenario():
            romeo = await self.client('romeo1@localhost/orchard')
            juliet = await self.client('juliet1@localhost/balcony')
            self.server.control('add-rosteritem', user='romeo1', host='localhost',
                                contact='juliet1@localhost', subscription='both')
            self.server.control('add-rosteritem', user='juliet1', host='localhost',
                                contact='romeo1@localhost', subscription='both')
            card = romeo['xep_0054'].make_vcard()
            card['FN'] = 'Romeo <Montague>'
            card['NICKNAME'] = 'Röm'
            await romeo['xep_0054'].publish_vcard(card, timeout=WAIT_S)
            got = await juliet['xep_0054'].get_vcard('romeo1@localhost', timeout=WAIT_S)
            self.assertEqual(got['vcard_temp']['FN'], 'Romeo <Montague>')
            self.assertEqual(got['vcard_temp']['NICKNAME'], ['Röm'])
            await romeo['xep_0153'].set_avatar(avatar=PICTURE, mtype='image/png', timeout=WAIT_S)
            self.assertEqual(await self.picture_of(juliet, romeo.boundjid), hashlib.sha1(PICTURE).hexdigest())
            got = await juliet['xep_0054'].get_vcard('romeo1@localhost', cached=False, timeout=WAIT_S)
            self.assertEqual(got['vcard_temp']['PHOTO']['BINVAL'], PICTURE)
            self.assertEqual(got['vcard_temp']['FN'], 'Romeo <Montague>')
            await romeo.offline()
            await juliet.offline()
        self.run_async(scenario)

    def test_picture_of_an_account_without_a_vcard(self):
        async def scenario():
            romeo = await self.client('romeo2@localhost/orchard')
            await romeo['xep_0153'].set_avatar(avatar=PICTURE, mtype='image/png', timeout=WAIT_S)
            shown = self.server.control('vcard', user='romeo2', host='localhost')
            self.assertEqual(shown['photo'], hashlib.sha1(PICTURE).hexdigest())
            await romeo.offline()
        self.run_async(scenario)

    def test_bookmarks(self):
        async def scenario():
            romeo = await self.client('romeo3@localhost/orchard')
            bookmarks = romeo['xep_0048'].stanza.Bookmarks()
            bookmarks.add_conference('orchard@rooms.example', 'romeo', name='The orchard', autojoin=True)
            await romeo['xep_0048'].set_bookmarks(bookmarks, method='xep_0049', timeout=WAIT_S)
            again = await self.client('romeo3@localhost/garden')
            got = await again['xep_0048'].get_bookmarks(method='xep_0049', timeout=WAIT_S)
            rooms = got['private']['bookmarks']['conferences']
            self.assertEqual([(str(room['jid']), room['name']) for room in rooms],
                             [('orchard@rooms.example', 'The orchard')])
            await again.offline()
            await romeo.offline()
        self.run_async(scenario)

    def test_search(self):
        async def scenario():
            romeo = await self.client('romeo4@localhost/orchard')
            card = romeo['xep_0054'].make_vcard()
            card['NICKNAME'] = 'ROMEO Four'
            await romeo['xep_0054'].publish_vcard(card, timeout=WAIT_S)
            wish = romeo.make_iq_set(ito='vjud.localhost')
            wish.enable('register')
            await wish.send(timeout=WAIT_S)
            form = romeo.make_iq_get(ito='vjud.localhost')
            form.enable('search')
            form = await form.send(timeout=WAIT_S)
            self.assertIn('nick', form['search']['form'].get_fields())
            ask = romeo.make_iq_set(ito='vjud.localhost')
            ask['search']['form']['type'] = 'submit'
            ask['search']['form'].add_field(var='FORM_TYPE', ftype='hidden', value='jabber:iq:search')
            ask['search']['form'].add_field(var='nick', value='romeo f*')
            found = await ask.send(timeout=WAIT_S)
            items = found['search']['form'].get_items()
            self.assertEqual([item['jid'] for item in items], ['romeo4@localhost'])
            await romeo.offline()
        self.run_async(scenario)

    def test_capabilities(self):
        async def scenario():
            romeo = await self.client('romeo5@localhost/orchard')
            await romeo['xep_0115'].update_caps()
            known = await self.known(romeo)     # it is asked, and answers by itself
            self.assertIn('http://jabber.org/protocol/caps', known)
            self.assertIn('jabber:iq:version', known)
            self.assertRegex(self.server.control('metrics'), r'linnet_caps_verified_total [1-9]')
            await romeo.offline()
        self.run_async(scenario)


if __name__ == '__main__':
    main()
