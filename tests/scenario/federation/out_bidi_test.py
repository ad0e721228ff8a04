#!/usr/bin/python3
"""XEP-0288 where the server under test opened the stream: what may come back on it, and what may not."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from out_test import Out    # noqa: E402

from harness.callee import DIALBACK, NS_SM, SM     # noqa: E402
from harness.case import main   # noqa: E402

BIDI = "<bidi xmlns='urn:xmpp:features:bidi'/>"
SAID = "<message from='%s' to='%s' id='%s' type='chat'><body>%s</body></message>"
R = "<r xmlns='urn:xmpp:sm:3'/>"


class BothWays(Out):
    """Without encryption, to see what is said."""

    over = 's2s_use_starttls: false\n'

    def asked(self, features=''):
        """Its stream, which it was asked to use both ways, before it has proven itself."""
        self.say('first')
        link = self.callee.accept()
        link.greet(BIDI + DIALBACK + features)
        bidi = link.stanza()
        self.assertTrue(bidi.is_('bidi', 'urn:xmpp:bidi'), bidi.show())
        self.addCleanup(link.close)
        return link, bidi

    def opened(self, features=''):
        link, _ = self.asked(features)
        link.validate()
        if SM in features:
            link.expect('<sm:enable/>')
            link.send("<enabled xmlns='urn:xmpp:sm:3' id='that' resume='true'/>")
        self.came(link, 'first')
        return link

    def from_them(self, link, id_, sender=None, to='romeo@localhost/orchard'):
        link.send(SAID % (sender or self.to, to, id_, id_))

    def heard(self, id_):
        self.romeo.expect("<message from='%s' id='%s'><body>%s</body></message>" % (self.to, id_, id_))

    def test_one_connection(self):
        """§2.2: asked for before the key; both directions go by it, and nobody calls anybody else."""
        link, bidi = self.asked()
        limits = bidi.child('limits')
        self.assertGreaterEqual(int(limits.child('max-bytes').text()), 10000)    # XEP-0478 §4.2
        link.validate()
        self.came(link, 'first')
        self.from_them(link, 'back')
        self.heard('back')
        link.send("<iq type='get' id='p' from='%s' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>" % self.to)
        link.expect("<iq type='result' id='p' from='localhost' to='%s'/>" % self.to)
        self.assertIn('both ways', [row['way'] for row in self.server.control('s2s', action='list')
                                    if row['to'] == self.domain][0])
        self.callee.listener.setblocking(False)
        self.assertRaises(BlockingIOError, self.callee.listener.accept)

    def test_not_offered(self):
        """Then the key comes first, and what comes by this stream is not listened to."""
        self.say('first')
        link = self.callee.accept()
        link.greet()
        link.validate()
        self.came(link, 'first')
        self.from_them(link, 'back')
        self.say('second')
        self.came(link, 'second')
        self.romeo.send("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")
        self.romeo.expect("<iq type='result' id='p'/>")     # and nothing before it
        link.close()

    def test_too_early(self):
        """§2.2: not before it has said who it is."""
        link, _ = self.asked()
        link.key()
        self.from_them(link, 'early')
        link.judge('valid')
        self.came(link, 'first')
        self.from_them(link, 'late')
        self.heard('late')

    def ended(self, link, condition):
        link.expect_stream_error(condition)
        self.say('second')
        self.told('second', 'remote-server-timeout')

    def test_spoofed(self):
        """RFC 6120 §4.9.3.9: it speaks for its own domain alone."""
        link = self.opened()
        self.from_them(link, 'x', 'juliet@elsewhere.example')
        self.ended(link, 'invalid-from')

    def test_spoofed_below(self):
        link = self.opened()
        self.from_them(link, 'x', 'room@conference.' + self.domain)
        self.ended(link, 'invalid-from')

    def test_spoofed_as_us(self):
        link = self.opened()
        self.from_them(link, 'x', 'tybalt@localhost')
        self.ended(link, 'invalid-from')

    def test_without_from(self):
        """RFC 6120 §4.9.3.7."""
        link = self.opened()
        link.send("<message to='romeo@localhost'><body>x</body></message>")
        self.ended(link, 'improper-addressing')

    def test_for_nobody_here(self):
        """RFC 6120 §4.9.3.6: we carry nothing on to others."""
        link = self.opened()
        self.from_them(link, 'x', to='benvolio@elsewhere.example')
        self.ended(link, 'host-unknown')

    def test_ended_with_what_waits(self):
        """XEP-0198: what is not acknowledged then comes back, once."""
        link = self.opened(SM)
        self.from_them(link, 'x', 'juliet@elsewhere.example')
        self.told('first', 'remote-server-timeout')
        link.expect("<sm:a h='0'/>")
        self.ended(link, 'invalid-from')

    def test_wrong_stanza(self):
        """RFC 6120 §8.2.3: the stanza is wrong, not the stream."""
        link = self.opened()
        link.send("<iq type='get' id='w' from='%s' to='localhost'/>" % self.to)
        link.expect("<iq type='error' id='w'><error><e:bad-request/></error></iq>")
        self.from_them(link, 'next')
        self.heard('next')

    def test_counted(self):
        """XEP-0198 §4: what comes is counted from <enabled/> on, and acknowledged."""
        link = self.opened(SM)
        for n in range(3):
            self.from_them(link, 'c%d' % n)
        self.counts(link, 3)
        for n in range(3):
            self.heard('c%d' % n)

    def counts(self, link, h):
        link.send(R)
        element = link.stanza()
        while element.name == 'r':      # it asks, too
            element = link.stanza()
        self.assertTrue(element.is_('a', NS_SM), element.show())
        self.assertEqual(element.get('h'), str(h))

    def test_resumed(self):
        """XEP-0198 §5: what was counted does not come again, and what comes then is counted on."""
        link = self.opened(SM)
        self.from_them(link, 'one')
        self.heard('one')
        link.close()
        link = self.callee.accept()
        link.greet(BIDI + DIALBACK + SM)
        link.expect('<bidi xmlns="urn:xmpp:bidi"/>')
        link.validate()
        link.expect("<sm:resume previd='that' h='1'/>")
        link.send("<resumed xmlns='urn:xmpp:sm:3' previd='that' h='1'/>")
        self.from_them(link, 'two')
        self.heard('two')
        self.counts(link, 2)
        link.close()

    def test_not_resumed(self):
        """Then the count begins anew."""
        link = self.opened(SM)
        self.from_them(link, 'one')
        self.heard('one')
        link.close()
        link = self.callee.accept()
        link.greet(BIDI + DIALBACK + SM)
        link.expect('<bidi xmlns="urn:xmpp:bidi"/>')
        link.validate()
        link.expect("<sm:resume previd='that' h='1'/>")
        link.send("<failed xmlns='urn:xmpp:sm:3' h='1'><item-not-found "
                  "xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>")
        link.expect('<sm:enable/>')
        link.send("<enabled xmlns='urn:xmpp:sm:3'/>")
        self.from_them(link, 'two')
        self.heard('two')
        self.counts(link, 1)
        link.close()

    def test_keys(self):
        """XEP-0288 §2.2: it may ask about keys, which are answered; other pairs need a stream of theirs."""
        link = self.opened()
        link.send("<db:verify from='%s' to='localhost' id='s'>00</db:verify>" % self.domain)
        link.expect("<db:verify from='localhost' to='%s' id='s' type='invalid'/>" % self.domain)
        link.send("<db:result from='conference.%s' to='localhost'>00</db:result>" % self.domain)
        link.expect("<db:result from='localhost' to='conference.%s' type='error'><error><e:not-allowed/></error>"
                    '</db:result>' % self.domain)
        link.send("<db:result from='x.example' to='localhost' type='valid'/>")
        self.from_them(link, 'next')
        self.heard('next')

    def test_last_words(self):
        """RFC 6120 §4.4: what was on its way when we had nothing more to say is taken."""
        link = self.opened()
        self.server.control('s2s', action='close', domain=self.domain)
        self.assertEqual(link.event()[0], 'close')
        self.from_them(link, 'last')
        self.heard('last')
        link.send('</stream:stream>')
        link.expect_end()


class OneWay(Out):
    over = 's2s_use_starttls: false\ns2s_bidi: false\n'

    def test_off(self):
        """The setting s2s_bidi."""
        self.say('first')
        link = self.callee.accept()
        link.greet(BIDI + DIALBACK)
        link.validate()
        self.came(link, 'first')
        link.close()


if __name__ == '__main__':
    main()
