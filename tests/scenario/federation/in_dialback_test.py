#!/usr/bin/python3
"""Another server comes in and is believed by dialback, or is not: XEP-0220 §2.2, each of the conditions
of §2.5, what a stream may carry (RFC 6120 §8.1), and what comes of a stanza from elsewhere."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import main                          # noqa: E402
from harness.remote import NS_DIALBACK, RemoteCase     # noqa: E402

MESSAGE = ("<message from='juliet@remote.example/balcony' to='romeo@localhost' type='chat' id='%s'>"
           '<body>%s</body></message>')
PING = ("<iq type='get' from='%s' to='%s' id='%s'><ping xmlns='urn:xmpp:ping'/></iq>")


class Dialback(RemoteCase):
    domains = ('remote.example', 'second.example', 'denied.example', 'unknown.example', 'mute.example')
    dead = ('dead.example',)
    more = '''
s2s_use_starttls: optional
s2s_negotiation_timeout: 3 s
s2s_access: federated
acl:
    unwanted: {server: denied.example}
access_rules:
    federated: [{deny: unwanted}, {allow: all}]
host_config:
    other.example: {s2s_dialback: false}
modules:
    mod_mam: {default: always}
    mod_offline: {}
    mod_roster: {}
'''
    allowed_errors = ()

    def alive(self, stream):
        """It is served still."""
        stream.prove('second.example')

    # §2.2.1

    def test_believed(self):
        """§2.2.1: valid; then stanzas go in, and answers come out by a stream of the server's own."""
        romeo = self.client()
        stream = self.proven()
        stream.send(MESSAGE % ('m1', 'hi'))
        romeo.expect("<message from='juliet@remote.example/balcony' to='romeo@localhost' id='m1'>"
                     '<body>hi</body></message>')
        stream.send(PING % ('juliet@remote.example/balcony', 'localhost', 'p1'))
        self.remote.expect("<iq type='result' from='localhost' to='juliet@remote.example/balcony' id='p1'/>")
        romeo.send("<message to='juliet@remote.example/balcony' id='m2'><body>back</body></message>")
        self.remote.expect("<message from='romeo@localhost/orchard' id='m2'><body>back</body></message>")
        stream.send('</stream:stream>')
        stream.expect_close()

    def test_features(self):
        """§2.4.2 and XEP-0288 §2.1, XEP-0478 §4: what is offered before TLS where that is optional."""
        features = self.dial().open()
        names = sorted(f.ns for f in features.elements())
        self.assertEqual(names, ['http://etherx.jabber.org/streams'][1:] + [
            'urn:ietf:params:xml:ns:xmpp-tls', 'urn:xmpp:features:bidi', 'urn:xmpp:features:dialback',
            'urn:xmpp:sm:3', 'urn:xmpp:stream-limits:0'])
        self.assertIsNotNone(features.child('dialback').child('errors'))
        self.assertEqual(features.child('limits').child('max-bytes').text(), '16384')

    def test_wrong_key(self):
        """§2.2.1: invalid, and the stream is closed."""
        stream = self.dial()
        stream.open()
        stream.claim('0' * 64)
        stream.expect("<db:result from='localhost' to='remote.example' type='invalid'/>")
        stream.expect_close()

    def test_key_of_another_stream(self):
        """XEP-0185: the key is worth nothing elsewhere."""
        first, second = self.dial(), self.dial()
        first.open()
        second.open()
        second.claim(self.remote.key('localhost', 'remote.example', first.id))
        second.expect("<db:result type='invalid'/>")
        second.expect_close()

    def test_conditions(self):
        """§2.5: none of them ends the stream."""
        for how, sender, to, condition in (
                ('key', 'remote.example', 'nowhere.example', 'item-not-found'),
                ('key', 'dead.example', 'localhost', 'remote-connection-failed'),
                ('item-not-found', 'remote.example', 'localhost', 'remote-server-not-found'),
                ('host-unknown', 'unknown.example', 'localhost', 'remote-server-not-found'),
                ('close', 'remote.example', 'localhost', 'remote-server-timeout'),
                ('nothing', 'mute.example', 'localhost', 'remote-server-timeout'),
                ('key', 'remote.example', 'other.example', 'not-authorized'),
                ('key', 'denied.example', 'localhost', 'not-allowed'),
                ('key', 'other.example', 'localhost', 'not-allowed')):
            with self.subTest(condition=condition, how=how, sender=sender):
                stream = self.dial()
                stream.open(sender='')
                asked = self.remotes.get(sender, self.remote)
                asked.answer = how
                stream.claim(None, sender, to)
                stream.expect_refusal(condition, sender, to)
                asked.answer = 'key'
                stream.prove('remote.example', 'localhost')
                stream.close()

    def test_wrong_key_beside_a_good_one(self):
        """§2.2.1, §2.5 forbidden: where others were believed, the stream goes on."""
        romeo = self.client()
        stream = self.proven()
        stream.claim('0' * 64, 'second.example')
        stream.expect_refusal('forbidden', 'second.example')
        stream.send(MESSAGE % ('m1', 'still here'))
        romeo.expect("<message id='m1'/>")

    def test_too_many_at_once(self):
        """§2.5 resource-constraint: questions that are out are bounded."""
        self.remote.answer = 'silence'
        stream = self.dial()
        stream.open()
        for _ in range(51):
            stream.claim()
        stream.expect_refusal('resource-constraint')

    def test_not_answerable(self):
        """§2.1.1: from and to are there, and are domains."""
        for attrs in ("from='remote.example'", "to='localhost'", "from='a@remote.example' to='localhost'",
                      "from='remote.example' to='localhost/x'", "from='' to='localhost'"):
            for name in ('result', 'verify'):
                with self.subTest(attrs=attrs, name=name):
                    stream = self.dial()
                    stream.open()
                    stream.send("<db:%s %s id='1'>abc</db:%s>" % (name, attrs, name))
                    stream.expect_stream_error('improper-addressing')
                    stream.close()

    def test_unasked_answers(self):
        """§3.1: they are ignored, and nobody is believed for them."""
        stream = self.dial()
        stream.open()
        for name in ('result', 'verify'):
            stream.send("<db:%s from='localhost' to='remote.example' id='%s' type='valid'/>"
                        % (name, stream.id))
            stream.send("<db:%s from='remote.example' to='localhost' id='%s' type='valid'/>"
                        % (name, stream.id))
        stream.send(MESSAGE % ('m1', 'spoofed'))
        stream.expect_stream_error('not-authorized')

    # §2.2.2

    def test_authoritative(self):
        """§2.2.2: valid for a key that the server has given, on that stream alone; else invalid."""
        romeo = self.client()
        remote = self.remotes['second.example']
        romeo.send("<message to='juliet@second.example' id='m1'><body>hi</body></message>")
        remote.expect("<message id='m1'/>")
        number, ours, theirs, key = remote.claims.get(timeout=10)
        self.assertEqual((ours, theirs), ('localhost', 'second.example'))
        stream = self.dial(remote=remote)
        stream.open()
        for sender, to, stream_id, text, answer in (
                ('second.example', 'localhost', number, key, 'valid'),
                ('second.example', 'localhost', number, '\n  %s\n' % key, 'valid'),
                ('second.example', 'localhost', number + 'x', key, 'invalid'),
                ('second.example', 'localhost', number, '0' * 64, 'invalid'),
                ('second.example', 'localhost', number, key[:-1], 'invalid'),
                ('second.example', 'other.example', number, key, 'invalid'),
                ('remote.example', 'localhost', number, key, 'invalid')):
            stream.send("<db:verify from='%s' to='%s' id='%s'>%s</db:verify>" % (sender, to, stream_id, text))
            stream.expect("<db:verify from='%s' to='%s' id='%s' type='%s'/>" % (to, sender, stream_id, answer))
        stream.send("<db:verify from='second.example' to='nowhere.example' id='1'>%s</db:verify>" % key)
        stream.expect("<db:verify from='nowhere.example' to='second.example' id='1' type='error'>"
                      "<error type='cancel'><e:item-not-found/></error></db:verify>")

    # §2.6

    def test_several_pairs(self):
        """§2.7.1, §2.7.2: several senders and targets on one stream; what was not proven ends it."""
        romeo = self.client()
        stream = self.proven()
        stream.prove('second.example')
        for sender in ('remote.example', 'second.example'):
            stream.send("<message from='a@%s' to='romeo@localhost' id='%s'/>" % (sender, sender))
            romeo.expect("<message from='a@%s' id='%s'/>" % (sender, sender))
        stream.send("<message from='a@third.example' to='romeo@localhost' id='no'/>")
        stream.expect_stream_error('invalid-from')

    # RFC 6120 §4.7, §4.9.3

    def test_headers(self):
        """RFC 6120 §4.7 and §4.9.3: streams that cannot be."""
        for attrs, condition in (
                ({'to': 'nowhere.example'}, 'host-unknown'),
                ({'to': 'a@localhost'}, 'improper-addressing'),
                ({'sender': 'a@remote.example'}, 'improper-addressing'),
                ({'sender': 'denied.example'}, 'policy-violation'),
                ({'sender': 'localhost'}, 'policy-violation'),
                ({'sender': 'other.example'}, 'policy-violation'),
                ({'version': 'x'}, 'unsupported-version')):
            with self.subTest(attrs):
                stream = self.dial()
                stream.begin(**attrs)
                stream.expect_stream_error(condition)
                stream.close()

    def test_namespaces(self):
        """RFC 6120 §4.8: it is jabber:server here."""
        stream = self.dial()
        stream.send("<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
                    "to='localhost' from='remote.example' version='1.0'>")
        self.assertEqual(stream.event()[0], 'open')
        stream.expect_stream_error('invalid-namespace')

    def test_without_a_version(self):
        """XEP-0220 §2.4.1: servers of before RFC 3920 have no features, and dialback."""
        stream = self.dial()
        stream.open(version=None)
        self.assertEqual(stream.root.get('from'), 'localhost')
        stream.prove()

    def test_too_early(self):
        """RFC 6120 §4.9.3.12: stanzas of somebody who is nobody."""
        stream = self.dial()
        stream.open()
        stream.send(MESSAGE % ('m1', 'hi'))
        stream.expect_stream_error('not-authorized')

    # RFC 6120 §8.1

    def test_addresses(self):
        """RFC 6120 §8.1.1.2, §8.1.2.2: what ends the stream."""
        for attrs, condition in (
                ("to='romeo@localhost'", 'improper-addressing'),
                ("from='a@remote.example'", 'improper-addressing'),
                ("from='@' to='romeo@localhost'", 'improper-addressing'),
                ("from='a@evil.example' to='romeo@localhost'", 'invalid-from'),
                ("from='romeo@localhost' to='romeo@localhost'", 'invalid-from'),
                ("from='a@sub.remote.example' to='romeo@localhost'", 'invalid-from'),
                ("from='a@remote.example' to='romeo@nowhere.example'", 'host-unknown')):
            with self.subTest(attrs):
                stream = self.proven()
                stream.send('<message %s/>' % attrs)
                stream.expect_stream_error(condition)
                stream.close()

    def test_bad_stanzas(self):
        """RFC 6120 §8.2.3, §8.3.3: what does not end it."""
        stream = self.proven()
        for stanza, condition in (
                ("<message from='a@remote.example' to='@' id='1'/>", 'jid-malformed'),
                ("<iq from='a@remote.example' to='localhost' type='get' id='1'/>", 'bad-request'),
                ("<iq from='a@remote.example' to='localhost' type='odd' id='1'><x xmlns='a'/></iq>",
                 'bad-request'),
                ("<iq from='a@remote.example' to='localhost' type='get' id='1'><x xmlns='a'/></iq>",
                 'service-unavailable'),
                ("<message from='a@remote.example' to='nobody@localhost' id='1'><body>x</body></message>",
                 'service-unavailable')):
            with self.subTest(stanza):
                stream.send(stanza)
                self.remote.expect("<any:x to='a@remote.example' type='error'><error><e:%s/></error></any:x>"
                                   % condition)
        self.alive(stream)

    def test_unknown_element(self):
        """RFC 6120 §4.9.3.24"""
        stream = self.proven()
        stream.send("<query xmlns='jabber:iq:roster'/>")
        stream.expect_stream_error('unsupported-stanza-type')

    def test_too_large(self):
        """XEP-0478: as it was said, before and after."""
        stream = self.dial()
        stream.open()
        stream.send("<db:result from='remote.example' to='localhost'>%s</db:result>" % ('x' * 20000))
        stream.expect_stream_error('policy-violation')
        stream = self.proven()
        romeo = self.client()
        stream.send(MESSAGE % ('large', 'x' * 100000))
        romeo.expect("<message id='large'/>")
        stream.send(MESSAGE % ('larger', 'x' * 300000))
        stream.expect_stream_error('policy-violation')

    # What a stanza from elsewhere is worth.

    def test_archive(self):
        """XEP-0359 §5, XEP-0313 §5: it has an id of the archive's, and none that its sender made up."""
        romeo = self.client()
        stream = self.proven()
        stream.send("<message from='juliet@remote.example/b' to='romeo@localhost' type='chat' id='a1'>"
                    "<body>for the archive</body><stanza-id xmlns='urn:xmpp:sid:0' by='romeo@localhost' "
                    "id='made-up'/><stanza-id xmlns='urn:xmpp:sid:0' by='remote.example' id='theirs'/>"
                    '</message>')
        message = romeo.expect("<message id='a1'/>")
        ids = {e.get('by'): e.get('id') for e in message.elements() if e.name == 'stanza-id'}
        self.assertEqual(ids['remote.example'], 'theirs')
        self.assertNotEqual(ids['romeo@localhost'], 'made-up')
        romeo.send("<iq type='set' id='q'><query xmlns='urn:xmpp:mam:2'><x xmlns='jabber:x:data' type='submit'>"
                   "<field var='FORM_TYPE'><value>urn:xmpp:mam:2</value></field><field var='with'><value>"
                   "juliet@remote.example</value></field></x><set xmlns='http://jabber.org/protocol/rsm'>"
                   '<max>1</max><before/></set></query></iq>')
        found = romeo.expect('<message/>').child('result')
        self.assertEqual(found.get('id'), ids['romeo@localhost'])

    def test_offline(self):
        """XEP-0160: it waits for somebody who is not there."""
        stream = self.proven()
        stream.send("<message from='juliet@remote.example/b' to='juliet@localhost' type='chat' id='o1'>"
                    '<body>later</body></message>')
        stream.send(PING % ('juliet@remote.example/b', 'localhost', 'o2'))
        self.remote.expect("<iq type='result' id='o2'/>")
        juliet = self.server.login('juliet@localhost/here')
        self.addCleanup(juliet.close)
        juliet.send('<presence/>')
        came = [juliet.stanza().get('id'), juliet.stanza().get('id')]
        self.assertIn('o1', came)

    def test_subscription(self):
        """RFC 6121 §3.1: asked for, granted, presence both ways, taken back."""
        romeo = self.client()
        romeo.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
        romeo.expect("<iq type='result' id='r'/>")
        stream = self.proven()
        stream.send("<presence type='subscribe' from='nurse@remote.example' to='romeo@localhost' id='s1'/>")
        romeo.expect("<presence type='subscribe' from='nurse@remote.example'/>")
        romeo.send("<presence type='subscribed' to='nurse@remote.example'/>")
        self.remote.expect("<presence type='subscribed' from='romeo@localhost' to='nurse@remote.example'/>")
        self.remote.expect("<presence type='(none)' from='romeo@localhost/orchard' to='nurse@remote.example'/>")
        romeo.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item jid='nurse@remote.example' "
                     "subscription='from'/></query></iq>")
        stream.send("<presence type='probe' from='nurse@remote.example/x' to='romeo@localhost'/>")
        self.remote.expect("<presence from='romeo@localhost/orchard' to='nurse@remote.example/x'/>")
        romeo.send("<presence type='subscribe' to='nurse@remote.example'/>")
        self.remote.expect("<presence type='subscribe' from='romeo@localhost' to='nurse@remote.example'/>")
        romeo.expect("<iq type='set'><query xmlns='jabber:iq:roster'><item ask='subscribe'/></query></iq>")
        stream.send("<presence type='subscribed' from='nurse@remote.example' to='romeo@localhost'/>"
                    "<presence from='nurse@remote.example/x' to='romeo@localhost'><show>away</show></presence>")
        came = [romeo.stanza() for _ in range(3)]
        self.assertEqual(sorted(e.name for e in came), ['iq', 'presence', 'presence'])
        self.assertTrue(any(e.child('show') for e in came))
        stream.send("<presence type='unsubscribe' from='nurse@remote.example' to='romeo@localhost'/>")
        self.remote.expect("<presence type='unavailable' from='romeo@localhost/orchard'/>")

    def test_prefix(self):
        """XEP-0220 §2.1: the prefix is db, also where an error is in it."""
        stream = self.dial()
        seen = []
        stream.record = lambda name, way, text: seen.append(text)
        stream.open(sender='')
        stream.claim('x', 'remote.example', 'nowhere.example')
        stream.expect_refusal('item-not-found', 'remote.example', 'nowhere.example')
        self.assertIn("xmlns:db='%s'" % NS_DIALBACK, ''.join(seen))
        self.assertIn("<db:result from='nowhere.example'", ''.join(seen))


if __name__ == '__main__':
    main()
