#!/usr/bin/python3
"""Federation with servers of other hands, Debian's prosody and ejabberd, over each way there is for two
servers to know each other: what people say arrives, in both directions, and what cannot comes back."""

import unittest

from harness.case import main
from harness.federation import Ejabberd, Linnet, Prosody, World

BOTH = 'linnet.example', 'other.example'


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
        """RFC 6121 §3.1, across two servers; rosters are not asked for, so nothing is pushed."""
        bare = {c: c.jid.partition('/')[0] for c in (asker, asked)}
        asker.send("<presence type='subscribe' to='%s'/>" % bare[asked])
        asked.expect("<presence type='subscribe' from='%s'/>" % bare[asker])
        asked.send("<presence type='subscribed' to='%s'/>" % bare[asker])
        asker.expect("<presence type='subscribed' from='%s'/>" % bare[asked])
        asker.expect("<presence from='%s'/>" % asked.jid)
        asked.send('<presence><show>away</show></presence>')
        asked.expect('<presence><show>away</show></presence>')
        asker.expect("<presence from='%s'><show>away</show></presence>" % asked.jid)

    # How a link came about: what we say of it, and what is in the peers' logs.

    def links(self, linnet):
        return linnet.control('s2s', action='list')


class WithProsody(People):
    def test_external(self):
        """RFC 6120 §13.7, XEP-0178: both have certificates, and nobody needs dialback."""
        with World() as world:
            linnet, _, romeo, juliet = self.meet(
                world, Prosody, {'settings': 's2s_use_starttls: required_trusted\n'},
                {'settings': 's2s_secure_auth = true\nmodules_disabled = { "dialback" }'})
            self.talk(romeo, juliet)
            print(self.links(linnet))


class WithEjabberd(People):
    def test_external(self):
        with World() as world:
            linnet, _, romeo, juliet = self.meet(
                world, Ejabberd, {'settings': 's2s_use_starttls: required_trusted\n'},
                {'settings': 's2s_use_starttls: required\n'})
            self.talk(romeo, juliet)
            print(self.links(linnet))


if __name__ == '__main__':
    main()
