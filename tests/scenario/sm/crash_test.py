#!/usr/bin/python3
"""XEP-0198 over the end of the server's process: killed, or stopped by its operator. The next one has
the sessions that can be resumed, with their counters, their presence and what was not acknowledged."""

import contextlib
import sqlite3
import unittest

from harness.case import main
from harness.server import Server, password_of

SM = 'urn:xmpp:sm:3'
ACCOUNTS = 'romeo@localhost', 'juliet@localhost'


def enable(client, attributes=''):
    client.send("<enable xmlns='%s' resume='true'%s/>" % (SM, attributes))
    return client.expect("<enabled xmlns='%s' id='*' resume='true'/>" % SM).get('id')


def handled(client):
    client.send("<r xmlns='%s'/>" % SM)
    while True:     # our own requests for acknowledgement come in between
        element = client.stanza()
        if element.is_('a', SM):
            return int(element.get('h'))
        assert element.is_('r', SM), element.show()


def authenticated(server, jid):
    """A connection that may bind or resume."""
    client = server.connect()
    user, _, domain = jid.partition('/')[0].partition('@')
    client.open(domain)
    client.starttls(domain)
    client.open(domain)
    client.authenticate(user, password_of(jid.partition('/')[0]))
    client.open(domain)
    return client


def resume(server, jid, previd, h):
    client = authenticated(server, jid)
    client.send("<resume xmlns='%s' previd='%s' h='%d'/>" % (SM, previd, h))
    return client


def next_stanza(client):
    """Without the server's requests for acknowledgement, which come when they come."""
    while True:
        element = client.stanza()
        if not element.is_('r', SM):
            return element


class Ends:
    """What must hold however the server ends."""

    @contextlib.contextmanager
    def begun(self, over=''):
        """A server, and what ends it and starts the next."""
        def next_one():
            type(self).end(server)
            server.again()
        with Server(over, accounts=[(a, None) for a in ACCOUNTS]) as server:
            yield server, next_one

    def test_counters_and_queue(self):
        with self.begun() as (server, over):
            juliet = server.login('juliet@localhost/balcony')
            romeo = server.login('romeo@localhost/orchard')
            previd = enable(romeo)
            romeo.send("<message to='juliet@localhost/balcony' id='1'/>")
            romeo.send("<message to='juliet@localhost/balcony' id='2'/>")
            self.assertEqual(handled(romeo), 2)
            for i in range(5):
                juliet.send("<message to='romeo@localhost/orchard' id='m%d'/>" % i)
                self.assertEqual(next_stanza(romeo).get('id'), 'm%d' % i)
            romeo.send("<a xmlns='%s' h='2'/>" % SM)
            self.assertEqual(handled(romeo), 2)
            over()
            back = resume(server, 'romeo@localhost/orchard', previd, 3)
            back.expect("<resumed xmlns='%s' previd='%s' h='2'/>" % (SM, previd), exact=True)
            back.expect("<message id='m3' from='juliet@localhost/balcony'/>")
            back.expect("<message id='m4'/>")
            back.send("<a xmlns='%s' h='5'/>" % SM)
            back.send("<message to='juliet@localhost/balcony' type='error' id='3'/>")
            self.assertEqual(handled(back), 3)
            back.send('</stream:stream>')
            back.wait_for_end()

    def test_twice(self):
        """And the next server after that, with what came in between."""
        with self.begun() as (server, over):
            romeo = server.login('romeo@localhost/orchard')
            previd = enable(romeo)
            sent = 0
            for round_ in range(3):
                juliet = server.login('juliet@localhost/balcony')
                juliet.send("<message to='romeo@localhost/orchard' id='r%d'/>" % round_)
                self.assertEqual(next_stanza(romeo).get('id'), 'r%d' % round_)
                romeo.send("<message to='juliet@localhost/balcony' id='x'/>")
                sent += 1
                self.assertEqual(handled(romeo), sent)
                over()
                romeo = resume(server, 'romeo@localhost/orchard', previd, round_)
                romeo.expect("<resumed xmlns='%s' h='%d'/>" % (SM, sent))
                romeo.expect("<message id='r%d'/>" % round_)
                romeo.send("<a xmlns='%s' h='%d'/>" % (SM, round_ + 1))
                self.assertEqual(handled(romeo), sent)

    def test_presence_stays(self):
        """Whom it told so, and who asks: it has been available all the time, and ends as one that was."""
        with self.begun() as (server, over):
            romeo = server.login('romeo@localhost/orchard')
            previd = enable(romeo)
            romeo.send('<presence><show>away</show><priority>3</priority></presence>')
            romeo.expect("<presence from='romeo@localhost/orchard'/>")
            romeo.send("<presence to='juliet@localhost/balcony'/>")
            self.assertEqual(handled(romeo), 2)
            over()
            window = server.login('romeo@localhost/window')
            window.send('<presence/>')
            window.expect("<presence from='romeo@localhost/window'/>")
            window.expect("<presence from='romeo@localhost/orchard'><show>away</show></presence>")
            juliet = server.login('juliet@localhost/balcony')
            back = resume(server, 'romeo@localhost/orchard', previd, 1)
            back.expect("<resumed xmlns='%s' h='2'/>" % SM)
            self.assertEqual(next_stanza(back).get('from'), 'romeo@localhost/window')
            back.send('</stream:stream>')
            window.expect("<presence type='unavailable' from='romeo@localhost/orchard'/>")
            juliet.expect("<presence type='unavailable' from='romeo@localhost/orchard'/>")

    def test_who_does_not_come_back(self):
        """Its time goes on; then its messages go to who is there, or comes."""
        with self.begun('modules: {mod_auth_internal: {}, mod_offline: {}}') as (server, over):
            romeo = server.login('romeo@localhost/orchard')
            previd = enable(romeo, " max='2'")
            romeo.send('<presence><priority>3</priority></presence>')
            romeo.expect("<presence from='romeo@localhost/orchard'/>")
            juliet = server.login('juliet@localhost/balcony')
            juliet.send("<message to='romeo@localhost/orchard' type='chat' id='m'><body>?</body></message>")
            self.assertEqual(next_stanza(romeo).get('id'), 'm')
            over()
            window = server.login('romeo@localhost/window')
            window.send('<presence/>')
            came = []
            while 'm' not in came:
                came.append(window.stanza().get('id'))
            self.assertEqual(came.count('m'), 1)
            late = resume(server, 'romeo@localhost/orchard', previd, 2)
            late.expect("<failed xmlns='%s'><e:item-not-found/></failed>" % SM)
            late.bind('orchard')

    def test_without_resumption(self):
        """Nothing is left of it."""
        with self.begun() as (server, over):
            romeo = server.login('romeo@localhost/orchard')
            romeo.send("<enable xmlns='%s'/>" % SM)
            romeo.expect("<enabled xmlns='%s'/>" % SM, exact=True)
            over()
            self.assertEqual(server.control('connected'), [])

    def test_another_number_of_shards(self):
        with self.begun() as (server, over):
            previds = []
            for i in range(20):
                client = server.login('romeo@localhost/%d' % i)
                previds.append(enable(client))
                client.send("<message to='romeo@localhost/%d' id='self'/>" % i)
                self.assertEqual(next_stanza(client).get('id'), 'self')
            server.over = 'shards: 3'
            server.write_settings(server.over)
            over()
            waiting = server.control('connected')
            self.assertEqual([s['stream_management'] for s in waiting], ['waiting'] * 20)
            for i, previd in enumerate(previds):
                client = resume(server, 'romeo@localhost/%d' % i, previd, 0)
                client.expect("<resumed xmlns='%s' h='1'/>" % SM)
                client.expect("<message id='self' to='romeo@localhost/%d'/>" % i)
                client.close()


def next_message(client):
    while True:
        element = next_stanza(client)
        if element.name == 'message':
            return element


class Killed(Ends, unittest.TestCase):
    end = Server.kill

    def beyond_a_gap(self, archive):
        """Romeo's first message waits for Mercutio's data, which wait for the database; his second is
        delivered. Juliet acknowledges that in a server's life in which he does not come."""
        accounts = ('romeo@localhost', 'juliet@localhost', 'mercutio@localhost')
        modules = 'mod_auth_internal: {}, mod_roster: {}, mod_offline: {}, mod_mam: {default: %s}' % archive
        with Server('modules: {%s}' % modules, accounts=[(a, None) for a in accounts]) as server:
            server.allowed_errors = ['were not stored yet']
            romeo = server.login('romeo@localhost/orchard')
            juliet = server.login('juliet@localhost/balcony')
            mercutio = server.login('mercutio@localhost/street')
            romeos, juliets = enable(romeo), enable(juliet)
            enable(mercutio)    # who is read from has been loaded
            juliet.send('<presence/>')
            juliet.expect('<presence/>')
            with contextlib.closing(sqlite3.connect(server.path('linnet.db'))) as database:
                database.execute('begin immediate')
                mercutio.send("<iq type='set' id='s'><query xmlns='jabber:iq:roster'>"
                              "<item jid='tybalt@localhost'/></query></iq>"
                              "<iq type='get' id='i' to='localhost'><query xmlns='disco:info'/></iq>")
                self.assertEqual(next_stanza(mercutio).get('id'), 'i')     # and the other one waits
                sent = ["<message to='%s@localhost' type='chat' id='%s'><body>%s</body></message>"
                        % (to, to, to) for to in ('mercutio', 'juliet')]
                romeo.send(''.join(sent))
                self.assertEqual(next_message(juliet).get('id'), 'juliet')
                server.kill()
            server.again()
            juliet = resume(server, 'juliet@localhost/balcony', juliets, 2)
            juliet.expect("<resumed xmlns='%s' h='1'/>" % SM)
            self.assertEqual(handled(juliet), 1)
            server.kill()
            server.again()
            romeo = resume(server, 'romeo@localhost/orchard', romeos, 0)
            h = int(romeo.expect("<resumed xmlns='%s' h='*'/>" % SM).get('h'))
            romeo.send(''.join(sent[h:]))
            self.assertEqual(handled(romeo), 2)
            romeo.send("<message to='juliet@localhost' type='chat' id='last'><body>x</body></message>")
            juliet = resume(server, 'juliet@localhost/balcony', juliets, 2)
            self.assertEqual(next_message(juliet).get('id'), 'last')
            mercutio = server.login('mercutio@localhost/street')
            mercutio.send("<presence/><message to='mercutio@localhost/street' id='last'/>")
            came = [next_message(mercutio).get('id') for _ in range(2)]
            self.assertEqual(sorted(came), ['last', 'mercutio'])
            return h

    def test_twice_before_a_client_sends_again(self):
        for archive in 'never', 'always':
            with self.subTest(archive=archive):
                self.beyond_a_gap(archive)


class Stopped(Ends, unittest.TestCase):
    end = Server.stop


if __name__ == '__main__':
    main()
