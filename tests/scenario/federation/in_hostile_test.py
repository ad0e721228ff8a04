#!/usr/bin/python3
"""The port for other servers under bad input: each connection is closed, each next one served, and the
server's own users notice nothing (RFC 6120 §4.9.3, §11, §13.12)."""

import os
import random
import socket
import struct
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import main                       # noqa: E402
from harness.connection import Failure              # noqa: E402
from harness.remote import RemoteCase, header       # noqa: E402

SEEDED = random.Random(5269)
HEADER = header(to='localhost', **{'from': 'remote.example'}, version='1.0')
GARBAGE = (
    b'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n',
    b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + bytes(600),
    b'\x00' * 5000,
    b'\xff' * 5000,
    b'<' * 5000,
    b'</' * 5000,
    b'\xef\xbb\xbf<?xml version="1.0"?><html>',
    *[bytes(SEEDED.randrange(256) for _ in range(3000)) for _ in range(5)],
)
BROKEN = (
    ('<a></b>', 'not-well-formed'),
    ('<db:result', 'policy-violation'),
    ('<!-- x -->', 'restricted-xml'),
    ('<!DOCTYPE a [<!ENTITY b "c">]>', 'restricted-xml'),
    ('<?php x?>', 'restricted-xml'),
    ('<a>&b;</a>', 'restricted-xml'),
    ('<x:a/>', 'bad-namespace-prefix'),
    ('text', 'bad-format'),
    ('<a>' * 100, 'policy-violation'),
    ('<a %s/>' % ' '.join("a%d=''" % n for n in range(100)), 'policy-violation'),
)


class Hostile(RemoteCase):
    more = '''
s2s_use_starttls: optional
negotiation_timeout: 1 s
'''

    def talk(self, port, data):
        with socket.create_connection(('127.0.0.1', port), timeout=20) as s:
            try:
                s.sendall(data)
                while s.recv(65536):
                    pass
            except (ConnectionResetError, BrokenPipeError):
                pass

    def assert_federates(self):
        stream = self.proven()
        stream.send("<iq type='get' from='a@remote.example' to='localhost' id='p'>"
                    "<ping xmlns='urn:xmpp:ping'/></iq>")
        self.remote.expect("<iq type='result' id='p'/>")
        stream.close()

    def test_garbage(self):
        """RFC 6120 §4.9.3.13: where a header should be, and behind it, and inside TLS."""
        for data in GARBAGE:
            with self.subTest(data=data[:20]):
                self.talk(self.server.s2s_port, data)
                self.talk(self.server.s2s_tls_port, data)
                self.talk(self.server.s2s_port, HEADER.encode() + data)
                stream = self.dial(port=self.server.s2s_tls_port)
                stream.handshake()
                stream.send(data)
                try:
                    stream.wait_for_end()
                except Failure:
                    pass
                stream.close()
        self.assert_federates()
        self.assert_serves()

    def test_broken_xml(self):
        """RFC 6120 §4.9.3, §11.1: before and after the peer has shown who it is."""
        for text, condition in BROKEN:
            for make in (self.dial, self.proven):
                with self.subTest(text=text[:20], proven=make == self.proven):
                    stream = make()
                    if make == self.dial:
                        stream.open()
                    stream.send(text + (' ' * 300000 if text == '<db:result' else ''))
                    stream.expect_stream_error(condition, 'not-well-formed')
                    stream.close()
        self.assert_federates()

    def test_ends_in_the_middle(self):
        """RFC 6120 §4.4: connections that end anywhere, in every way a connection can."""
        talk = HEADER + "<db:result from='remote.example' to='localhost'>%s</db:result>" % ('0' * 64)
        for cut in range(1, len(talk), 23):
            with socket.create_connection(('127.0.0.1', self.server.s2s_port), timeout=20) as s:
                s.sendall(talk[:cut].encode())
                if cut % 2:
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.assert_federates()

    def test_says_nothing(self):
        """RFC 6120 §4.9.3.4: a negotiation has an end; but one that has asked about a key is only closed."""
        stream = self.dial()
        stream.open()
        stream.expect_stream_error('connection-timeout')
        stream = self.dial()
        stream.open()
        stream.send("<db:verify from='remote.example' to='localhost' id='1'>abc</db:verify>")
        stream.expect("<db:verify type='invalid'/>")
        stream.expect_close()

    def test_gone_before_the_answer(self):
        """Whoever does not wait for what comes of its key harms nobody."""
        self.remote.answer = 'silence'
        for _ in range(20):
            stream = self.dial()
            stream.open()
            stream.claim()
            stream.close()
        self.remote.answer = 'key'
        self.assert_federates()


if __name__ == '__main__':
    main()
