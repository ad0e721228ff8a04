#!/usr/bin/python3
"""aioxmpp, a strict client library of another hand: it refuses what is not as its schemas say."""

import asyncio
import logging
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

try:
    import aiosasl
    import aioxmpp
    import aioxmpp.adhoc
    import aioxmpp.connector
    import aioxmpp.dispatcher
    import aioxmpp.ibr
    import aioxmpp.ping
except ImportError:
    print('python3-aioxmpp is not installed', file=sys.stderr)
    sys.exit(77)    # skipped

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import WAIT_S           # noqa: E402
from harness.server import password_of          # noqa: E402


class Aioxmpp(ServerCase):
    settings = '''
acl: {admin: {user: [romeo@localhost]}}
modules:
    mod_register: {access: all, registration_timeout: 0}
    mod_adhoc: {}
    mod_configure: {}
'''

    def run_async(self, scenario):
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(asyncio.wait_for(scenario(), 6 * WAIT_S))
        finally:
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.close()

    def peers(self, tls):
        """Where to connect and how, instead of what DNS would say."""
        if tls == 'direct':
            return [('127.0.0.1', self.server.tls_port, aioxmpp.connector.XMPPOverTLSConnector())]
        return [('127.0.0.1', self.server.port, aioxmpp.connector.STARTTLSConnector())]

    def client(self, jid, password=None, tls='starttls'):
        jid = aioxmpp.JID.fromstr(jid)
        client = aioxmpp.PresenceManagedClient(
            jid, aioxmpp.make_security_layer(password or password_of(str(jid.bare())),
                                             no_verify=True),
            override_peer=self.peers(tls), max_initial_attempts=1)
        client.said = asyncio.Queue()
        client.summon(aioxmpp.dispatcher.SimpleMessageDispatcher).register_callback(
            None, None, client.said.put_nowait)
        return client

    async def say(self, sender, receiver, to):
        message = aioxmpp.Message(to=to, type_=aioxmpp.MessageType.CHAT)
        message.body[None] = 'hello, <you> & all'
        await sender.send(message)
        came = await asyncio.wait_for(receiver.said.get(), WAIT_S)
        self.assertEqual(came.body.any(), 'hello, <you> & all')
        self.assertEqual(came.from_, sender.local_jid)
        self.assertEqual(came.type_, aioxmpp.MessageType.CHAT)

    def test_two_talk(self):
        async def scenario():
            for tls in ('starttls', 'direct'):
                with self.subTest(tls=tls):
                    one, other = self.client('romeo@localhost', tls=tls), self.client('juliet@localhost')
                    async with one.connected(), other.connected():
                        await self.say(one, other, other.local_jid)
                        await self.say(other, one, one.local_jid)
                        await self.say(one, other, other.local_jid.bare())
        self.run_async(scenario)

    def test_the_server_answers(self):
        async def scenario():
            client = self.client('romeo@localhost')
            localhost = aioxmpp.JID.fromstr('localhost')
            async with client.connected():
                await aioxmpp.ping.ping(client, localhost)
                disco = client.summon(aioxmpp.DiscoClient)
                info = await disco.query_info(localhost)
                self.assertIn(('server', 'im'), [(i.category, i.type_) for i in info.identities])
                self.assertIn('urn:xmpp:ping', info.features)
                await disco.query_items(localhost)
        self.run_async(scenario)

    def test_errors_are_understood(self):
        async def scenario():
            client = self.client('romeo@localhost')
            async with client.connected():
                for to, condition in (('nobody@localhost', 'SERVICE_UNAVAILABLE'),
                                      ('x@nowhere.example', 'REMOTE_SERVER_NOT_FOUND')):
                    with self.assertRaises(aioxmpp.errors.XMPPCancelError) as caught:
                        await aioxmpp.ping.ping(client, aioxmpp.JID.fromstr(to))
                    self.assertEqual(caught.exception.condition.name, condition)
        self.run_async(scenario)

    def test_commands(self):
        node = 'http://jabber.org/protocol/admin#'
        localhost = aioxmpp.JID.fromstr('localhost')

        async def scenario():
            client = self.client('romeo@localhost')
            async with client.connected():
                service = client.summon(aioxmpp.adhoc.AdHocClient)
                self.assertTrue(await service.supports_commands(localhost))
                names = {c.node: c.name for c in await service.get_commands(localhost)}
                self.assertEqual(names[node + 'get-online-users-list'], 'List of online users')
                info = await service.get_command_info(localhost, node + 'get-online-users-list')
                self.assertIn('jabber:x:data', info.features)
                session = await service.execute(localhost, node + 'get-online-users-list')
                self.assertEqual(session.status, aioxmpp.adhoc.CommandStatus.EXECUTING)
                form = session.first_payload
                self.assertEqual(form.title, 'List of online users')
                for field in form.fields:
                    if field.var == 'max_items':
                        field.values[:] = ['none']
                form.type_ = aioxmpp.forms.DataType.SUBMIT
                await session.proceed(action=aioxmpp.adhoc.ActionType.COMPLETE, payload=form)
                self.assertEqual(session.status, aioxmpp.adhoc.CommandStatus.COMPLETED)
                found = {field.var: field.values for field in session.first_payload.fields}
                self.assertEqual(list(found['onlineuserjids']), ['romeo@localhost'])
                session = await service.execute(localhost, node + 'delete-user')
                await session.close()
        self.run_async(scenario)

    def test_register_change_remove(self):
        async def scenario():
            jid = aioxmpp.JID.fromstr('gamma@localhost')
            _, stream, _ = await aioxmpp.node.connect_xmlstream(
                jid, aioxmpp.make_security_layer('unused', no_verify=True)._replace(sasl_providers=[]),
                override_peer=self.peers('starttls'))
            form = await aioxmpp.ibr.get_registration_fields(stream)
            self.assertIsNotNone(form.instructions)
            await aioxmpp.ibr.register(stream, aioxmpp.ibr.Query('gamma', 'first secret'))
            stream.close()
            client = self.client('gamma@localhost', 'first secret')
            async with client.connected():
                service = client.summon(aioxmpp.ibr.RegistrationService)
                info = await service.get_client_info()
                self.assertTrue(info.registered)
                await service.change_pass('second secret')
            await self.remove_account('gamma@localhost', 'second secret')
        self.run_async(scenario)

    async def remove_account(self, jid, password):
        """aioxmpp forgets what it has read but not yet handed out when a stream error comes, which
        may be the result of this very request; its documentation says so."""
        client = self.client(jid, password)
        failed = client.on_failure.future()
        async with client.connected():
            try:
                await client.summon(aioxmpp.ibr.RegistrationService).cancel_registration()
            except aioxmpp.errors.StreamError as e:
                self.assertEqual(e.condition, aioxmpp.errors.StreamErrorCondition.NOT_AUTHORIZED)
            except ConnectionError as e:    # or that it could not resume its stream afterwards
                self.assertIn('stream management', str(e))
            # It comes back by itself, and there is no such account any more.
            with self.assertRaises(aiosasl.AuthenticationFailure):
                await asyncio.wait_for(failed, WAIT_S)

    def test_wrong_password(self):
        async def scenario():
            client = self.client('romeo@localhost', 'not the password')
            with self.assertRaises(aiosasl.AuthenticationFailure):
                async with client.connected():
                    pass
        self.run_async(scenario)


if __name__ == '__main__':
    logging.basicConfig(level=os.environ.get('LOGLEVEL', 'CRITICAL'))
    main()
