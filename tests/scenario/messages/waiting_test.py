#!/usr/bin/python3
"""XEP-0160 §3 and XEP-0198 §4: what waits for somebody who reads slowly is handed out in pages, and what
comes meanwhile comes behind it: in order, and also when the server is killed before that."""

import contextlib
import sqlite3
import unittest

from harness.case import main
from harness.server import Server, password_of

SM = 'urn:xmpp:sm:3'
WAITING = 60            # messages, of several pages
FILLING = 'x' * 15000
ACCOUNTS = 'romeo@localhost', 'juliet@localhost', 'mercutio@localhost'
SETTINGS = '''
modules: {mod_auth_internal: {}, mod_ping: {}, mod_offline: {}, mod_mam: {default: %s}}
'''


class Client:
    """One with stream management."""

    def __init__(self, server, jid):
        self.jid, self.user = jid, jid.partition('@')[0]
        self.connection = server.login(jid)
        self.connection.send("<enable xmlns='%s' resume='true'/>" % SM)
        self.id = self.connection.expect("<enabled xmlns='%s'/>" % SM).get('id')
        self.handled = 0

    def say(self, *bodies):
        """To Juliet."""
        for body in bodies:
            self.connection.send("<message to='juliet@localhost' type='chat' id='%s'><body>%s</body></message>"
                                 % (body, FILLING))

    def acked(self):
        """So many stanzas of its own the server has."""
        self.connection.send("<r xmlns='%s'/>" % SM)
        while True:
            element = self.connection.stanza()
            if element.is_('a', SM):
                return int(element.get('h'))
            self.handled += not element.is_('r', SM)

    def ping(self):
        """All that it sent before has been routed."""
        self.connection.send("<iq type='get' id='ping' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        while True:
            element = self.connection.stanza()
            self.handled += not element.is_('r', SM)
            if element.get('id') == 'ping':
                break

    def message(self):
        """The next one."""
        while True:
            element = self.connection.stanza()
            if element.is_('r', SM):
                self.connection.send("<a xmlns='%s' h='%d'/>" % (SM, self.handled))
                continue
            self.handled += 1
            if element.name == 'message':
                return element.get('id')

    def read(self, n):
        """So many messages, acknowledged as they come."""
        came = []
        for _ in range(n):
            came.append(self.message())
            self.connection.send("<a xmlns='%s' h='%d'/>" % (SM, self.handled))
        return came

    def resume(self, server):
        self.connection = server.connect()
        self.connection.open('localhost')
        self.connection.starttls('localhost')
        self.connection.open('localhost')
        self.connection.authenticate(self.user, password_of(self.user + '@localhost'))
        self.connection.open('localhost')
        self.connection.send("<resume xmlns='%s' previd='%s' h='%d'/>" % (SM, self.id, self.handled))
        self.connection.expect("<resumed xmlns='%s'/>" % SM)


class Waiting(unittest.TestCase):
    before = ['%d' % i for i in range(WAITING)]

    @contextlib.contextmanager
    def begun(self, archive):
        """Much waits for Juliet, who has a session, but has not said that she is available."""
        with Server(SETTINGS % archive, accounts=[(a, None) for a in ACCOUNTS]) as server:
            server.allowed_errors = ['were not stored yet']
            romeo = Client(server, 'romeo@localhost/orchard')
            romeo.say(*self.before)
            self.assertEqual(romeo.acked(), WAITING)
            yield server, romeo, Client(server, 'juliet@localhost/balcony')

    def archived(self, server, user, n):
        while server.control('archive-count', user=user, host='localhost')['messages'] != n:
            pass

    def killed(self, archive, prepare=lambda romeo: 0, archives=()):
        """What came is with the archive, or with nobody but the spool."""
        with self.begun(archive) as (server, romeo, juliet):
            sent = WAITING + prepare(romeo) + 1
            juliet.connection.send('<presence/>')
            self.assertEqual(juliet.message(), '0')     # and no more, so there is no second page
            romeo.say('last')
            self.assertEqual(romeo.acked(), sent)
            for user, n in archives:
                self.archived(server, user, n)
            server.kill()
            server.again()
            juliet.resume(server)
            self.assertEqual(juliet.read(WAITING), self.before[1:] + ['last'])

    def test_killed(self):
        self.killed('never')

    def test_killed_when_it_was_in_both_archives(self):
        self.killed('always', archives=[('romeo', WAITING + 1), ('juliet', WAITING + 1)])

    def test_killed_when_it_was_in_the_archive_of_its_sender(self):
        def prepare(romeo):
            romeo.connection.send("<iq type='set' id='p'><prefs xmlns='urn:xmpp:mam:2' default='always'>"
                                  "<always/><never/></prefs></iq>")
            romeo.connection.expect("<iq type='result' id='p'/>")
            return 1
        self.killed('never', prepare, [('romeo', 1)])

    def test_stored_when_somebody_had_come(self):
        """Mercutio's message finds Juliet not available, and is stored when she is and reads: it does not
        overtake what waited, nor does what comes live."""
        with self.begun('never') as (server, romeo, juliet):
            mercutio = Client(server, 'mercutio@localhost/street')
            with contextlib.closing(sqlite3.connect(server.path('linnet.db'))) as database:
                database.execute('begin immediate')
                mercutio.say('late')
                mercutio.ping()
                juliet.connection.send('<presence/>')
                self.assertEqual(juliet.acked(), 1)
                database.rollback()
            self.assertEqual(mercutio.acked(), 2)   # when it is stored
            self.assertEqual(juliet.message(), '0')
            romeo.say('last')
            self.assertEqual(romeo.acked(), WAITING + 1)
            came = juliet.read(WAITING + 1)
            self.assertIn('late', came)
            came.remove('late')
            self.assertEqual(came, self.before[1:] + ['last'])
            mercutio.say('after')
            self.assertEqual(juliet.message(), 'after')


if __name__ == '__main__':
    main()
