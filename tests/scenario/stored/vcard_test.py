#!/usr/bin/python3
"""What an operator sees of vCards (XEP-0054), and how settings of the directory change."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.console import FAILED, ConsoleCase, main  # noqa: E402

CARD = "<vCard xmlns='vcard-temp'><FN>Romeo</FN><PHOTO><BINVAL>iVBORw0KGgo=</BINVAL></PHOTO></vCard>"
HASH = '4caece539b039b16e16206ea2478f8c5ffb2ca05'
SEARCH = ("<iq type='set' id='s' to='%s'><query xmlns='jabber:iq:search'>"
          "<nick>romeo</nick></query></iq>")


class Cards(ConsoleCase):
    over = 'modules:\n    mod_vcard: {search: true}\n'

    def login(self):
        self.server.register('romeo@localhost')
        return self.server.login('romeo@localhost/orchard')

    def store(self, client, card):
        client.send("<iq type='set' id='v'>%s</iq>" % card)
        client.expect("<iq type='result' id='v'/>")

    def test_shown_and_deleted(self):
        romeo = self.login()
        self.assertIn('romeo@localhost has no vCard', self.refused(FAILED, 'vcard', 'romeo', 'localhost'))
        self.store(romeo, CARD)
        self.assertEqual(self.ctl.json('vcard', 'romeo', 'localhost'),
                         {'vcard': CARD, 'photo': HASH, 'registered': False})
        romeo.send("<iq type='set' id='r' to='vjud.localhost'><query xmlns='jabber:iq:register'/></iq>")
        romeo.expect("<iq type='result' id='r'/>")
        self.assertTrue(self.ctl.json('vcard', 'romeo', 'localhost')['registered'])
        self.assertEqual(self.ctl.json('vcard-delete', 'romeo', 'localhost'), {'deleted': 1})
        self.assertEqual(self.ctl.json('vcard-delete', 'romeo', 'localhost'), {'deleted': 0})
        romeo.send("<iq type='get' id='v'><vCard xmlns='vcard-temp'/></iq>")
        romeo.expect("<iq type='result' id='v'><vCard xmlns='vcard-temp'/></iq>")
        romeo.send("<iq type='get' id='v' to='romeo@localhost'><vCard xmlns='vcard-temp'/></iq>")
        self.assertNotIn('FN', romeo.stanza().show())
        romeo.close()

    def test_settings_of_the_directory(self):
        romeo = self.login()
        self.store(romeo, "<vCard xmlns='vcard-temp'><NICKNAME>Romeo</NICKNAME></vCard>")
        romeo.send(SEARCH % 'vjud.localhost')
        romeo.expect("<iq type='result' id='s'><query xmlns='jabber:iq:search'/></iq>")
        self.server.write_settings(
            'modules:\n    mod_vcard: {search: true, host: people.@HOST@, listing: everybody}\n')
        self.done('reload')
        romeo.send(SEARCH % 'people.localhost')
        romeo.expect("<iq type='result' id='s' from='people.localhost'>"
                     "<query xmlns='jabber:iq:search'><item jid='romeo@localhost'/></query></iq>")
        self.server.write_settings('modules:\n    mod_vcard: {}\n')
        self.done('reload')
        romeo.send(SEARCH % 'people.localhost')
        romeo.expect("<iq type='error' id='s'/>")
        self.assertNotIn('people', self.done('hosts'))
        romeo.close()

    def test_who_may(self):
        self.server.write_settings(
            'acl: {staff: {user: juliet}}\n'
            'access_rules: {staff: {allow: staff}}\n'
            'modules:\n    mod_vcard: {search: true, access: staff, access_search: staff}\n')
        self.done('reload')
        romeo = self.login()
        self.store(romeo, CARD)
        self.server.register('juliet@localhost')
        juliet = self.server.login('juliet@localhost/balcony')
        juliet.send("<iq type='get' id='v' to='romeo@localhost'><vCard xmlns='vcard-temp'/></iq>")
        juliet.expect("<iq type='result' id='v'><vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard></iq>")
        self.store(juliet, CARD)
        romeo.send("<iq type='get' id='v' to='juliet@localhost'><vCard xmlns='vcard-temp'/></iq>")
        romeo.expect("<iq type='error' id='v'><error><e:service-unavailable/></error></iq>")
        romeo.send("<iq type='get' id='v'><vCard xmlns='vcard-temp'/></iq>")
        romeo.expect("<iq type='result' id='v'><vCard xmlns='vcard-temp'><FN>Romeo</FN></vCard></iq>")
        romeo.send(SEARCH % 'vjud.localhost')
        romeo.expect("<iq type='error' id='s'><error><e:forbidden/></error></iq>")
        romeo.close()
        juliet.close()


if __name__ == '__main__':
    main()
