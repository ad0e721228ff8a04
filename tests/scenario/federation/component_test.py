#!/usr/bin/python3
"""A component of one Linnet and somebody on another: its domain is this server's to other servers, too."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import main       # noqa: E402
from harness.federation import Linnet, World    # noqa: E402

LISTEN = '''
listen:
    - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s}
    - {port: ${component_port}, ip: 127.0.0.1, module: ejabberd_service, password: secret}
    - {port: %d, ip: 127.0.0.1, module: ejabberd_s2s_in}
'''
GATEWAY = 'gateway.one.example'


class Component(unittest.TestCase):
    def test_both_ways(self):
        with World() as world:
            one = world.add(Linnet, 'one.example', '_xmpp-server._tcp SRV 10 5 {port} host\n'
                            '_xmpp-server._tcp.gateway SRV 10 5 {port} host')
            two = world.add(Linnet, 'two.example')
            one.options['settings'] = LISTEN % one.s2s_port
            world.start()
            two.register('juliet')
            juliet = two.login('juliet')
            gateway = one.connect('gateway', one.component_port)
            gateway.serve(GATEWAY, 'secret')
            # From elsewhere.
            juliet.send("<message to='romeo@%s' id='m1'><body>who</body></message>" % GATEWAY)
            gateway.expect("<message from='%s' to='romeo@%s' id='m1'/>" % (juliet.jid, GATEWAY))
            # And back.
            gateway.send("<message from='romeo@%s/x' to='%s' id='m2'/>" % (GATEWAY, juliet.jid))
            juliet.expect("<message from='romeo@%s/x' id='m2'/>" % GATEWAY)
            # Requests.
            juliet.send("<iq type='get' to='%s' id='q1'><q xmlns='urn:example:q'/></iq>" % GATEWAY)
            gateway.expect("<iq type='get' from='%s' id='q1'/>" % juliet.jid)
            gateway.send("<iq type='result' from='%s' to='%s' id='q1'/>" % (GATEWAY, juliet.jid))
            juliet.expect("<iq type='result' from='%s' id='q1'/>" % GATEWAY)
            gateway.send("<iq type='get' from='%s' to='two.example' id='q2'><ping xmlns='urn:xmpp:ping'/></iq>" % GATEWAY)
            gateway.expect("<iq type='result' from='two.example' to='%s' id='q2'/>" % GATEWAY)
            # When it has gone.
            gateway.send('</stream:stream>')
            gateway.expect_close()
            juliet.send("<message to='romeo@%s' id='m3'><body>where</body></message>" % GATEWAY)
            juliet.expect("<message type='error' from='romeo@%s' id='m3'/>" % GATEWAY)
            juliet.close()
            gateway.close()


if __name__ == '__main__':
    main()
