#!/usr/bin/python3
"""What an operator sees and does with rosters and shared groups; and that both last."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.console import FAILED, ConsoleCase, main  # noqa: E402

GET = "<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>"


class Rosters(ConsoleCase):
    over = 'modules:\n    mod_roster: {}\n'

    def setUp(self):
        super().setUp()
        for name in ('romeo', 'juliet'):
            self.server.register(name + '@localhost')

    def roster(self, user):
        return {row['contact']: row for row in self.ctl.json('get-roster', user, 'localhost')}

    def test_listed_added_and_deleted(self):
        self.assertEqual(self.roster('romeo'), {})
        self.done('add-rosteritem', 'romeo', 'localhost', 'juliet@localhost', '--name', 'Juliet',
                  '--groups', 'Friends;Capulets', '--subscription', 'both')
        self.assertEqual(self.roster('romeo'), {'juliet@localhost': {
            'contact': 'juliet@localhost', 'name': 'Juliet', 'subscription': 'both', 'pending': '',
            'groups': ['Friends', 'Capulets']}})
        self.done('add-rosteritem', 'romeo', 'localhost', 'juliet@localhost')
        self.assertEqual(self.roster('romeo')['juliet@localhost']['subscription'], 'none')
        self.done('delete-rosteritem', 'romeo', 'localhost', 'juliet@localhost')
        self.assertEqual(self.roster('romeo'), {})

    def test_who_waits_is_listed(self):
        romeo = self.server.login('romeo@localhost/r')
        romeo.send(GET + "<presence to='juliet@localhost' type='subscribe'/>")
        romeo.expect("<iq type='result' id='r'/>")
        romeo.expect("<iq type='set'/>")
        juliet = self.server.login('juliet@localhost/r')
        juliet.send("<presence/>")
        juliet.stanza(), juliet.stanza()    # her own and the request
        self.assertEqual(self.roster('romeo')['juliet@localhost']['pending'], 'out')
        self.assertEqual(self.roster('juliet')['romeo@localhost']['pending'], 'in')
        juliet.close()
        romeo.close()

    def test_pushed(self):
        romeo = self.server.login('romeo@localhost/r')
        romeo.send(GET)
        romeo.expect("<iq type='result' id='r'/>")
        self.done('add-rosteritem', 'romeo', 'localhost', 'juliet@localhost')
        push = "<iq type='set'><query xmlns='jabber:iq:roster'><item jid='juliet@localhost'/></query></iq>"
        romeo.expect(push)
        self.done('push-roster', 'romeo', 'localhost')
        romeo.expect(push)
        romeo.close()

    def test_mistakes_are_named(self):
        self.assertIn('no account nobody@localhost', self.refused(FAILED, 'get-roster', 'nobody', 'localhost'))
        self.assertIn('item-not-found', self.refused(
            FAILED, 'delete-rosteritem', 'romeo', 'localhost', 'juliet@localhost'))
        self.assertIn('not-allowed', self.refused(
            FAILED, 'add-rosteritem', 'romeo', 'localhost', 'romeo@localhost'))

    def test_it_lasts(self):
        self.done('add-rosteritem', 'romeo', 'localhost', 'juliet@localhost', '--name', 'J')
        self.server.kill()
        self.server.start()
        self.assertEqual(self.roster('romeo')['juliet@localhost']['name'], 'J')


class Groups(ConsoleCase):
    over = '''
modules:
    mod_roster: {}
    mod_shared_roster:
        groups:
            fixed: {label: Fixed, members: [romeo@localhost]}
'''

    def setUp(self):
        super().setUp()
        for name in ('romeo', 'juliet'):
            self.server.register(name + '@localhost')

    def groups(self):
        return {row['group']: row for row in self.ctl.json('srg-list', 'localhost')}

    def members(self, group):
        return sorted(row['member'] for row in self.ctl.json('srg-get-members', group, 'localhost'))

    def test_made_filled_and_deleted(self):
        self.done('srg-create', 'staff', 'localhost', '--label', 'Staff', '--description', 'All of us')
        self.done('srg-user-add', 'romeo', 'localhost', 'staff')
        self.done('srg-user-add', 'juliet', 'localhost', 'staff')
        self.done('srg-user-add', 'juliet', 'localhost', 'staff')
        self.assertEqual(self.members('staff'), ['juliet@localhost', 'romeo@localhost'])
        self.assertEqual(self.groups()['staff'], {
            'group': 'staff', 'label': 'Staff', 'who': 'members', 'accounts': 2, 'displays': [],
            'from': 'linnetctl', 'description': 'All of us'})
        self.server.kill()
        self.server.start()
        self.assertEqual(self.members('staff'), ['juliet@localhost', 'romeo@localhost'])
        self.done('srg-user-del', 'romeo', 'localhost', 'staff')
        self.assertEqual(self.members('staff'), ['juliet@localhost'])
        self.done('srg-delete', 'staff', 'localhost')
        self.assertEqual(set(self.groups()), {'fixed'})

    def test_who_sees_whom(self):
        """romeo's group displays juliet's, which knows nothing of it."""
        for group, user in (('one', 'romeo'), ('two', 'juliet')):
            self.done('srg-create', group, 'localhost')
            self.done('srg-user-add', user, 'localhost', group)
        self.done('srg-add-displayed', 'one', 'localhost', 'two')
        romeo = self.server.login('romeo@localhost/r')
        romeo.send(GET)
        romeo.expect("<iq type='result' id='r'><query xmlns='jabber:iq:roster'>"
                     "<item jid='juliet@localhost' subscription='to'><group>two</group></item></query></iq>")
        juliet = self.server.login('juliet@localhost/r')
        juliet.send(GET)
        juliet.expect("<iq type='result' id='r'/>")
        self.assertNotIn('<item', juliet.last.show())
        romeo.send('<presence/>')
        romeo.expect("<presence from='romeo@localhost/r'/>")
        juliet.send('<presence/>')
        juliet.expect("<presence from='juliet@localhost/r'/>")
        romeo.expect("<presence from='juliet@localhost/r'/>")
        self.done('srg-del-displayed', 'one', 'localhost', 'two')
        for _ in range(2):
            romeo.stanza()      # the push, and that juliet is gone
        romeo.close()
        juliet.close()

    def test_mistakes_are_named(self):
        self.assertIn('comes from the settings', self.refused(FAILED, 'srg-delete', 'fixed', 'localhost'))
        self.assertIn('no such group', self.refused(FAILED, 'srg-delete', 'none', 'localhost'))
        self.assertIn('no such group', self.refused(FAILED, 'srg-user-add', 'romeo', 'localhost', 'none'))
        self.done('srg-create', 'staff', 'localhost')
        self.assertIn('no account nobody@localhost', self.refused(
            FAILED, 'srg-user-add', 'nobody', 'localhost', 'staff'))
        self.assertIn('nothing of it', self.refused(
            FAILED, 'srg-user-del', 'romeo', 'localhost', 'staff'))
        self.assertIn('members, all or online', self.refused(
            FAILED, 'srg-create', 'x', 'localhost', '--who', 'everyone'))

    def test_settings_change_while_people_are_there(self):
        romeo = self.server.login('romeo@localhost/r')
        romeo.send(GET)
        romeo.expect("<iq type='result' id='r'/>")
        self.server.write_settings(self.over.replace('[romeo@localhost]', '[romeo@localhost, juliet@localhost]'))
        self.done('reload')
        romeo.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='juliet@localhost'"
                     " subscription='both'><group>Fixed</group></item></query></iq>")
        romeo.close()


class Without(ConsoleCase):
    def test_the_modules_do_not_run(self):
        self.server.register('romeo@localhost')
        self.assertIn('mod_roster does not run on localhost',
                      self.refused(FAILED, 'get-roster', 'romeo', 'localhost'))
        self.assertIn('mod_shared_roster does not run on localhost',
                      self.refused(FAILED, 'srg-list', 'localhost'))


if __name__ == '__main__':
    main()
