#!/usr/bin/python3
"""Stream management on a stream that another server opened: XEP-0198 between servers. What was handled is
acknowledged, and after a cut the sender learns where it stands: nothing twice, nothing lost."""

import os
import signal
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import main                   # noqa: E402
from harness.remote import RemoteCase           # noqa: E402

ENABLE = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>"
R = "<r xmlns='urn:xmpp:sm:3'/>"
MESSAGE = ("<message from='juliet@remote.example/b' to='romeo@localhost' type='chat' id='%s'>"
           '<body>%s</body></message>')


class Sm(RemoteCase):
    domains = ('remote.example', 'second.example', 'third.example', 'fourth.example')
    trusted = True
    more = '''
s2s_use_starttls: optional
modules:
    mod_mam: {default: always}
    mod_offline: {}
'''

    def enabled(self, bidi=False, remote=None, enable=ENABLE):
        stream = self.dial(remote=remote)
        stream.prove_by_certificate(before="<bidi xmlns='urn:xmpp:bidi'/>" if bidi else '')
        stream.send(enable)
        stream.previd = stream.expect("<sm:enabled id='${id}' resume='true'/>").get('id')
        return stream

    def resumed(self, previd, h=0, remote=None):
        """The new connection, and the server's h."""
        stream = self.dial(remote=remote)
        stream.prove_by_certificate()
        stream.send("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='%d'/>" % (previd, h))
        return stream, int(stream.expect("<sm:resumed previd='%s'/>" % previd).get('h'))

    def test_order_of_things(self):
        """§3: not before the peer has shown who it is, and once."""
        stream = self.dial()
        stream.open()
        for element in (ENABLE, R, "<a xmlns='urn:xmpp:sm:3' h='0'/>",
                        "<resume xmlns='urn:xmpp:sm:3' previd='x' h='0'/>"):
            stream.send(element)
            stream.expect('<sm:failed><e:unexpected-request/></sm:failed>')
        stream.prove()
        stream.send(ENABLE)
        stream.expect('<sm:enabled/>')
        stream.send(ENABLE)
        stream.expect('<sm:failed><e:unexpected-request/></sm:failed>')

    def test_counted(self):
        """§4: stanzas are, nothing else is; also those that were answered with an error."""
        romeo = self.client()
        stream = self.enabled()
        stream.send(R)
        stream.expect("<sm:a h='0'/>")
        stream.send(MESSAGE % ('m1', 'hi'))
        stream.prove('second.example')
        stream.send("<iq from='a@remote.example' to='localhost' type='get' id='1'/>" + R)
        stream.expect("<sm:a h='2'/>")
        romeo.expect("<message id='m1'/>")

    def test_stored_first(self):
        """§4: what waits for somebody absent is acknowledged when it is stored."""
        stream = self.enabled()
        stream.send(MESSAGE.replace('romeo', 'juliet') % ('later', 'hi') + R)
        stream.expect("<sm:a h='1'/>")

    def test_too_high(self):
        """§6: handled-count-too-high."""
        stream = self.enabled()
        stream.send("<a xmlns='urn:xmpp:sm:3' h='1'/>")
        stream.expect("<stream:error><s:undefined-condition/>"
                      "<sm:handled-count-too-high h='1' send-count='0'/></stream:error>")
        stream.expect_close()

    def test_resumed(self):
        """§5: after each of many cuts the server says what it has, and goes on from there."""
        romeo = self.client()
        stream = self.enabled()
        previd, sent, total = stream.previd, 0, 60
        while sent < total:
            # The last of them may reach the server or not: its h decides.
            stream.send(''.join(MESSAGE % ('n%d' % n, n) for n in range(sent, min(sent + 7, total))))
            stream.close()
            stream, sent = self.resumed(previd)
        stream.send(R)
        stream.expect("<sm:a h='%d'/>" % total)
        for n in range(total):
            romeo.expect("<message id='n%d'/>" % n)
        self.assertEqual(self.ids_left(romeo), [])

    def test_resumed_while_connected(self):
        """§5: the old connection, which nobody has missed yet, is closed."""
        stream = self.enabled()
        stream.send(MESSAGE % ('m1', 'hi') + R)
        stream.expect("<sm:a h='1'/>")
        _, handled = self.resumed(stream.previd)
        self.assertEqual(handled, 1)
        stream.expect_stream_error('conflict')

    def test_resumed_by_another(self):
        """§5: an id is worth nothing to another domain; nor one that is made up."""
        stream = self.enabled()
        for previd, condition in ((stream.previd, 'item-not-found'), ('0' * 32, 'item-not-found'),
                                  ('x', 'item-not-found')):
            other = self.dial(remote=self.remotes['second.example'])
            other.open()
            other.prove()
            other.send("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='0'/>" % previd)
            other.expect('<sm:failed><e:%s/></sm:failed>' % condition)
            other.send(ENABLE)          # it may begin anew
            other.expect('<sm:enabled/>')
            other.close()

    def test_ended(self):
        """§5: a stream that was closed in order is over, and its count is remembered."""
        stream = self.enabled()
        stream.send(MESSAGE % ('m1', 'hi') + '</stream:stream>')
        stream.expect("<sm:a h='1'/>")
        stream.expect_close()
        again = self.proven()
        again.send("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='0'/>" % stream.previd)
        again.expect("<sm:failed h='1'><e:item-not-found/></sm:failed>")

    def test_both_ways(self):
        """XEP-0288: what is for the peer waits for it, and is sent again when it was not acknowledged."""
        romeo = self.client()
        remote = self.remotes['second.example']
        stream = self.enabled(True, remote)
        previd = stream.previd
        romeo.send("<message to='a@second.example' id='b1'/><message to='a@second.example' id='b2'/>")
        stream.expect("<message id='b1'/>")
        stream.expect("<message id='b2'/>")
        stream.close()
        romeo.send("<message to='a@second.example' id='b3'/>")
        stream, _ = self.resumed(previd, 1, remote)
        stream.expect("<message id='b2'/>")
        stream.expect("<message id='b3'/>")
        stream.expect('<sm:r/>')
        stream.send("<a xmlns='urn:xmpp:sm:3' h='3'/>")
        romeo.send("<message to='a@second.example' id='b4'/>")
        stream.expect("<message id='b4'/>")

    def waits(self, remote):
        """Until the server knows that its connection is gone."""
        while not [row for row in self.server.control('s2s', action='incoming')
                   if row['from'] == remote.domain and row['state'] == 'wait_for_resume']:
            pass

    def test_begun_anew(self):
        """A peer that does not come back to a stream but begins another: it never learnt that the first was
        enabled, say. What waited for it goes by the new one, before all else."""
        romeo = self.client()
        remote = self.remotes['third.example']
        self.enabled(True, remote).close()
        self.waits(remote)
        romeo.send("<message to='a@third.example' id='n1'/>")
        stream = self.enabled(True, remote)
        romeo.send("<message to='a@third.example' id='n2'/>")
        stream.expect("<message id='n1'/>")
        stream.expect("<message id='n2'/>")

    def test_never_back(self):
        """What was sent may have arrived, so it comes back; what was not finds another way."""
        juliet = self.client('juliet@localhost/balcony')
        remote = self.remotes['fourth.example']
        stream = self.enabled(True, remote, ENABLE.replace('/>', " max='1'/>"))
        juliet.send("<message to='a@fourth.example' id='v1'/>")
        stream.expect("<message id='v1'/>")
        stream.close()
        self.waits(remote)
        juliet.send("<message to='a@fourth.example' id='v2'/>")
        juliet.expect("<message from='a@fourth.example' id='v1' type='error'>"
                     '<error><e:remote-server-timeout/></error></message>')
        remote.expect("<message id='v2'/>")


class End(RemoteCase):
    more = 's2s_use_starttls: optional\nmodules:\n    mod_mam: {default: always}\n'

    def test_clean_end(self):
        """A server that is stopped says what it has handled, and why it ends the stream."""
        stream = self.dial()
        stream.open()
        stream.prove()
        stream.send(ENABLE)
        stream.expect('<sm:enabled/>')
        stream.send(''.join(MESSAGE % ('e%d' % n, 'hi') for n in range(20)) + R)
        stream.expect("<sm:a h='20'/>")
        os.kill(self.server.process.pid, signal.SIGTERM)
        stream.expect("<sm:a h='20'/>")
        stream.expect_stream_error('system-shutdown')
        self.server.process.wait(30)
        self.server.again()
        fresh = self.proven()
        fresh.send("<resume xmlns='urn:xmpp:sm:3' previd='%s' h='0'/>" % ('0' * 32))
        fresh.expect('<sm:failed><e:item-not-found/></sm:failed>')


if __name__ == '__main__':
    main()
