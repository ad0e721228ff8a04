#!/usr/bin/python3
"""Settings change while components are connected: rights come and go (XEP-0356, XEP-0355), and so does the
part of the server that serves them."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main       # noqa: E402

LISTEN = '''
listen:
    - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s}
    - {port: ${component_port}, ip: 127.0.0.1, module: ejabberd_service, password: secret}
host_config:
    localhost:
        modules:
            mod_auth_internal: {}
            mod_disco: {}
            mod_roster: {}
'''
ROSTER = "<query xmlns='jabber:iq:roster'/>"
PRIVILEGE = "<message from='localhost'><privilege xmlns='urn:xmpp:privilege:2'>%s</privilege></message>"
FORWARDED = ("<iq type='set' from='localhost'><delegation xmlns='urn:xmpp:delegation:2'>"
             "<forwarded xmlns='urn:xmpp:forward:0'/></delegation></iq>")


class Reload(ServerCase):
    settings = LISTEN

    def setUp(self):
        self.bot = self.server.connect('bot', self.server.component_port)
        self.bot.serve('bot.example', 'secret')

    def reload(self, modules):
        indented = ''.join('            %s\n' % line for line in modules)
        self.server.write_settings(LISTEN + indented)
        self.server.control('reload')

    def roster(self, answer):
        self.bot.send("<iq type='get' id='r' from='bot.example' to='juliet@localhost'>%s</iq>" % ROSTER)
        self.bot.expect("<iq type='%s' id='r' from='juliet@localhost'/>" % answer)

    def test_rights_come_and_go(self):
        self.roster('error')
        self.reload(['mod_privilege: {roster: {get: all}}'])
        self.bot.expect(PRIVILEGE % "<perm access='roster' type='get'/>")
        self.roster('result')
        self.reload(['mod_privilege: {message: {outgoing: all}}'])
        self.bot.expect(PRIVILEGE % "<perm access='message' type='outgoing'/>")
        self.roster('error')
        self.reload(['mod_privilege: {roster: {both: all}}'])
        self.bot.expect(PRIVILEGE % "<perm access='roster' type='both'/>")
        self.roster('result')
        self.reload([])
        self.roster('error')

    def test_delegation_comes_and_goes(self):
        juliet = self.server.login('juliet@localhost/balcony')
        ask = "<iq type='get' id='q' to='localhost'><q xmlns='urn:example:%s'/></iq>"

        def refused(what):
            juliet.send(ask % what)
            juliet.expect("<iq type='error' id='q'/>")

        def forwarded(what):
            juliet.send(ask % what)
            self.bot.expect(FORWARDED)

        refused('one')
        self.reload(['mod_delegation: {namespaces: {"urn:example:one": {access: all}}}'])
        self.bot.expect("<message><delegation xmlns='urn:xmpp:delegation:2'>"
                        "<delegated namespace='urn:example:one'/></delegation></message>")
        for node in '::', ':bare:':
            self.bot.expect("<iq type='get'><info:query node='urn:xmpp:delegation:2%surn:example:one'/></iq>" % node)
        forwarded('one')
        refused('two')
        self.reload(['mod_delegation: {namespaces: {"urn:example:two": {access: all}}}'])
        self.bot.expect("<message><delegation xmlns='urn:xmpp:delegation:2'>"
                        "<delegated namespace='urn:example:two'/></delegation></message>")
        for node in '::', ':bare:':
            self.bot.expect("<iq type='get'><info:query node='urn:xmpp:delegation:2%surn:example:two'/></iq>" % node)
        forwarded('two')
        refused('one')
        self.reload([])
        refused('two')
        juliet.close()

    def test_the_part_that_serves_them(self):
        """All components leave with it, and come back to it."""
        self.server.control('supervisor', action='restart', path='components')
        self.bot.expect_stream_error('system-shutdown')
        self.assertEqual(self.server.control('components'), [])
        self.setUp()
        self.assertEqual([row['domain'] for row in self.server.control('components')], ['bot.example'])

    def tearDown(self):
        self.bot.send('</stream:stream>')
        while self.bot.event()[0] not in ('close', 'end'):
            pass
        self.bot.close()


if __name__ == '__main__':
    main()
