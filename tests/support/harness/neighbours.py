"""Debian's prosody and ejabberd as servers to federate with: each in a folder and a process of its own,
on a loopback address of its own, asking the test's own name server.

A neighbour serves one domain. It has a certificate of the test's own authority (harness/ca.py) and
trusts that one. Its users register themselves.
"""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from .connection import Connection, Failure
from .server import START_S, STOP_S, free_port, password_of


def installed(*programs):
    return all(shutil.which(p, path=os.environ.get('PATH', '') + ':/usr/sbin') for p in programs)


class Neighbour:
    """certificate: a PEM file with key and certificate; ca: one with authorities that it trusts."""

    program = None

    def __init__(self, domain, address, dns_port, certificate, ca, **options):
        self.domain, self.address, self.dns_port = domain, address, dns_port
        self.certificate, self.ca = certificate, ca
        self.options = options
        self.port, self.s2s_port, self.s2s_tls_port = free_port(), free_port(), free_port()
        self.dir = tempfile.mkdtemp(prefix='linnet-neighbour-')
        self.process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, text):
        with open(self.path(name), 'w', encoding='utf-8') as f:
            f.write(text)

    def log(self):
        with open(self.path('output'), encoding='utf-8', errors='backslashreplace') as f:
            return f.read()

    def start(self):
        self.write_settings()
        with open(self.path('output'), 'ab') as out:
            self.process = subprocess.Popen(    # pylint: disable=consider-using-with
                self.command(), cwd=self.dir, env=self.environment(), stdin=subprocess.DEVNULL,
                stdout=out, stderr=out, start_new_session=True)
        deadline = time.monotonic() + 2 * START_S
        while not (self.listens(self.port) and self.listens(self.s2s_port)):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise Failure('%s did not start: %s' % (self.program, self.log()))
            time.sleep(0.05)

    def listens(self, port):
        with socket.socket() as s:
            return s.connect_ex((self.address, port)) == 0

    def kill(self):
        """At once: whoever was connected to it finds out by the end of the connection."""
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(STOP_S)

    def pause(self):
        """It keeps its connections and says nothing any more."""
        os.killpg(self.process.pid, signal.SIGSTOP)

    def go_on(self):
        os.killpg(self.process.pid, signal.SIGCONT)

    def environment(self):
        return dict(os.environ)

    # Its clients.

    def connect(self, name, record=None):
        return Connection((self.address, self.port), name, record=record)   # any certificate will do

    def register(self, user):
        jid = '%s@%s' % (user, self.domain)
        client = self.connect(user)
        client.open(self.domain)
        client.starttls(self.domain)
        client.open(self.domain)
        client.send("<iq type='set' id='new'><query xmlns='jabber:iq:register'><username>%s</username>"
                    "<password>%s</password></query></iq>" % (user, password_of(jid)))
        client.expect("<iq type='result' id='new'/>")
        client.close()
        return jid

    def login(self, user, resource='there', record=None):
        """A client that is available, of an account that is made for it where it does not exist."""
        jid = '%s@%s' % (user, self.domain)
        client = self.connect(user, record)
        client.login('%s/%s' % (jid, resource), password_of(jid))
        return client


class Prosody(Neighbour):
    """options: settings, Lua text."""

    program = 'prosody'
    SETTINGS = '''
pidfile = "{dir}/prosody.pid"; data_path = "{dir}/data"; run_as_root = true; daemonize = false
interfaces = {{ "{address}" }}; c2s_ports = {{ {port} }}; c2s_direct_tls_ports = {{ }}
s2s_ports = {{ {s2s_port} }}; s2s_direct_tls_ports = {{ {s2s_tls_port} }}
modules_enabled = {{ "roster", "saslauth", "tls", "dialback", "disco", "ping", "version", "register",
	"s2s_auth_certs", {modules} }}
modules_disabled = {{ "offline" }}
allow_registration = true; c2s_require_encryption = true; authentication = "internal_plain"
registration_throttle_max = 0
unbound = {{ resolvconf = false; hoststxt = false; forward = "127.0.0.1@{dns_port}" }}
log = {{ debug = "*console" }}
s2s_direct_tls_ssl = {{ certificate = "{certificate}", key = "{certificate}", cafile = "{ca}" }}
{settings}
VirtualHost "{domain}"
	ssl = {{ certificate = "{certificate}", key = "{certificate}", cafile = "{ca}" }}
'''

    def write_settings(self):
        self.write('prosody.cfg.lua', self.SETTINGS.format(
            dir=self.dir, address=self.address, port=self.port, s2s_port=self.s2s_port,
            s2s_tls_port=self.s2s_tls_port, dns_port=self.dns_port, domain=self.domain,
            certificate=self.certificate, ca=self.ca,
            modules=', '.join('"%s"' % m for m in self.options.get('modules', ())),
            settings=self.options.get('settings', '')))

    def command(self):
        return ['prosody', '-F', '--config', self.path('prosody.cfg.lua')]


class Ejabberd(Neighbour):
    """options: settings, YAML text; hosts: (name, address) of hosts, which it does not ask DNS for."""

    program = 'ejabberd'
    SETTINGS = '''
loglevel: debug
log_rotate_count: 0
hosts: ["{domain}"]
certfiles: ["{certificate}"]
ca_file: "{ca}"
auth_method: internal
registration_timeout: infinity
new_sql_schema: false
listen:
  - {{port: {port}, ip: "{address}", module: ejabberd_c2s, starttls: true, starttls_required: true}}
  - {{port: {s2s_port}, ip: "{address}", module: ejabberd_s2s_in}}
  - {{port: {s2s_tls_port}, ip: "{address}", module: ejabberd_s2s_in, tls: true}}
access_rules:
  register:
    allow: all
modules:
  mod_disco: {{}}
  mod_ping: {{}}
  mod_roster: {{}}
  mod_register:
    access: register
    ip_access: all
    password_strength: 0
{modules}
{settings}
'''

    def write_settings(self):
        self.write('ejabberd.yml', self.SETTINGS.format(
            domain=self.domain, address=self.address, port=self.port, s2s_port=self.s2s_port,
            s2s_tls_port=self.s2s_tls_port, certificate=self.certificate, ca=self.ca,
            modules='\n'.join('  %s: {}' % m for m in self.options.get('modules', ())),
            settings=self.options.get('settings', '')))
        self.write('hosts', ''.join('%s %s\n' % (a, n) for n, a in self.options.get('hosts', ())))
        # Without an empty resolv_conf, the system's name servers come first.
        self.write('inetrc', '{resolv_conf, ""}.\n{lookup, [dns]}.\n{nameserver, {127,0,0,1}, %d}.\n'
                   % self.dns_port)

    def environment(self):
        return dict(os.environ, EJABBERD_CONFIG_PATH=self.path('ejabberd.yml'),
                    EJABBERD_LOG_PATH=self.path('ejabberd.log'), HOME=self.dir,
                    EJABBERD_PID_PATH=self.path('ejabberd.pid'),
                    ERL_CRASH_DUMP=self.path('erl_crash.dump'), ERL_INETRC=self.path('inetrc'),
                    ERL_LIBS='/usr/lib/x86_64-linux-gnu', LD_PRELOAD='libnss_wrapper.so',
                    NSS_WRAPPER_HOSTS=self.path('hosts'))

    def command(self):
        return ['erl', '-noinput', '+K', 'true', '-mnesia', 'dir', '"%s"' % self.path('data'),
                '-s', 'ejabberd']

    def log(self):
        text = super().log()
        if os.path.exists(self.path('ejabberd.log')):
            with open(self.path('ejabberd.log'), encoding='utf-8', errors='backslashreplace') as f:
                text += f.read()
        return text
