"""Other servers in linnetd's place, to see whether a play asks for more than the RFCs do.

`play --against prosody FILE` is for whoever writes plays; no test run depends on it. Settings of
the play are not carried over.
"""

import os
import socket

from .server import DOMAINS, Server

PROSODY = '''
pidfile = "{dir}/prosody.pid"; data_path = "{dir}/data"; run_as_root = true; daemonize = false
interfaces = {{ "127.0.0.1" }}; c2s_ports = {{ {port}, {plain_port} }}; c2s_direct_tls_ports = {{ {tls_port} }}
modules_enabled = {{ "roster", "saslauth", "tls", "disco", "ping", "version", "time", "register",
	"uptime", "lastactivity", "legacyauth" }}
modules_disabled = {{ "s2s", "offline" }}
allow_registration = true; c2s_require_encryption = false; authentication = "internal_plain"
log = {{ info = "*console" }}
ssl = {{ certificate = "{dir}/localhost.pem", key = "{dir}/localhost.pem" }}
'''


class Prosody(Server):
    program, software = 'prosody', 'Prosody'

    def write_settings(self, over):
        with open(self.path('prosody.cfg.lua'), 'w', encoding='utf-8') as f:
            f.write(PROSODY.format(dir=self.dir, port=self.port, plain_port=self.plain_port,
                                   tls_port=self.tls_port))
            for domain in DOMAINS:
                pem = self.path(domain + '.pem')
                f.write('VirtualHost "%s"\n\tssl = { certificate = "%s", key = "%s" }\n'
                        % (domain, pem, pem))

    def command(self):
        return ['prosody', '-F', '--config', self.path('prosody.cfg.lua')]

    def is_up(self):
        try:
            socket.create_connection(('127.0.0.1', self.port), timeout=1).close()
            return True
        except ConnectionRefusedError:
            return False

    def register(self, jid, password=None):
        from .server import password_of
        user, _, host = jid.partition('@')
        folder = self.path('data/%s/accounts' % host.replace('.', '%2e'))
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, user + '.dat'), 'w', encoding='utf-8') as f:
            f.write('return { ["password"] = "%s" };\n' % (password or password_of(jid)))

    def stop(self):
        self.kill()
