"""A real DNS server with zones of the test's own: unbound, which validates what is signed.

Nothing is ever asked of anybody outside: names that no zone has do not exist.

    with Dns({'capulet.example': '''
            _xmpp-server._tcp  SRV  10 5 5269 xmpp
            xmpp               A    127.0.0.2
    '''}) as dns:
        with Server(over=dns.settings()) ...
"""

import os
import shutil
import socket
import subprocess
import tempfile
import time

from .connection import Failure
from .server import free_port

START_S = 30
STOP_S = 10

HEAD = '''$ORIGIN {zone}.
$TTL 300
@  IN  SOA  ns hostmaster 1 7200 900 1209600 300
@  IN  NS   ns
ns IN  A    127.0.0.1
'''

SERVER = '''server:
  interface: {ip}
  port: {port}
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  directory: "{dir}"
  pidfile: ""
  num-threads: 1
  module-config: "validator iterator"
  access-control: 0.0.0.0/0 allow
  access-control: ::0/0 allow
  local-zone: "." static
'''

ZONE = '''auth-zone:
  name: "{zone}."
  zonefile: "{file}"
  for-downstream: no
  for-upstream: yes
  fallback-enabled: no
'''


class Dns:
    """zones: of each its name, without the last dot, and its records in a zone file's form, without
    SOA and NS. signed: those that are signed so that they validate; bogus: signed, but with
    another key than the resolver trusts, so that it answers SERVFAIL. ip: where it listens."""

    def __init__(self, zones, signed=(), bogus=(), ip='127.0.0.1'):
        self.zones, self.signed, self.bogus, self.ip = dict(zones), set(signed), set(bogus), ip
        self.port = free_port()
        self.dir = tempfile.mkdtemp(prefix='linnet-dns-')
        self.process = None

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.clean()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        self.clean()

    def path(self, name):
        return os.path.join(self.dir, name)

    @property
    def address(self):
        return ('[%s]:%d' if ':' in self.ip else '%s:%d') % (self.ip, self.port)

    def settings(self, trusted=True):
        """YAML for a server that asks this one alone."""
        return 'dns_servers: ["%s"]\ndns_trust_ad: %s\n' % (self.address, str(trusted).lower())

    def start(self):
        """Where it was before, and with zones as they are now."""
        with open(self.path('unbound.conf'), 'w', encoding='ascii') as f:
            f.write(self._configuration())
        with open(self.path('log'), 'ab') as log:
            self.process = subprocess.Popen(['unbound', '-d', '-c', self.path('unbound.conf')],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        until = time.monotonic() + START_S
        while not self._is_up():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise Failure('unbound does not start:\n' + self.log())
            time.sleep(0.02)

    def stop(self):
        if not self.process:
            return
        self.process.terminate()
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def change(self, zone, records):
        """From its return on the zone has these."""
        self.zones[zone] = records
        self.stop()
        self.start()

    def clean(self):
        shutil.rmtree(self.dir, ignore_errors=True)

    def log(self):
        with open(self.path('log'), encoding='utf-8', errors='replace') as f:
            return f.read()

    def _is_up(self):
        try:
            socket.create_connection((self.ip, self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def _configuration(self):
        text = SERVER.format(ip=self.ip, port=self.port, dir=self.dir)
        files = {zone: self._write(zone) for zone in self.zones}
        for zone in self.zones:
            text += '  local-zone: "%s." transparent\n' % zone
            if zone in self.signed | self.bogus:
                text += '  trust-anchor-file: "%s"\n' % self.path(zone + '.ds')
        return text + ''.join(ZONE.format(zone=zone, file=f) for zone, f in files.items())

    def _write(self, zone):
        """The zone's file, signed if it is to be."""
        path = self.path(zone + '.zone')
        with open(path, 'w', encoding='ascii') as f:
            f.write(HEAD.format(zone=zone))
            f.writelines(line.lstrip() + '\n' for line in self.zones[zone].splitlines())
        if zone not in self.signed | self.bogus:
            return path
        key = self._make_key(zone)
        subprocess.run(['ldns-signzone', '-f', path + '.signed', path, key], cwd=self.dir, check=True)
        anchor = self._make_key(zone) if zone in self.bogus else key
        shutil.copy(self.path(anchor + '.ds'), self.path(zone + '.ds'))
        return path + '.signed'

    def _make_key(self, zone):
        made = subprocess.run(['ldns-keygen', '-a', 'ECDSAP256SHA256', '-k', zone], cwd=self.dir,
                              check=True, capture_output=True, text=True)
        return made.stdout.strip()
