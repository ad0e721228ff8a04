#!/usr/bin/python3
"""slixmpp's XEP-0198: its connection is cut while somebody writes to it; it resumes by itself, hears
every message once, and what it has sent meanwhile arrives. So over a server that was killed."""

import asyncio
import sys

try:
    import slixmpp
except ImportError:
    print('python3-slixmpp is not installed', file=sys.stderr)
    sys.exit(77)    # skipped

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import WAIT_S           # noqa: E402
from harness.server import password_of          # noqa: E402


class Client(slixmpp.ClientXMPP):
    def __init__(self, server, jid):
        super().__init__(jid, password_of(jid.partition('/')[0]), sasl_mech='SCRAM-SHA-256')
        self.under_test = server
        self.ca_certs = server.path('ca.pem')
        self.register_plugin('xep_0198')
        self.happened, self.said = asyncio.Queue(), asyncio.Queue()
        for event in 'session_start', 'sm_enabled', 'session_resumed', 'disconnected':
            self.add_event_handler(event, lambda _, event=event: self.happened.put_nowait(event))
        self.add_event_handler('message', self.said.put_nowait)

    def begin(self):
        self.connect(('127.0.0.1', self.under_test.port), force_starttls=True)

    async def wait_for(self, what):
        while True:
            if await asyncio.wait_for(self.happened.get(), WAIT_S) == what:
                return

    async def hear(self, numbers):
        for n in numbers:
            message = await asyncio.wait_for(self.said.get(), WAIT_S)
            assert message['body'] == str(n), (message, n)


class Slixmpp(ServerCase):
    settings = "disable_sasl_mechanisms: [SCRAM-SHA-1-PLUS, SCRAM-SHA-256-PLUS, SCRAM-SHA-512-PLUS]"

    def run_async(self, scenario):
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

    async def cut_and_back(self, romeo, trouble):
        await asyncio.to_thread(trouble)
        romeo.abort()
        await asyncio.sleep(0.1)
        romeo.begin()
        await romeo.wait_for('session_resumed')

    def talk(self, trouble):
        async def scenario():
            romeo = Client(self.server, 'romeo@localhost/slixmpp')
            romeo.begin()
            await romeo.wait_for('sm_enabled')
            romeo.send_presence()
            juliet = self.server.login('juliet@localhost/balcony')
            for n in range(5):
                juliet.send("<message to='romeo@localhost/slixmpp' type='chat'><body>%d</body></message>" % n)
            await romeo.hear(range(5))
            await self.cut_and_back(romeo, trouble)
            juliet = self.server.login('juliet@localhost/balcony')
            for n in range(5, 10):
                juliet.send("<message to='romeo@localhost/slixmpp' type='chat'><body>%d</body></message>" % n)
            await romeo.hear(range(5, 10))
            romeo.send_message('juliet@localhost/balcony', 'there')
            await asyncio.to_thread(
                juliet.expect, "<message from='romeo@localhost/slixmpp'><body>there</body></message>")
            romeo.disconnect(wait=1)
            await romeo.wait_for('disconnected')
        self.run_async(scenario)

    def test_a_cut_connection(self):
        self.talk(lambda: None)

    def test_a_killed_server(self):
        def killed():
            self.server.kill()
            self.server.again()
        self.talk(killed)


if __name__ == '__main__':
    main()
