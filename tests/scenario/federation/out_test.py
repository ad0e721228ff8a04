#!/usr/bin/python3
"""Streams to other servers, RFC 6120 §4 to §6 and XEP-0220, with peers that do as they should and
peers that do not: each stanza is delivered once, or its sender is told once why it is not."""

import base64
import os
import shutil
import socket
import struct
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.ca import Authority, self_signed   # noqa: E402
from harness.callee import DIALBACK, EXTERNAL, NS_SM, REQUIRED, SM, STARTTLS, Callee, CalleeCase    # noqa: E402
from harness.case import main   # noqa: E402

MESSAGE = "<message to='%s' id='%s' type='chat'><body>%s</body></message>"
LIMITS = "<limits xmlns='urn:xmpp:stream-limits:0'>%s</limits>"
ERROR = "<message from='%s' id='%s' type='error'><error><e:%s/></error></message>"


class Out(CalleeCase):
    begins = 's2s_max_retry_delay: 1 hour\n'

    @classmethod
    def places_of(cls, name):
        return ', '.join(c.place(name == 'direct.example') for c in cls.places(name))

    @classmethod
    def places(cls, name):
        return [cls.callees[name]]

    def setUp(self):
        super().setUp()
        self.to = 'juliet@' + self.domain
        self.romeo = self.server.login('romeo@localhost/orchard')
        self.addCleanup(self.romeo.close)

    def say(self, id_, to=None):
        self.romeo.send(MESSAGE % (to or self.to, id_, id_))

    def told(self, id_, condition, to=None):
        return self.romeo.expect(ERROR % (to or self.to, id_, condition))

    def came(self, link, id_):
        link.expect("<message from='romeo@localhost/orchard' to='%s' id='%s' type='chat'>"
                    '<body>%s</body></message>' % (self.to, id_, id_))

    def explained(self):
        return [row['what'] for row in
                self.server.control('s2s', action='explain', domain=self.domain)]


class Plain(Out):
    """Without encryption, to see what is said."""

    over = 's2s_use_starttls: false\ns2s_negotiation_timeout: 1 s\n'

    @classmethod
    def places(cls, name):
        if name == 'dead-then-live.example':
            return [cls.dead, cls.callees[name]]
        return [cls.callees[name]]

    @classmethod
    def setUpClass(cls):
        cls.dead = Callee('dead.example')
        cls.dead.close()
        super().setUpClass()

    def test_good(self):
        """XEP-0220 §2.1.1: the header, the key, what has waited, in order; then what comes."""
        self.say('one')
        self.say('two')
        link = self.callee.accept()
        root = link.greet()
        self.assertEqual((root.get('from'), root.get('to'), root.get('version')),
                         ('localhost', self.domain, '1.0'))
        self.assertEqual(len(link.key()), 64)
        link.judge('valid')
        self.came(link, 'one')
        self.came(link, 'two')
        self.say('three')
        self.came(link, 'three')
        rows = [r for r in self.server.control('s2s', action='list') if r['to'] == self.domain]
        self.assertEqual([(r['state'], r['sent'], r['waiting']) for r in rows],
                         [('established', 3, 0)])
        self.assertEqual(self.server.control('s2s', action='close', domain=self.domain),
                         {'closed': 1})
        link.expect_close()
        link.close()

    def test_old(self):
        """RFC 6120 §4.7.5: a server of before XMPP 1.0 has no features, and dialback."""
        self.say('one')
        link = self.callee.accept()
        link.greet(features=None, version=None)
        link.validate()
        self.came(link, 'one')
        link.close()

    def test_wrong_key(self):
        """XEP-0220 §2.1.1: invalid."""
        self.say('one')
        link = self.callee.accept()
        link.greet()
        link.key()
        link.judge('invalid')
        self.told('one', 'internal-server-error')
        link.expect_close()
        self.say('two')     # at once, without another attempt
        error = self.told('two', 'internal-server-error')
        self.assertIn('invalid', error.show())
        self.assertTrue(any('invalid' in what for what in self.explained()), self.explained())

    def test_error_for_a_key(self):
        """XEP-0220 §2.1.1, §2.5: an error."""
        self.say('one')
        link = self.callee.accept()
        link.greet()
        link.key()
        link.judge('error', "<error type='cancel'><item-not-found "
                            "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>")
        self.assertIn('item-not-found', self.told('one', 'remote-server-timeout').show())
        link.close()

    def test_of_somebody_else(self):
        """XEP-0220 §2.1.1, §3.1: who says that another pair is valid has said nothing."""
        self.say('one')
        link = self.callee.accept()
        link.greet()
        link.key()
        link.send("<db:result from='somebody.example' to='localhost' type='valid'/>")
        link.judge('valid')
        self.came(link, 'one')
        link.close()

    def test_silent(self):
        """It accepts the connection and says nothing."""
        self.say('one')
        link = self.callee.accept()
        self.told('one', 'remote-server-timeout')
        link.header()
        link.expect_stream_error('connection-timeout')
        link.close()

    def test_silent_about_the_key(self):
        self.say('one')
        link = self.callee.accept()
        link.greet()
        link.key()
        self.told('one', 'remote-server-timeout')
        link.close()

    def test_closes(self):
        """Without a word."""
        self.say('one')
        link = self.callee.accept()
        link.greet()
        link.close()
        self.told('one', 'remote-server-timeout')

    def test_closes_in_order(self):
        self.say('one')
        link = self.callee.accept()
        link.greet()
        link.send('</stream:stream>')
        self.told('one', 'remote-server-timeout')
        link.close()

    def test_says_why(self):
        """RFC 6120 §4.9.3.6: senders hear it, and the operator."""
        self.say('one')
        link = self.callee.accept()
        link.greet(features=None)
        link.send("<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>"
                  "<text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>nobody here</text>"
                  '</stream:error></stream:stream>')
        self.assertIn('host-unknown, nobody here', self.told('one', 'remote-server-timeout').show())
        self.assertTrue(any('nobody here' in what for what in self.explained()))
        link.close()

    def test_no_xml(self):
        self.say('one')
        link = self.callee.accept()
        link.send('220 mail.example ESMTP\r\n')
        self.told('one', 'remote-server-timeout')
        link.close()

    def test_no_xml_later(self):
        """What is for it then is not lost in the end of the stream, which it may draw out."""
        self.say('one')
        link = self.callee.accept().serve()
        self.came(link, 'one')
        link.send('</never-opened>')
        link.expect_stream_error('not-well-formed')
        self.callee.close()
        self.say('two')
        self.told('two', 'remote-server-timeout')
        link.close()

    def test_no_server(self):
        """A stream, but one for clients."""
        self.say('one')
        link = self.callee.accept()
        link.header()
        link.send("<stream:stream xmlns='jabber:client' "
                  "xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'>")
        self.told('one', 'remote-server-timeout')
        link.close()

    def test_needs_encryption(self):
        """RFC 6120 §5.3.1: it insists on what is off here."""
        self.say('one')
        link = self.callee.accept()
        link.greet(REQUIRED)
        self.told('one', 'remote-server-timeout')
        link.close()

    def test_limits(self):
        """XEP-0478 §4: what is larger than it takes is not sent; the rest is."""
        self.say('one')
        link = self.callee.accept()
        link.greet(DIALBACK + LIMITS % '<max-bytes>10000</max-bytes>')
        link.validate()
        self.came(link, 'one')
        self.romeo.send(MESSAGE % (self.to, 'two', 'x' * 10000))
        self.told('two', 'policy-violation')
        self.say('three')
        self.came(link, 'three')
        link.close()

    def test_until_the_end(self):
        """Its link is open, and it does not read, when the server ends: tearDownClass() waits for
        that, not for this one."""
        self.say('one')
        link = self.callee.accept().serve()
        self.came(link, 'one')
        self.romeo.send(MESSAGE % (self.to, 'two', 'x' * 50000) * 20)
        self.romeo.send("<iq type='get' to='localhost' id='here'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.romeo.expect("<iq type='result' id='here'/>")
        self.addClassCleanup(link.close)

    def test_idle(self):
        """XEP-0478 §4: it is closed in order before the other server does so."""
        self.say('one')
        link = self.callee.accept()
        link.greet(DIALBACK + LIMITS % '<idle-seconds>1</idle-seconds>')
        link.validate()
        self.came(link, 'one')
        link.expect_close()
        link.close()

    def test_dead_then_live(self):
        """RFC 6120 §3.2.1: the next place is tried."""
        self.say('one')
        link = self.callee.accept().serve()
        self.came(link, 'one')
        link.close()

    def test_away(self):
        """Nobody listens there any more."""
        self.callee.close()
        self.say('one')
        self.told('one', 'remote-server-timeout')
        self.romeo.send("<iq type='get' to='%s' id='two'><ping xmlns='urn:xmpp:ping'/></iq>"
                        % self.domain)
        self.romeo.expect("<iq type='error' id='two'><error><e:remote-server-timeout/></error></iq>")
        # RFC 6120 §8.3.1: never an answer to an answer. What comes next is the error for "three".
        self.romeo.send("<message type='error' to='%s'/><iq type='result' id='r' to='%s'/>"
                        % (self.to, self.to))
        self.say('three')
        self.told('three', 'remote-server-timeout')

    def test_leaves_in_order(self):
        """What comes after its stream has ended goes by a new one."""
        self.say('one')
        link = self.callee.accept().serve()
        self.came(link, 'one')
        link.send('</stream:stream>')
        link.expect_close()
        link.close()
        self.say('two')
        link = self.callee.accept().serve()
        self.came(link, 'two')
        link.close()

    def test_upgrade(self):
        """A link that is established is closed in order when another process takes this one's place, which
        opens links of its own. What becomes of what waits: kept_test.py."""
        romeo = self.server.login('romeo@localhost/moves', tls='none')
        self.addCleanup(romeo.close)
        romeo.send(MESSAGE % ('juliet@good.example', 'up', 'up'))
        up = self.callees['good.example'].accept().serve()
        up.expect("<message id='up'/>")
        self.server.control('upgrade')
        up.expect_close()
        up.close()
        romeo.send(MESSAGE % (self.to, 'two', 'two'))
        link = self.callee.accept().serve()
        link.expect("<message from='romeo@localhost/moves' id='two'/>")
        link.close()

    def test_vanishes(self):
        """More is queued for a server that does not read than may be; and then it is gone: each
        stanza is delivered by the next connection, or comes back."""
        self.say('one')
        link = self.callee.accept().serve()
        self.came(link, 'one')
        back = set()
        for n in range(300):        # 15 MB
            self.romeo.send(MESSAGE % (self.to, n, 'x' * 50000))
        while 299 not in back:
            error = self.romeo.expect("<message type='error'><error><e:resource-constraint/></error>"
                                      '</message>')
            back.add(int(error.get('id')))
        link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        link.close()                # a reset: what it has not read is lost
        link = self.callee.accept().serve()
        taken = sorted(set(range(300)) - back)
        came = [int(link.stanza().get('id'))]
        while came[-1] != taken[-1]:
            came.append(int(link.stanza().get('id')))
        # What the kernel had taken before is what is missing at the beginning.
        self.assertEqual(came, taken[taken.index(came[0]):])
        link.close()


class Encrypted(Out):
    """As it is by default: s2s_use_starttls is `required`."""

    def certificate(self):
        return self.server.path('localhost.pem')

    def test_starttls(self):
        self.say('one')
        link = self.callee.accept()
        link.greet(STARTTLS + DIALBACK)
        link.starttls(self.certificate())
        link.greet()
        link.validate()
        self.came(link, 'one')
        link.close()

    def test_none_offered(self):
        self.say('one')
        link = self.callee.accept()
        link.greet(DIALBACK)
        self.assertIn('encryption', self.told('one', 'remote-server-timeout').show())
        link.expect_stream_error('policy-violation')
        link.close()

    def test_old_and_plain(self):
        self.say('one')
        link = self.callee.accept()
        link.greet(features=None, version=None)
        self.told('one', 'remote-server-timeout')
        link.close()

    def test_offered_and_refused(self):
        self.say('one')
        link = self.callee.accept()
        link.greet(STARTTLS)
        link.expect('<tls:starttls/>')
        link.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>")
        self.told('one', 'remote-server-timeout')
        link.close()

    def test_fails_in_the_handshake(self):
        self.say('one')
        link = self.callee.accept()
        link.greet(STARTTLS)
        link.expect('<tls:starttls/>')
        link.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        self.assertTrue(link.sock.recv(1))      # its hello
        link.send('this is no TLS')
        self.told('one', 'remote-server-timeout')
        link.close()


class Trusted(Out):
    """With s2s_use_starttls: required_trusted, and a certificate of ours that others trust."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp(prefix='linnet-ca-')
        cls.addClassCleanup(shutil.rmtree, folder)
        cls.ca = Authority(folder)
        cls.over = ('s2s_use_starttls: required_trusted\nca_file: %s\ncertfiles: [%s]\n'
                    % (cls.ca.path, cls.ca.certificate('localhost', 'other.example', 'localhost')))
        super().setUpClass()
        shutil.copy(cls.ca.path, cls.server.path('ca.pem'))
        cls.good = {name: cls.ca.certificate(name) for name in cls.names}
        cls.wrong = cls.ca.certificate('wrong.example')
        cls.own = self_signed(folder, 'self-signed.example')

    def encrypted(self, features, certificate=None):
        link = self.callee.accept()
        link.greet(STARTTLS)
        link.starttls(certificate or self.good[self.domain], self.ca.path)
        link.greet(features)
        return link

    def shown(self, link):
        """XEP-0178 §3: our domain, and a certificate that is good for it."""
        auth = link.expect("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'/>")
        self.assertEqual(base64.b64decode(auth.text()), b'localhost')
        self.assertIn(('DNS', 'localhost'), link.sock.getpeercert()['subjectAltName'])

    def test_external(self):
        self.say('one')
        link = self.encrypted(EXTERNAL + DIALBACK)
        self.shown(link)
        link.succeed()
        link.greet('')
        self.came(link, 'one')
        rows = [r['way'] for r in self.server.control('s2s', action='list') if r['to'] == self.domain]
        self.assertRegex(rows[0], '^stream_established, .*, TLS, certificate$')
        link.close()

    def test_external_in_vain(self):
        """It may still believe a call back, on the same stream."""
        self.say('one')
        link = self.encrypted(EXTERNAL + DIALBACK)
        self.shown(link)
        link.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>")
        link.validate()
        self.came(link, 'one')
        self.assertTrue(any('not-authorized' in what for what in self.explained()), self.explained())
        link.close()

    def test_nothing_behind_external(self):
        self.say('one')
        link = self.encrypted(EXTERNAL)
        self.shown(link)
        link.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>"
                  '</stream:stream>')
        self.told('one', 'remote-server-timeout')
        link.close()

    def refused(self, certificate, why):
        self.say('one')
        link = self.callee.accept()
        link.greet(STARTTLS)
        link.starttls(certificate, self.ca.path)
        self.told('one', 'remote-server-timeout')
        self.assertTrue(any(why in what for what in self.explained()), self.explained())
        link.close()

    def test_wrong_name(self):
        self.refused(self.wrong, 'it is not for this domain')

    def test_self_signed(self):
        self.refused(self.own, 'self')

    def test_direct(self):
        """XEP-0368 §3."""
        self.say('one')
        link = self.callee.accept()
        link.serve_tls(self.good[self.domain])
        self.assertEqual(link.sock.selected_alpn_protocol(), 'xmpp-server')
        link.serve()
        self.came(link, 'one')
        link.close()


class Managed(Out):
    """XEP-0198 between servers."""

    over = 's2s_use_starttls: false\n'
    ENABLED = "<enabled xmlns='urn:xmpp:sm:3' id='%s' resume='true' max='%d'/>"

    def established(self, answer=ENABLED % ('first', 60)):
        """A stream that has one stanza, which is acknowledged."""
        self.say('one')
        link = self.callee.accept()
        link.greet(DIALBACK + SM)
        link.validate()
        link.expect("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        link.send(answer)
        self.came(link, 'one')
        self.covers(link, 1)
        return link

    def came(self, link, id_):
        """It may have asked for an acknowledgement meanwhile."""
        while link.stanza().is_('r', NS_SM):
            pass
        self.assertEqual((link.last.name, link.last.get('id')), ('message', id_))

    def covers(self, link, h):
        """Takes the request that comes, and answers it."""
        link.expect("<r xmlns='urn:xmpp:sm:3'/>")
        link.send("<a xmlns='urn:xmpp:sm:3' h='%d'/>" % h)

    def two_more(self, link):
        for id_ in ('two', 'three'):
            self.say(id_)
            self.came(link, id_)

    def comes_back(self, h=0):
        link = self.callee.accept()
        link.greet(DIALBACK + SM)
        link.validate()
        link.expect("<resume xmlns='urn:xmpp:sm:3' previd='first' h='%d'/>" % h)
        return link

    def test_resumed(self):
        """§5: exactly what was not acknowledged goes again, in order, and then what came meanwhile."""
        link = self.established()
        self.two_more(link)
        link.close()
        link = self.comes_back()
        self.say('four')
        link.send("<resumed xmlns='urn:xmpp:sm:3' previd='first' h='2'/>")
        self.came(link, 'three')
        self.came(link, 'four')
        self.say('five')
        self.came(link, 'five')
        link.close()

    def test_known_no_more(self):
        """§5: <failed/> with a number is as good; what is behind it goes by the new stream."""
        link = self.established()
        self.two_more(link)
        link.close()
        link = self.comes_back()
        link.send("<failed xmlns='urn:xmpp:sm:3' h='2'><item-not-found "
                  "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>")
        link.expect("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        link.send(self.ENABLED % ('second', 60))
        self.came(link, 'three')
        self.covers(link, 1)
        self.say('four')
        self.came(link, 'four')
        link.close()

    def test_known_nothing_of(self):
        """Nobody knows whether it has arrived: its sender is told so."""
        link = self.established()
        self.two_more(link)
        link.close()
        link = self.comes_back()
        link.send("<failed xmlns='urn:xmpp:sm:3'/>")
        self.told('two', 'remote-server-timeout')
        self.told('three', 'remote-server-timeout')
        link.expect("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        link.send(self.ENABLED % ('second', 60))
        self.say('four')
        self.came(link, 'four')
        link.close()

    def test_not_to_be_resumed(self):
        link = self.established("<enabled xmlns='urn:xmpp:sm:3'/>")
        self.two_more(link)
        link.close()
        self.told('two', 'remote-server-timeout')
        self.told('three', 'remote-server-timeout')
        self.say('four')
        link = self.callee.accept().serve()
        self.came(link, 'four')
        link.close()

    def test_never_back(self):
        """What was sent comes back when it is too late, and with it what came meanwhile."""
        link = self.established(self.ENABLED % ('first', 1))
        self.two_more(link)
        self.callee.close()
        link.close()
        self.say('four')
        for id_ in ('two', 'three', 'four'):
            self.told(id_, 'remote-server-timeout')

    def test_lost_before_the_answer(self):
        """§3: nothing has been said on a stream that could not be resumed; it goes by the next one."""
        self.say('one')
        link = self.callee.accept()
        link.greet(DIALBACK + SM)
        link.validate()
        link.expect("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        link.close()
        link = self.callee.accept()
        link.greet(DIALBACK + SM)
        link.validate()
        link.expect("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        link.send(self.ENABLED % ('first', 60))
        self.came(link, 'one')
        link.close()

    def test_refused(self):
        """§3: it goes on without."""
        self.say('one')
        link = self.callee.accept()
        link.greet(DIALBACK + SM)
        link.validate()
        link.expect("<enable xmlns='urn:xmpp:sm:3' resume='true'/>")
        link.send("<failed xmlns='urn:xmpp:sm:3'/>")
        self.came(link, 'one')
        self.say('two')
        self.came(link, 'two')
        link.close()

    def goes_on_anew(self):
        """The next one goes by a stream of its own."""
        self.say('four')
        link = self.callee.accept()
        link.greet(DIALBACK)
        link.validate()
        self.came(link, 'four')
        link.close()

    def test_ends_in_order(self):
        """RFC 6120 §4.4: it has read all, and says nothing of that."""
        link = self.established()
        self.two_more(link)
        link.send('</stream:stream>')
        link.wait_for_end()
        link.close()
        self.goes_on_anew()

    def test_ends_with_its_count(self):
        """What crosses its end is not in its last count: it may not have been read, and is not lost in silence."""
        link = self.established()
        self.two_more(link)
        link.send("<a xmlns='urn:xmpp:sm:3' h='2'/></stream:stream>")
        self.told('three', 'remote-server-timeout')
        link.wait_for_end()
        link.close()
        self.goes_on_anew()

    def test_too_much(self):
        """§6: it acknowledges what it was not sent."""
        link = self.established()
        link.send("<a xmlns='urn:xmpp:sm:3' h='7'/>")
        link.expect_stream_error('undefined-condition')
        link.close()

    def test_last_words(self):
        """Whoever closes waits for what is not acknowledged."""
        link = self.established()
        self.two_more(link)
        closed = self.server.control('s2s', action='close', domain=self.domain)
        self.assertEqual(closed, {'closed': 1})
        self.covers(link, 3)
        link.expect_close()
        link.close()


class Halfway(Out):
    """The same, with no stream but that of its one test."""

    over = Managed.over
    ENABLED, established, came, covers = Managed.ENABLED, Managed.established, Managed.came, Managed.covers

    def test_ends_in_the_middle(self):
        """A stanza that has half left when the other server ends the stream: its sender is told once."""
        link = self.established()
        self.callee.close()
        ids = ['m%d' % n for n in range(60)]
        for id_ in ids:
            self.romeo.send(MESSAGE % (self.to, id_, 'x' * 150000))
        told = self.ids_left()      # those that are too many
        link.send("<stream:error><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
        while len(told) < len(ids):
            told.append(self.romeo.stanza().get('id'))
        link.close()
        while '\nlinnet_s2s_out_streams 0\n' not in self.server.control('metrics'):
            pass        # what it has left to say of them comes before
        self.assertEqual(sorted(told + self.ids_left()), sorted(ids))

    def ids_left(self):
        """Of what has come before the answer to a question of now."""
        self.romeo.send("<iq type='get' id='last' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>")
        return [id_ for id_ in iter(lambda: self.romeo.stanza().get('id'), 'last')]


if __name__ == '__main__':
    main()
