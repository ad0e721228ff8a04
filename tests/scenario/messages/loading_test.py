#!/usr/bin/python3
"""XEP-0313 §6.1.1: a message for a session whose account's data are still being read waits for them, and is
in the archive; with carbons, too."""

import contextlib
import sqlite3
import unittest

from harness.case import main
from harness.server import Server

SETTINGS = 'modules: {mod_auth_internal: {}, mod_ping: {}, mod_offline: {}, mod_mam: {}, mod_carboncopy: {}}'
PING = "<iq type='get' id='ping' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>"


class Loading(unittest.TestCase):
    def test_what_comes_early_is_archived(self):
        with Server(SETTINGS, accounts=[('romeo@localhost', None), ('juliet@localhost', None)]) as server:
            romeo = server.login('romeo@localhost/orchard')
            romeo.send(PING)
            romeo.expect("<iq type='result' id='ping'/>")
            with contextlib.closing(sqlite3.connect(server.path('linnet.db'))) as database:
                database.execute('begin immediate')
                juliet = server.login('juliet@localhost/balcony')   # whose number cannot be written
                romeo.send("<message to='juliet@localhost/balcony' type='chat' id='early'><body>x</body></message>")
                romeo.send(PING)
                romeo.expect("<iq type='result' id='ping'/>")
            juliet.expect("<message id='early'><stanza-id xmlns='urn:xmpp:sid:0' by='juliet@localhost'/></message>")
            juliet.send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'/></iq>")
            juliet.expect("<message><result xmlns='urn:xmpp:mam:2'/></message>")
            juliet.expect("<iq type='result' id='q'/>")


if __name__ == '__main__':
    main()
