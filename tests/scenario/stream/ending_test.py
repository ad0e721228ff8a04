#!/usr/bin/python3
"""How streams end when it is the server that ends them: at its stop, and under TLS."""

import concurrent.futures
import os
import ssl
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main       # noqa: E402
from harness.server import Server, password_of  # noqa: E402


class Ending(ServerCase):
    def login_wary_of_the_end(self, tls):
        """A client that takes the end of the connection for an error where TLS has not ended."""
        client = self.server.connect(port=self.server.tls_port if tls == 'direct' else None)
        context = client.context()
        context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        if tls == 'starttls':
            client.open('localhost')
            client.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
            client.expect('<tls:proceed/>')
        client.handshake('localhost', context=context)
        client.sock.suppress_ragged_eofs = False
        client.open('localhost')
        client.authenticate('romeo', password_of('romeo@localhost'))
        client.open('localhost')
        client.bind('orchard')
        return client

    def assert_ends_well(self, client):
        """RFC 6120 §4.4, RFC 5246 §7.2.1: TLS is closed before the connection, so that nothing can have been
        cut off. Without its alert the last read would fail."""
        while client.sock.recv(4096):
            pass
        client.close()

    def test_tls_is_closed(self):
        for tls in ('starttls', 'direct'):
            for last in ('</stream:stream>', '<letter/>', '</message>', '<stream:error/>'):
                with self.subTest(tls=tls, last=last):
                    client = self.login_wary_of_the_end(tls)
                    client.send(last)
                    self.assert_ends_well(client)

    def test_the_server_stops(self):
        """RFC 6120 §4.9.3.20: everybody is told, whatever they are about."""
        server = Server('', [('romeo@localhost', 'secret of romeo')])
        self.addCleanup(server.clean)
        self.addCleanup(server.kill)
        server.start()
        silent, opened, encrypted, logged_in = (server.connect() for _ in range(4))
        for client in (opened, encrypted, logged_in):
            client.open('localhost')
        for client in (encrypted, logged_in):
            client.starttls('localhost')
            client.open('localhost')
        logged_in.authenticate('romeo', 'secret of romeo')
        logged_in.open('localhost')
        sessions = [server.login('romeo@localhost/%d' % n) for n in range(20)]
        with concurrent.futures.ThreadPoolExecutor() as other_thread:
            stopping = other_thread.submit(server.stop)
            kind, header = silent.event()
            self.assertEqual((kind, header.get('from')), ('open', 'localhost'))
            for client in (silent, opened, encrypted, logged_in, *sessions):
                client.expect_stream_error('system-shutdown')
                client.close()
            stopping.result()


if __name__ == '__main__':
    main()
