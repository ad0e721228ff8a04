#!/usr/bin/python3
"""Another server comes in with TLS: what policy asks (XEP-0220 §2.5), certificates in place of dialback
(XEP-0178 §3, XEP-0220 §1.2), direct TLS (XEP-0368)."""

import base64
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.ca import self_signed                  # noqa: E402
from harness.case import main                       # noqa: E402
from harness.element import NS_SASL, NS_TLS         # noqa: E402
from harness.remote import Remote, RemoteCase       # noqa: E402


def encoded(text):
    return base64.b64encode(text.encode()).decode()


class Tls(RemoteCase):
    """good.example has a certificate of an authority that the server trusts, self.example one of its
    own."""

    domains = ('self.example', 'good.example', 'more.good.example')

    trusted = True
    accounts = ('romeo@localhost', 'juliet@localhost', 'nurse@other.example')
    more = '''
s2s_use_starttls: required
host_config:
    other.example: {s2s_use_starttls: required_trusted}
'''

    @classmethod
    def make_remote(cls, domain):
        if domain == 'self.example':
            return Remote(domain, self_signed(cls.folder, domain))
        return Remote(domain, cls.authority.certificate(
            domain, 'good.example', 'more.good.example'))

    def secured(self, remote, to='localhost', sender=None, certificate=True):
        stream = self.dial(to, remote)
        stream.open(sender=sender)
        if certificate:
            stream.starttls()
        else:
            stream.starttls(context=Remote.client_context(self.anonymous))
        stream.open(sender=sender)
        return stream

    class anonymous:    # pylint: disable=invalid-name
        certificate, ca = None, None

    def serves(self, stream, sender):
        romeo = self.client()
        stream.send("<message from='a@%s' to='romeo@localhost' id='m1'><body>hi</body></message>" % sender)
        romeo.expect("<message from='a@%s' id='m1'/>" % sender)

    # What policy asks.

    def test_required(self):
        """§2.5 policy-violation: nothing but STARTTLS is offered and answered before TLS."""
        stream = self.dial()
        features = stream.open()
        self.assertIsNotNone(features.child('starttls').child('required'))
        self.assertIsNone(features.child('dialback'))
        self.assertIsNone(features.child('sm'))
        stream.claim()
        stream.expect_refusal('policy-violation')
        stream.send("<db:verify from='self.example' to='localhost' id='1'>abc</db:verify>")
        stream.expect("<db:verify from='localhost' to='self.example' id='1' type='error'>"
                      '<error><e:policy-violation/></error></db:verify>')
        stream.external()
        stream.expect('<sasl:failure><sasl:encryption-required/></sasl:failure>')

    def test_starttls_once(self):
        """RFC 6120 §5.4.2.2: not where TLS is there already."""
        stream = self.secured(self.remote)
        stream.send("<starttls xmlns='%s'/>" % NS_TLS)
        stream.expect('<tls:failure/>')
        stream.expect_close()

    def test_dialback(self):
        """XEP-0220 §2.1.2: dialback within TLS, the key asked about within TLS."""
        stream = self.secured(self.remote)
        self.assertEqual(stream.mechanisms() if stream.features.child('mechanisms', NS_SASL) else [], [])
        called = self.remote.called
        stream.prove()
        self.assertGreater(self.remote.called, called)
        self.serves(stream, 'self.example')

    def test_trusted(self):
        """§2.5 not-authorized: dialback will not do, and is not offered."""
        stream = self.secured(self.remote, 'other.example')
        self.assertIsNone(stream.features.child('dialback'))
        stream.claim()
        stream.expect_refusal('not-authorized')
        stream = self.secured(self.remotes['good.example'], 'other.example')
        self.assertEqual(stream.mechanisms(), ['EXTERNAL'])

    def test_target_that_wants_more(self):
        """§2.5: a host of ours that does not take dialback takes no stanza for it either."""
        nurse = self.client('nurse@other.example/ward')
        stream = self.secured(self.remote)
        stream.prove()
        stream.send("<message from='a@self.example' to='nurse@other.example' id='no'/>"
                    "<iq type='get' from='a@self.example' to='localhost' id='p'>"
                    "<ping xmlns='urn:xmpp:ping'/></iq>")
        self.remote.expect("<iq type='result' id='p'/>")
        self.assertEqual(self.ids_left(nurse), [])
        trusted = self.dial(remote=self.remotes['good.example'])
        trusted.prove_by_certificate()
        trusted.send("<message from='a@good.example' to='nurse@other.example' id='yes'/>")
        nurse.expect("<message id='yes'/>")

    # XEP-0288

    def test_both_ways(self):
        """XEP-0288 §2.2: what is for the peer goes back where it came from, and no other way."""
        remote = self.remotes['good.example']
        romeo = self.client()
        called = remote.called
        stream = self.secured(remote)
        stream.send("<bidi xmlns='urn:xmpp:bidi'><limits xmlns='urn:xmpp:stream-limits:0'>"
                    '<max-bytes>2000</max-bytes></limits></bidi>')
        stream.external()
        stream.expect('<sasl:success/>')
        self.assertIsNone(stream.open().child('bidi'))
        stream.send("<iq type='get' from='a@good.example' to='localhost' id='b1'>"
                    "<ping xmlns='urn:xmpp:ping'/></iq>")
        stream.expect("<iq type='result' id='b1'/>")
        romeo.send("<message to='a@good.example' id='b2'><body>hi</body></message>")
        stream.expect("<message from='romeo@localhost/orchard' to='a@good.example' id='b2'/>")
        romeo.send("<message to='a@good.example' id='b3'><body>%s</body></message>" % ('x' * 3000))
        romeo.expect("<message type='error' from='a@good.example' id='b3'><error type='modify'>"
                     '<e:policy-violation/></error></message>')
        self.assertEqual(remote.called, called)

    # XEP-0178 §3

    def test_external(self):
        """XEP-0178 §3: offered to whom it will succeed; the stream begins anew."""
        for text in ('=', encoded('good.example'), encoded('GOOD.example')):
            with self.subTest(text):
                remote = self.remotes['good.example']
                stream = self.secured(remote)
                called = remote.called
                self.assertEqual(stream.mechanisms(), ['EXTERNAL'])
                stream.external(text)
                stream.expect('<sasl:success/>')
                features = stream.open()
                self.assertIsNone(features.child('mechanisms'))
                self.assertEqual(features.child('limits').child('max-bytes').text(), str(256 * 1024))
                self.serves(stream, 'good.example')
                self.assertEqual(remote.called, called)
                stream.close()

    def test_external_without_a_response(self):
        """RFC 6120 §6.4.2: then it is asked for."""
        stream = self.secured(self.remotes['good.example'])
        stream.external('')
        stream.expect('<sasl:challenge/>')
        stream.send("<response xmlns='%s'>=</response>" % NS_SASL)
        stream.expect('<sasl:success/>')

    def test_external_as_somebody_else(self):
        """RFC 6120 §6.5: what is refused, and how often."""
        stream = self.secured(self.remotes['good.example'])
        for mechanism, text, condition in (
                ('EXTERNAL', encoded('evil.example'), 'invalid-authzid'),
                ('EXTERNAL', 'x', 'incorrect-encoding'),
                ('PLAIN', '=', 'invalid-mechanism')):
            stream.send("<auth xmlns='%s' mechanism='%s'>%s</auth>" % (NS_SASL, mechanism, text))
            stream.expect('<sasl:failure><sasl:%s/></sasl:failure>' % condition)
        stream.send("<abort xmlns='%s'/>" % NS_SASL)
        stream.expect('<sasl:failure><sasl:aborted/></sasl:failure>')
        stream.send("<response xmlns='%s'>=</response>" % NS_SASL)
        stream.expect('<sasl:failure><sasl:malformed-request/></sasl:failure>')
        stream.expect_stream_error('policy-violation')

    def test_wrong_certificate(self):
        """XEP-0178 §3 step 8: not offered, and refused, to whoever shows none, a self-signed one, or
        somebody else's."""
        for remote, sender, certificate in (
                (self.remote, None, True),
                (self.remotes['good.example'], 'self.example', True),
                (self.remotes['good.example'], None, False)):
            with self.subTest(sender=sender, certificate=certificate):
                stream = self.secured(remote, sender=sender, certificate=certificate)
                self.assertIsNone(stream.features.child('mechanisms'))
                stream.external()
                stream.expect('<sasl:failure><sasl:not-authorized/></sasl:failure>')
                stream.close()

    def test_header_of_another(self):
        """RFC 6120 §4.7.1: a stream keeps its names."""
        stream = self.secured(self.remotes['good.example'])
        stream.external()
        stream.expect('<sasl:success/>')
        stream.begin(sender='more.good.example')
        stream.expect_stream_error('invalid-from')

    # XEP-0220 §1.2

    def test_without_dialling_back(self):
        """XEP-0220 §1.2: where the certificate says enough, nobody is asked about the key; also for one
        more domain of the peer's."""
        remote = self.remotes['good.example']
        stream = self.secured(remote)
        called = remote.called, self.remotes['more.good.example'].called
        for sender in ('good.example', 'more.good.example'):
            stream.claim('no key at all', sender)
            stream.expect("<db:result type='valid' to='%s'/>" % sender)
        self.assertEqual((remote.called, self.remotes['more.good.example'].called), called)
        self.serves(stream, 'more.good.example')

    # XEP-0368

    def test_direct_tls(self):
        """XEP-0368 §3: TLS from the first byte, ALPN xmpp-server."""
        for alpn in ('xmpp-server', None):
            remote = self.remotes['good.example']
            stream = self.dial(remote=remote, port=self.server.s2s_tls_port)
            context = remote.client_context()
            if alpn:
                context.set_alpn_protocols([alpn])
            stream.handshake('localhost', context=context)
            self.assertEqual(stream.sock.selected_alpn_protocol(), alpn)
            features = stream.open()
            self.assertIsNone(features.child('starttls'))
            stream.external()
            stream.expect('<sasl:success/>')
            stream.open()
            self.serves(stream, 'good.example')
            stream.close()


if __name__ == '__main__':
    main()
