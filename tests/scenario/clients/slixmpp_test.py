#!/usr/bin/python3
"""slixmpp, a client library of another hand: registers, logs in over STARTTLS and over direct
TLS, talks both ways, pings and reads what the server can do."""

import asyncio
import logging
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

try:
    import slixmpp
except ImportError:
    print('python3-slixmpp is not installed', file=sys.stderr)
    sys.exit(77)    # skipped

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import WAIT_S           # noqa: E402


class Client(slixmpp.ClientXMPP):
    """One that tells by queues what happened."""

    def __init__(self, server, jid, password, mechanism=None, register=False, tls='starttls'):
        super().__init__(jid, password, sasl_mech=mechanism)
        self.under_test, self.tls = server, tls
        self.ca_certs = server.path('ca.pem')
        self.said, self.happened = asyncio.Queue(), asyncio.Queue()
        for plugin in ('xep_0004', 'xep_0030', 'xep_0050', 'xep_0077', 'xep_0092', 'xep_0199'):
            self.register_plugin(plugin)
        if register:
            # 1.8.3 keeps back whatever is said before the session, registration included.
            self._always_send_everything = True
            self.add_event_handler('register', self.on_register)
        self.add_event_handler('session_start', lambda _: self.happened.put_nowait('session'))
        self.add_event_handler('failed_auth', lambda _: self.happened.put_nowait('refused'))
        self.add_event_handler('disconnected', lambda _: self.happened.put_nowait('disconnected'))
        self.add_event_handler('message', self.said.put_nowait)

    async def on_register(self, _form):
        iq = self.Iq()
        iq['type'] = 'set'
        iq['register']['username'] = self.boundjid.user
        iq['register']['password'] = self.password
        try:
            await iq.send(timeout=WAIT_S)
            self.happened.put_nowait('registered')
        except slixmpp.exceptions.IqError as e:
            self.happened.put_nowait(e.iq['error']['condition'])

    def start(self):
        if self.tls == 'direct':
            self.connect(('127.0.0.1', self.under_test.tls_port), use_ssl=True, disable_starttls=True)
        else:
            self.connect(('127.0.0.1', self.under_test.port), force_starttls=True)

    async def wait_for(self, what):
        while True:
            event = await asyncio.wait_for(self.happened.get(), WAIT_S)
            if event == what:
                return
            if event in ('refused', 'disconnected', 'conflict'):
                raise AssertionError('%s: %s instead of %s' % (self.boundjid, event, what))

    async def online(self):
        self.start()
        await self.wait_for('session')
        self.send_presence()
        return self

    async def offline(self):
        self.disconnect(wait=2)
        await self.wait_for('disconnected')


class Slixmpp(ServerCase):
    # slixmpp 1.8 takes TLS 1.3 for a channel it can bind to by tls-unique, which no longer exists
    # there: where -PLUS is offered it never gets as far as plain SCRAM.
    settings = '''
disable_sasl_mechanisms: [SCRAM-SHA-1-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-512-PLUS]
acl: {admin: {user: [romeo@localhost]}}
modules:
    mod_register: {access: all, registration_timeout: 0}
    mod_adhoc: {}
    mod_configure: {}
'''

    def run_async(self, scenario):
        # slixmpp asks for the loop of the main thread when it is made.
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(asyncio.wait_for(scenario(), 6 * WAIT_S))
        finally:
            left = asyncio.all_tasks(loop)      # its own, which it does not end
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.close()

    def client(self, jid, **how):
        return Client(self.server, jid, 'secret of ' + jid.partition('@')[0], **how)

    async def chat(self, one, other):
        for sender, receiver in ((one, other), (other, one)):
            for to in (receiver.boundjid.full, receiver.boundjid.bare):
                sender.send_message(mto=to, mbody='hello, %s & <you>' % to, mtype='chat')
                came = await asyncio.wait_for(receiver.said.get(), WAIT_S)
                self.assertEqual(came['body'], 'hello, %s & <you>' % to)
                self.assertEqual(came['from'], sender.boundjid)

    def test_register_and_chat(self):
        async def scenario():
            one = self.client('alpha@localhost/one', register=True)
            one.start()
            await one.wait_for('registered')
            await one.wait_for('session')
            one.send_presence()
            other = await self.client('beta@other.example/two', register=True).online()
            await self.chat(one, other)
            await one.offline()
            await other.offline()
            # The account is there from now on, and only once.
            again = await self.client('alpha@localhost/again').online()
            await again.offline()
            twice = self.client('alpha@localhost/twice', register=True)
            twice.start()
            await twice.wait_for('conflict')
            twice.abort()
        self.run_async(scenario)

    def test_mechanisms_over_both_kinds_of_tls(self):
        async def scenario():
            for tls in ('starttls', 'direct'):
                for mechanism in ('SCRAM-SHA-1', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'PLAIN'):
                    with self.subTest(tls=tls, mechanism=mechanism):
                        client = await self.client('romeo@localhost/m', tls=tls,
                                                   mechanism=mechanism).online()
                        await client.offline()
        self.run_async(scenario)

    def test_starttls_talks_to_direct_tls(self):
        async def scenario():
            one = await self.client('romeo@localhost/starttls').online()
            other = await self.client('juliet@localhost/direct', tls='direct').online()
            await self.chat(one, other)
            await one.offline()
            await other.offline()
        self.run_async(scenario)

    def test_the_server_answers(self):
        async def scenario():
            client = await self.client('romeo@localhost/asks').online()
            self.assertLess(await client['xep_0199'].ping('localhost', timeout=WAIT_S), WAIT_S)
            info = await client['xep_0030'].get_info('localhost', timeout=WAIT_S)
            identities = {i[:2] for i in info['disco_info']['identities']}
            self.assertIn(('server', 'im'), identities)
            self.assertIn('urn:xmpp:ping', info['disco_info']['features'])
            version = await client['xep_0092'].get_version('localhost', timeout=WAIT_S)
            self.assertEqual(version['software_version']['name'], self.server.software)
            await client.offline()
        self.run_async(scenario)

    async def fill_in(self, client, node, values):
        """Runs a command as its user would: finds it, gets its form, fills it in, sends it."""
        nodes = {item[1] for item in
                 (await client['xep_0050'].get_commands('localhost'))['disco_items']['items']}
        self.assertIn(node, nodes)
        steps = asyncio.Queue()
        client['xep_0050'].start_command('localhost', node, {
            'next': lambda iq, session: steps.put_nowait((iq, session)),
            'error': lambda iq, session: steps.put_nowait((iq, session))})
        iq, session = await asyncio.wait_for(steps.get(), WAIT_S)
        if values is None:
            return iq
        form = iq['command']['form']
        self.assertEqual(form['type'], 'form')
        session['payload'] = client['xep_0004'].make_form(ftype='submit')
        for var in form.get_fields():
            session['payload'].add_field(var=var, value=values.get(var, form.get_values()[var]))
        client['xep_0050'].complete_command(session)
        return (await asyncio.wait_for(steps.get(), WAIT_S))[0]

    def test_administration(self):
        admin = 'http://jabber.org/protocol/admin#'

        async def scenario():
            client = await self.client('romeo@localhost/admin').online()
            iq = await self.fill_in(client, admin + 'add-user', {
                'accountjid': 'gamma@localhost', 'password': 'secret of gamma',
                'password-verify': 'secret of gamma'})
            self.assertEqual(iq['command']['status'], 'completed')
            other = await self.client('gamma@localhost/new').online()
            iq = await self.fill_in(client, admin + 'get-online-users-num', None)
            self.assertEqual(iq['command']['form'].get_values()['onlineusersnum'], '2')
            iq = await self.fill_in(client, admin + 'end-user-session',
                                    {'accountjids': ['gamma@localhost']})
            self.assertEqual(iq['command']['status'], 'completed')
            await other.wait_for('disconnected')
            iq = await self.fill_in(client, admin + 'delete-user',
                                    {'accountjids': ['gamma@localhost']})
            self.assertEqual(iq['command']['status'], 'completed')
            iq = await self.fill_in(client, admin + 'delete-user',
                                    {'accountjids': ['gamma@localhost']})
            self.assertEqual(iq['error']['condition'], 'item-not-found')
            self.assertEqual(iq['error']['text'], 'There is no such account.')
            await client.offline()
        self.run_async(scenario)

    def test_wrong_password(self):
        async def scenario():
            client = Client(self.server, 'romeo@localhost/wrong', 'not the password')
            client.start()
            await client.wait_for('refused')
            client.abort()
        self.run_async(scenario)


if __name__ == '__main__':
    logging.basicConfig(level=os.environ.get('LOGLEVEL', 'CRITICAL'))
    main()
