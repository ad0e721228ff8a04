"""Linnet, its peers and the relay: their settings, their accounts, how each starts.

Equal features: those of features.BASE that this Linnet has, and what a scenario needs beyond them;
accounts as SCRAM-SHA-1 verifiers of ITERATIONS rounds in each server's own storage, one ECDSA
certificate for all, no server-to-server links, no shapers and no limits that a load would run into.
"""

import base64
import concurrent.futures
import contextlib
import glob
import hashlib
import hmac
import itertools
import json
import os
import shutil
import socket
import sqlite3
import subprocess

from . import Failure, features
from .process import Process, port_listens

DOMAIN = 'localhost'
ITERATIONS = 4096       # ejabberd's; the others are told
STANZA_BYTES = 262144   # the largest a client may send


def output_of(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL,
                          text=True).stdout


def copy(file_or_folder, to):
    """In place of what was there."""
    if os.path.isdir(file_or_folder):
        shutil.rmtree(to, ignore_errors=True)
        shutil.copytree(file_or_folder, to)
    else:
        for log in glob.glob(to + '-*'):     # SQLite's
            os.remove(log)
        shutil.copy(file_or_folder, to)


class Setup:
    """What the servers of one comparison share."""

    def __init__(self, build, folder, base_port, accounts):
        self.linnetd = os.path.join(build, 'linnetd')
        self.relay = os.path.join(build, 'linnet-relay')
        self.folder = folder
        self.base_port = base_port
        self.accounts = accounts    # (name, password)
        self.key = os.path.join(folder, 'certs', DOMAIN + '.key')
        self.certificate = os.path.join(folder, 'certs', DOMAIN + '.crt')
        self.pem = os.path.join(folder, 'certs', DOMAIN + '.pem')   # both in one
        self.linnet_example = output_of(self.linnetd, '--example')
        self.folders = itertools.count(1)
        os.mkdir(os.path.join(folder, 'accounts'))

    def make_certificate(self):
        os.mkdir(os.path.dirname(self.key))
        subprocess.run(
            ['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
             '-sha256', '-nodes', '-days', '2', '-subj', '/CN=' + DOMAIN,
             '-addext', 'subjectAltName=DNS:' + DOMAIN, '-keyout', self.key,
             '-out', self.certificate], check=True, stderr=subprocess.DEVNULL)
        with open(self.pem, 'w', encoding='ascii') as pem:
            for part in (self.certificate, self.key):
                with open(part, encoding='ascii') as f:
                    pem.write(f.read())


class Server:
    """One that can be started and stopped again. The accounts are made once; all servers that keep
    them in the same form get a copy."""

    name = package = None
    bench_options = ()
    accounts_in = None      # file or folder in the server's own

    def __init__(self, setup, number, needs):
        self.setup = setup
        self.needs = needs
        self.port = setup.base_port + number + (len(ALL) if needs else 0)   # one such at a time
        self.folder = os.path.join(setup.folder, '%s-%d' % (self.name, next(setup.folders)))
        self.process = None

    def features(self):
        base = features.of_base(self.setup.linnet_example)
        return [features.ALL[name] for name in dict.fromkeys(base + self.needs)]

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), 'w', encoding='utf-8') as f:
            f.write(text)

    def prepare(self):
        os.mkdir(self.folder)
        self.write_settings()
        if self.accounts_in and not os.path.exists(self.accounts_made):
            self.make_accounts()
            copy(self.path(self.accounts_in), self.accounts_made)
        self.renew()

    def renew(self):
        """Back to what it was before its first start: accounts and nothing else."""
        if self.accounts_in:
            copy(self.accounts_made, self.path(self.accounts_in))

    @property
    def accounts_made(self):
        return os.path.join(self.setup.folder, 'accounts', self.accounts_in)

    def spawn(self, command, environ=None):
        self.process = Process(self.name, command, self.path('output'), environ, self.folder)

    def start(self):
        self.launch()
        self.process.wait_until(lambda: port_listens(self.port))

    def stop(self):
        if self.process:
            self.process.stop()
        self.process = None

    # What each brings.

    def write_settings(self):
        pass

    def make_accounts(self):
        pass

    def launch(self):
        raise NotImplementedError

    def version(self):
        return output_of('dpkg-query', '-W', '-f', '${Version}', self.package)


class Relay(Server):
    """The floor: bench/relay.c."""

    name = 'relay'
    bench_options = ('--relay',)

    def launch(self):
        self.spawn([self.setup.relay, str(self.port)])

    def version(self):
        return ''


class EchoRelay(Relay):
    name = 'relay-echo'

    def launch(self):
        self.spawn([self.setup.relay, '--echo', str(self.port)])


class Linnet(Server):
    name = 'linnet'
    accounts_in = 'linnet.sqlite'
    shards = 0  # one for each core

    def write_settings(self):
        self.write('linnet.yml', '''\
hosts: [%s]
certfiles: ["%s"]
database: linnet.sqlite
control_socket: control.sock
loglevel: warning
scram_iterations: %d
shards: %d
listen:
  - port: %d
    ip: 127.0.0.1
    module: ejabberd_c2s
    starttls: true
    starttls_required: false
    max_stanza_size: %d
    max_unauthenticated_per_address: 0
modules:
  mod_auth_internal: {}
''' % (DOMAIN, self.setup.pem, ITERATIONS, self.shards, self.port, STANZA_BYTES)
                   + ''.join('  %s: {}\n' % f.linnet for f in self.features()
                             if f.linnet + ':' in self.setup.linnet_example))

    def make_accounts(self):
        """By its control socket, several at once: hashing passwords takes the time."""
        accounts = self.setup.accounts
        self.start()
        try:
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                list(pool.map(self.register, [accounts[n::4] for n in range(4)]))
        finally:
            self.stop()

    def register(self, accounts):
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(60)
            s.connect(self.path('control.sock'))
            lines = s.makefile('r', encoding='utf-8')
            for name, password in accounts:
                args = {'user': name, 'host': DOMAIN, 'password': password}
                s.sendall(json.dumps({'command': 'register', 'args': args}).encode() + b'\n')
                answer = json.loads(lines.readline() or '{}')
                if 'result' not in answer:
                    raise Failure('linnet: no account %s: %s' % (name, answer))

    def launch(self):
        self.spawn([self.setup.linnetd, '--foreground', '--config', self.path('linnet.yml')])

    def version(self):
        said = output_of(self.setup.linnetd, '--version').split()[-1]
        top = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        git = subprocess.run(['git', '-C', top, 'rev-parse', '--short', 'HEAD'], text=True, check=False,
                             stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return said + (' (%s)' % git.stdout.strip() if git.returncode == 0 else '')


class LinnetOneShard(Linnet):
    name = 'linnet-1'
    shards = 1


class LinnetTwoShards(Linnet):
    name = 'linnet-2'
    shards = 2


class Ejabberd(Server):
    """Started without Erlang's distribution, so that no epmd stays behind and no port is taken
    but its own; what ejabberdctl would ask it to do is on its command line."""

    name = package = 'ejabberd'
    accounts_in = 'mnesia'
    sqlite = 'mnesia/archive.sqlite'    # goes with the rest
    schema = '/usr/share/ejabberd/sql/lite.sql'

    def write_settings(self):
        self.write('ejabberd.yml', '''\
hosts: [%s]
certfiles: ["%s"]
loglevel: error
auth_method: internal
auth_password_format: scram
listen:
  - port: %d
    ip: "127.0.0.1"
    module: ejabberd_c2s
    starttls: true
    max_stanza_size: %d
    access: all
    shaper: none
shaper_rules:
  max_user_offline_messages: infinity
''' % (DOMAIN, self.setup.pem, self.port, STANZA_BYTES)
                   + ''.join(f.ejabberd_top % {'sqlite': self.path(self.sqlite)}
                             for f in self.features())
                   + 'modules:\n'
                   + ''.join('  %s\n' % f.ejabberd for f in self.features()))

    def renew(self):
        super().renew()
        if any(f.ejabberd_top for f in self.features()):
            with open(self.schema, encoding='utf-8') as schema, \
                    contextlib.closing(sqlite3.connect(self.path(self.sqlite))) as file:
                file.executescript(schema.read())

    def erl(self, evaluate):
        ebin = glob.glob('/usr/lib/*/ejabberd-*/ebin')
        if not ebin:
            raise Failure('ejabberd: /usr/lib/*/ejabberd-*/ebin is not there')
        self.spawn(
            ['erl', '+K', 'true', '+P', '250000', '-noinput', '-mnesia', 'dir',
             '"%s"' % self.path('mnesia'), '-s', 'ejabberd', *evaluate],
            {'EJABBERD_CONFIG_PATH': self.path('ejabberd.yml'),
             'EJABBERD_LOG_PATH': self.path('ejabberd.log'),
             'ERL_LIBS': os.path.dirname(os.path.dirname(ebin[0])), 'ERL_MAX_PORTS': '65536',
             'ERL_CRASH_DUMP_SECONDS': '0', 'HOME': self.folder})

    def make_accounts(self):
        self.write('accounts', ''.join('{<<"%s">>, <<"%s">>}.\n' % a for a in self.setup.accounts))
        self.erl(['-eval', '''
{ok, All} = file:consult("%s"),
[ok = ejabberd_auth:try_register(Name, <<"%s">>, Password) || {Name, Password} <- All],
init:stop().
''' % (self.path('accounts'), DOMAIN)])
        try:
            self.process.popen.wait(120)
        except subprocess.TimeoutExpired as e:
            raise Failure('ejabberd: making accounts took too long:\n' + self.process.said()) from e
        status = self.process.popen.returncode
        if status:
            raise Failure('ejabberd: no accounts, status %d:\n%s' % (status, self.process.said()))
        self.stop()

    def launch(self):
        self.erl([])


def scram_keys(password, salt):
    """RFC 5802 §3: StoredKey and ServerKey."""
    salted = hashlib.pbkdf2_hmac('sha1', password.encode(), salt, ITERATIONS)
    client = hmac.digest(salted, b'Client Key', 'sha1')
    return hashlib.sha1(client).hexdigest(), hmac.digest(salted, b'Server Key', 'sha1').hex()


class Prosody(Server):
    name = package = 'prosody'
    accounts_in = 'data'

    def write_settings(self):
        modules = ['saslauth', 'tls'] + [f.prosody for f in self.features() if f.prosody]
        absent = ['s2s', 's2s_auth_certs'] + [m for m in ('offline',) if m not in modules]
        self.write('prosody.cfg.lua', '''\
run_as_root = true
daemonize = false
pidfile = "%(folder)s/prosody.pid"
data_path = "%(folder)s/data"
certificates = "%(certs)s"
log = { error = "%(folder)s/prosody.log" }
interfaces = { "127.0.0.1" }
c2s_ports = { %(port)d }
c2s_require_encryption = false
c2s_stanza_size_limit = %(bytes)d
authentication = "internal_hashed"
storage = "internal"
modules_enabled = { %(modules)s }
modules_disabled = { %(absent)s }
VirtualHost "%(domain)s"
%(more)s''' % {'folder': self.folder, 'certs': os.path.dirname(self.setup.key), 'port': self.port,
       'bytes': STANZA_BYTES, 'modules': ', '.join('"%s"' % m for m in modules),
       'absent': ', '.join('"%s"' % m for m in absent), 'domain': DOMAIN,
       'more': ''.join(f.prosody_more % {'domain': DOMAIN} for f in self.features())})

    def make_accounts(self):
        """The files that internal_hashed keeps: prosodyctl starts anew for each account."""
        folder = self.path('data/%s/accounts' % DOMAIN)
        os.makedirs(folder)
        for name, password in self.setup.accounts:
            salt = base64.b16encode(os.urandom(8)).decode()
            stored_key, server_key = scram_keys(password, salt.encode())
            with open(os.path.join(folder, name + '.dat'), 'w', encoding='ascii') as f:
                f.write('return { iteration_count = %d; salt = "%s"; stored_key = "%s";'
                        ' server_key = "%s"; };\n' % (ITERATIONS, salt, stored_key, server_key))

    def launch(self):
        self.spawn(['prosody', '-F', '--config', self.path('prosody.cfg.lua')])


ALL = (Relay, EchoRelay, Linnet, LinnetOneShard, LinnetTwoShards, Ejabberd, Prosody)
