#!/usr/bin/python3
"""Federation with servers of other hands, Debian's prosody and ejabberd, over each way there is for two
servers to know each other: what people say arrives, in both directions, and what cannot comes back."""

import unittest

from harness.case import main
from harness.pattern import Pattern
from harness.federation import Ejabberd, Linnet, Prosody, World

class People(unittest.TestCase):
    """romeo is at our server, juliet at the other one."""

    def meet(self, world, kind, ours=None, theirs=None):
        linnet = world.add(Linnet, 'linnet.example', **(ours or {}))
        other = world.add(kind, 'other.example', **(theirs or {}))
        world.start()
        linnet.register('romeo')
        other.register('juliet')
        romeo, juliet = linnet.login('romeo'), other.login('juliet')
        for client in romeo, juliet:
            self.addCleanup(client.close)
            client.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
            client.expect("<iq type='result' id='r'/>")
            client.send('<presence/>')
            client.expect('<presence/>')
        return linnet, other, romeo, juliet

    def talk(self, romeo, juliet):
        self.messages(romeo, juliet)
        self.messages(juliet, romeo)
        for asker, asked in (romeo, juliet), (juliet, romeo):
            self.iqs(asker, asked)
            self.errors(asker, asked)
        self.subscribe(romeo, juliet)
        self.subscribe(juliet, romeo)

    def messages(self, sender, receiver):
        for n in range(10):
            sender.send("<message id='m%d' to='%s' type='chat'><body>%d &lt;é&gt;</body></message>"
                        % (n, receiver.jid, n))
        for n in range(10):
            receiver.expect("<message id='m%d' from='%s' type='chat'><body>%d &lt;é&gt;</body></message>"
                            % (n, sender.jid, n))

    def iqs(self, asker, asked):
        domain = asked.jid.partition('@')[2].partition('/')[0]
        asker.send("<iq type='get' id='p' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>" % domain)
        asker.expect("<iq type='result' id='p' from='%s'/>" % domain)
        asker.send("<iq type='get' id='v' to='%s'><query xmlns='jabber:iq:version'/></iq>" % asked.jid)
        asked.expect("<iq type='get' id='v' from='%s'><query xmlns='jabber:iq:version'/></iq>" % asker.jid)
        asked.send("<iq type='result' id='v' to='%s'><query xmlns='jabber:iq:version'><name>x</name></query></iq>"
                   % asker.jid)
        asker.expect("<iq type='result' id='v' from='%s'><query xmlns='jabber:iq:version'><name>x</name></query></iq>"
                     % asked.jid)

    def errors(self, asker, asked):
        domain = asked.jid.partition('@')[2].partition('/')[0]
        asker.send("<iq type='get' id='e' to='nobody@%s/x'><ping xmlns='urn:xmpp:ping'/></iq>" % domain)
        asker.expect("<iq type='error' id='e' from='nobody@%s/x'><error><e:service-unavailable/></error></iq>"
                     % domain)
        asker.send("<message id='e' to='x@nothing.example' type='chat'><body>x</body></message>")
        asker.expect("<message id='e' type='error' from='x@nothing.example'><error>"
                     '<e:remote-server-not-found/></error></message>')

    def subscribe(self, asker, asked):
        """RFC 6121 §3.1, across two servers."""
        bare = {c: c.jid.partition('/')[0] for c in (asker, asked)}
        asker.send("<presence type='subscribe' to='%s'/>" % bare[asked])
        self.all_of(asked, "<presence type='subscribe' from='%s'/>" % bare[asker])
        asked.send("<presence type='subscribed' to='%s'/>" % bare[asker])
        self.all_of(asker, "<presence type='subscribed' from='%s'/>" % bare[asked],
                    "<presence from='%s'/>" % asked.jid)
        asked.send('<presence><show>away</show></presence>')
        self.all_of(asked, '<presence><show>away</show></presence>')
        self.all_of(asker, "<presence from='%s'><show>away</show></presence>" % asked.jid)

    def all_of(self, client, *patterns):
        """In any order, and with whatever else this server thinks fit to say."""
        left = [Pattern(p) for p in patterns]
        while left:
            element = client.stanza()
            left = [p for p in left if p.why_not(element, {})]

    def by(self, linnet, way, both_ways=False):
        """How the other server is known, and we to it: by certificate or by dialback."""
        link, = [row for row in linnet.control('s2s', action='list') if row['to'] == 'other.example']
        self.assertEqual(link['state'], 'established')
        self.assertIn(', ' + way, link['way'])
        carrying = [row for row in linnet.control('s2s', action='incoming') if row['pairs']]
        self.assertEqual('both ways' in link['way'], both_ways, link['way'])
        if both_ways and way == 'certificate':
            self.assertEqual(carrying, [])      # one connection; a call back takes another
        elif not both_ways:
            self.assertRegex(linnet.log(), 'what="may send".* sender=other.example .*by=' + way)


EXTERNAL = 's2s_use_starttls: required_trusted\n'
KINDS = {
    # What linnetd, the other one and the zones are like, and by what the link is known to be good.
    'external': ({'settings': EXTERNAL}, {}, 'certificate'),
    'dialback': ({'certificate': 'self-signed'}, {'certificate': 'self-signed'}, 'dialback'),
    'direct_tls': ({'settings': EXTERNAL, 'records': '_xmpps-server._tcp SRV 10 5 {tls_port} host'},
                   {'records': '_xmpps-server._tcp SRV 10 5 {tls_port} host'}, 'certificate'),
}


class WithProsody(People):
    def check(self, way, options=None, both_ways=False):
        ours, theirs, by = KINDS[way]
        with World() as world:
            linnet, _, romeo, juliet = self.meet(world, Prosody, ours, dict(theirs, **(options or {})))
            self.talk(romeo, juliet)
            self.by(linnet, by, both_ways)

    def test_external(self):
        """RFC 6120 §13.7, XEP-0178: both have certificates, and nobody needs dialback."""
        self.check('external', {'settings': 's2s_secure_auth = true\nmodules_disabled = { "dialback" }'})

    def test_dialback(self):
        """XEP-0220: certificates that nobody vouches for, and no other way to be sure."""
        self.check('dialback')

    def test_direct_tls(self):
        """XEP-0368."""
        self.check('direct_tls')

    def test_bidi(self):
        """XEP-0288: one connection carries both directions."""
        self.check('external', {'modules': ('s2s_bidi',)}, both_ways=True)

    def test_bidi_and_stream_management(self):
        self.check('external', {'modules': ('s2s_bidi', 'smacks')}, both_ways=True)

    def test_bidi_by_dialback(self):
        self.check('dialback', {'modules': ('s2s_bidi',)}, both_ways=True)

    def test_bidi_is_off(self):
        with World() as world:
            linnet, _, romeo, juliet = self.meet(world, Prosody, {'settings': EXTERNAL + 's2s_bidi: false\n'},
                                                 {'modules': ('s2s_bidi',)})
            self.talk(romeo, juliet)
            self.by(linnet, 'certificate')


class WithLinnet(People):
    """With another of our own, XEP-0288 and XEP-0198 are in use."""

    def check(self, way):
        ours, theirs, by = KINDS[way]
        with World() as world:
            linnet, other, romeo, juliet = self.meet(world, Linnet, ours, dict(ours, **theirs))
            self.talk(romeo, juliet)
            self.by(linnet, by, both_ways=True)
            link, = [row for row in other.control('s2s', action='list') if row['to'] == 'linnet.example']
            self.assertEqual(link['way'], 'their stream, both ways')
            carrying = [row for row in other.control('s2s', action='incoming') if row['pairs']]
            self.assertEqual([row['both_ways'] for row in carrying], [True])

    def test_external(self):
        self.check('external')

    def test_dialback(self):
        self.check('dialback')


class WithEjabberd(People):
    def check(self, way, **more):
        ours, theirs, by = KINDS[way]
        with World() as world:
            linnet, _, romeo, juliet = self.meet(world, Ejabberd, ours, dict(theirs, **more))
            self.talk(romeo, juliet)
            self.by(linnet, by)

    def test_external(self):
        self.check('external', settings='s2s_use_starttls: required\n')

    def test_dialback(self):
        self.check('dialback', settings='s2s_use_starttls: optional\n', modules=('mod_s2s_dialback',))

    def test_direct_tls(self):
        self.check('direct_tls', settings='s2s_use_starttls: required\n')

    def test_stream_management(self):
        self.check('external', settings='s2s_use_starttls: required\n', modules=('mod_stream_mgmt',))


if __name__ == '__main__':
    main()
