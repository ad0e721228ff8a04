"""Servers that federate: linnetd and neighbours of other hands, each with a domain, an address and a
certificate of its own, and one name server that they all ask.

    with World() as world:
        linnet = world.add(Linnet, 'linnet.example')
        prosody = world.add(Prosody, 'prosody.example', modules=('smacks',))
        world.start()
        juliet = linnet.login('juliet')
"""

import shutil
import tempfile

from . import settings
from .ca import Authority, self_signed
from .dns import Dns
from .neighbours import Ejabberd, Neighbour, Prosody     # pylint: disable=unused-import
from .server import Server, free_port, password_of

SETTINGS = '''
hosts: [{domain}]
certfiles: ['{certificate}']
ca_file: '{ca}'
listen:
    - {{port: {port}, ip: {address}, module: ejabberd_c2s}}
    - {{port: {plain_port}, ip: {address}, module: ejabberd_c2s, starttls: false, starttls_required: false}}
    - {{port: {s2s_port}, ip: {address}, module: ejabberd_s2s_in}}
    - {{port: {s2s_tls_port}, ip: {address}, module: ejabberd_s2s_in, tls: true}}
shards: 2
modules:
    mod_roster: {{}}
    mod_offline: {{}}
'''


class Linnet(Server):
    """options: settings, YAML that is laid over those above. It listens on 127.0.0.1 as everywhere else."""

    def __init__(self, domain, _address, dns_port, certificate, ca, **options):
        self.domain, self.address, self.ca = domain, '127.0.0.1', ca
        self.s2s_port, self.s2s_tls_port = free_port(), free_port()
        self.dns_port, self.certificate, self.options = dns_port, certificate, options
        super().__init__()

    def write_settings(self, over):
        base = SETTINGS.format(
            domain=self.domain, address=self.address, port=self.port,
            plain_port=self.plain_port, s2s_port=self.s2s_port,
            s2s_tls_port=self.s2s_tls_port, certificate=self.certificate, ca=self.ca)
        base += 'dns_servers: ["127.0.0.1:%d"]\n' % self.dns_port
        super().write_settings(settings.merge(base, self.options.get('settings', '')))

    def register(self, jid, password=None):
        super().register('%s@%s' % (jid, self.domain) if '@' not in jid else jid, password)

    def login(self, user, resource='there', tls='starttls'):
        jid = '%s@%s' % (user, self.domain)
        client = self.connect(user, self.plain_port if tls == 'none' else self.port)
        client.ca = None        # any certificate will do
        client.login('%s/%s' % (jid, resource), password_of(jid), tls=tls)
        return client


class World:
    """What is added starts together. Names of hosts are host.DOMAIN."""

    def __init__(self):
        self.dir = tempfile.mkdtemp(prefix='linnet-world-')
        self.authority = Authority(self.dir)
        self.dns = Dns({})
        self.servers = []
        self.addresses = 10     # 127.0.0.11 and so on
        self.running = []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for server in reversed(self.running):
            server.__exit__(*error)
        for server in self.servers:
            shutil.rmtree(server.dir, ignore_errors=True)
        self.dns.stop()
        self.dns.clean()
        shutil.rmtree(self.dir, ignore_errors=True)

    def certificate(self, domain, kind='good'):
        if kind == 'self-signed':
            return self_signed(self.dir, domain)
        if kind == 'expired':
            return self.authority.certificate(domain, days=(-9, -1), file='expired-' + domain)
        if kind == 'wrong':
            return self.authority.certificate(domain, 'elsewhere.example', file='wrong-' + domain)
        return self.authority.certificate(domain)

    def add(self, kind, domain, records=None, certificate='good', **options):
        """records: of its zone, in place of the SRV record that everybody has; {port}, {tls_port} and
        {address} are filled in."""
        self.addresses += 1
        server = kind(domain, '127.0.0.%d' % self.addresses, self.dns.port,
                      self.certificate(domain, certificate), self.authority.path, **options)
        self.dns.zones[domain] = (records or '_xmpp-server._tcp SRV 10 5 {port} host').format(
            port=server.s2s_port, tls_port=server.s2s_tls_port, address=server.address) + (
            '\nhost A %s' % server.address)
        self.servers.append(server)
        return server

    def start(self):
        for server in self.servers:     # who asks no name server for hosts
            server.options['hosts'] = [('host.' + s.domain, s.address) for s in self.servers]
        self.dns.start()
        for server in self.servers:
            self.running.append(server)
            server.__enter__()
