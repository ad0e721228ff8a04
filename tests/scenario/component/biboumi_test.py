#!/usr/bin/python3
"""A gateway of another hand: biboumi joins clients to channels of an IRC server (ngircd). Both run here, on
loopback; what is said in a channel goes both ways. docs/components.md has these settings."""

import os
import random
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../support'))

from harness.case import ServerCase, main       # noqa: E402
from harness.connection import WAIT_S, Failure  # noqa: E402

os.environ['PATH'] += ':/usr/sbin'
if not shutil.which('biboumi') or not shutil.which('ngircd'):
    print('biboumi and ngircd are not installed', file=sys.stderr)
    sys.exit(77)    # skipped

NGIRCD = '''
[Global]
	Name = irc.test
	Info = a test
	Listen = %(ip)s
	Ports = 6667
	MotdPhrase = hello
[Limits]
	MaxConnectionsIP = 0
	MaxNickLength = 30
[Options]
	DNS = no
	Ident = no
	PAM = no
	Ipv6 = no
'''
BIBOUMI = '''
hostname=irc.localhost
password=a secret of ours
xmpp_server_ip=127.0.0.1
port=%(port)d
db_name=%(dir)s/biboumi.sqlite
log_level=1
policy_directory=%(dir)s
'''


class Irc:
    """A client of the IRC server."""

    def __init__(self, ip, nick):
        self.sock = socket.create_connection((ip, 6667), timeout=WAIT_S)
        self.lines = self.sock.makefile('r', encoding='utf-8', newline='\r\n')
        self.send('NICK ' + nick, 'USER %s 0 * :%s' % (nick, nick))
        self.until(' 001 ')

    def send(self, *lines):
        self.sock.sendall(''.join(line + '\r\n' for line in lines).encode())

    def until(self, what):
        for line in self.lines:
            if line.startswith('PING'):
                self.send('PONG' + line.rstrip()[4:])
            if what in line:
                return line.rstrip()
        raise Failure('the IRC server closed before %r' % what)

    def close(self):
        self.lines.close()
        self.sock.close()


class Biboumi(ServerCase):
    settings = '''
listen:
    - {port: ${port}, ip: 127.0.0.1, module: ejabberd_c2s}
    - port: ${component_port}
      ip: 127.0.0.1
      module: ejabberd_service
      hosts: {irc.localhost: {password: a secret of ours}}
'''

    def setUp(self):
        # The port is fixed, so the address is ours alone.
        self.ip = '127.%d.%d.%d' % tuple(random.randint(1, 250) for _ in range(3))
        self.programs = []
        self.begin('ngircd', NGIRCD % {'ip': self.ip}, '-n', '-f')
        self.begin('biboumi', BIBOUMI % {'port': self.server.component_port, 'dir': self.server.dir})
        self.wait_for(lambda: self.server.control('components'), 'the gateway')

    def tearDown(self):
        for program in reversed(self.programs):
            program.terminate()
            program.wait(WAIT_S)

    def begin(self, name, conf, *options):
        path = self.server.path(name + '.conf')
        with open(path, 'w', encoding='ascii') as f:
            f.write(conf)
        with open(self.server.path(name + '.log'), 'ab') as log:
            self.programs.append(subprocess.Popen([name, *options, path], stdin=subprocess.DEVNULL,
                                                  stdout=log, stderr=log))
        if name == 'ngircd':
            self.wait_for(self.irc_answers, 'the IRC server')

    def irc_answers(self):
        try:
            socket.create_connection((self.ip, 6667), timeout=WAIT_S).close()
            return True
        except ConnectionRefusedError:
            return False

    def wait_for(self, is_there, what):
        deadline = time.monotonic() + 3 * WAIT_S
        while not is_there():
            ended = [p.args[0] for p in self.programs if p.poll() is not None]
            if ended or time.monotonic() > deadline:
                self.fail('%s did not come; ended: %s' % (what, ended))
            time.sleep(0.01)

    def heard(self, client, why_not):
        """The first stanza that why_not() has nothing against."""
        while True:
            stanza = client.stanza()
            if why_not(stanza):
                return stanza

    def test_a_channel(self):
        room = '#linnet%%%s@irc.localhost' % self.ip
        irc = Irc(self.ip, 'mercutio')
        romeo = self.server.login('romeo@localhost/orchard')
        romeo.send("<presence to='%s/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>" % room)
        self.heard(romeo, lambda s: s.name == 'presence' and s.get('from') == room + '/romeo')
        irc.send('JOIN #linnet')
        irc.until(' 366 ')
        self.heard(romeo, lambda s: s.name == 'presence' and s.get('from') == room + '/mercutio')
        romeo.send("<message to='%s' type='groupchat' id='m1'><body>a plague &amp; both</body></message>" % room)
        self.assertTrue(irc.until('PRIVMSG #linnet').endswith(':a plague & both'))
        irc.send('PRIVMSG #linnet :o <calm>')
        said = self.heard(romeo, lambda s: s.name == 'message' and s.get('from') == room + '/mercutio')
        self.assertEqual(said.child('body').text(), 'o <calm>')
        # A gateway that is asked what it is answers for itself and for its rooms.
        romeo.send("<iq type='get' to='irc.localhost' id='d'><query xmlns='http://jabber.org/protocol/disco#info'/></iq>")
        info = self.heard(romeo, lambda s: s.get('id') == 'd')
        self.assertEqual((info.get('type'), info.get('from')), ('result', 'irc.localhost'))
        irc.send('QUIT')
        irc.close()
        self.heard(romeo, lambda s: s.get('type') == 'unavailable' and s.get('from') == room + '/mercutio')
        # It hears that its user is gone, and takes them out of the channel.
        irc = Irc(self.ip, 'tybalt')
        irc.send('JOIN #linnet')
        irc.until(' 366 ')
        romeo.close()
        irc.until('romeo')
        irc.close()


if __name__ == '__main__':
    main()
