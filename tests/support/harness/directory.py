"""Debian's slapd on loopback, in a folder of its own: a directory with people and groups."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from .connection import Failure
from .server import START_S, STOP_S, free_port, make_certificate

BASE = 'dc=example,dc=org'
ROOT, ROOT_PASSWORD = 'cn=root,' + BASE, 'of the root'
SETTINGS = '''
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {dir}/pid
TLSCertificateFile {dir}/slapd.pem
TLSCertificateKeyFile {dir}/slapd.pem
TLSCACertificateFile {dir}/slapd.pem
sizelimit 10000
database mdb
suffix "{base}"
rootdn "{root}"
rootpw "{password}"
directory {dir}/data
maxsize 33554432
access to attrs=userPassword by anonymous auth by * none
access to * by * none
'''
TOP = '''
dn: {base}
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,{base}
objectClass: organizationalUnit
ou: people

dn: ou=groups,{base}
objectClass: organizationalUnit
ou: groups
'''
PERSON = '''
dn: cn={name},ou=people,{base}
objectClass: inetOrgPerson
cn: {name}
sn: {name}
uid: {uid}
mail: {mail}
userPassword: {password}
'''
GROUP = '''
dn: cn={name},ou=groups,{base}
objectClass: groupOfNames
cn: {name}
'''


class Directory:
    """people: (common name, uid, password); groups: {name: common names}. Everything but passwords can
    be read by ROOT alone."""

    def __init__(self, people, groups=None):
        self.people, self.groups = people, groups or {}
        self.port, self.tls_port = free_port(), free_port()
        self.dir = tempfile.mkdtemp(prefix='linnet-slapd-')
        self.ca = self.path('slapd.pem')
        self.process = None

    def path(self, name):
        return os.path.join(self.dir, name)

    def __enter__(self):
        try:
            self.fill()
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.dir, ignore_errors=True)

    def fill(self):
        make_certificate(self.ca, '127.0.0.1', 'IP:%s')
        os.mkdir(self.path('data'))
        with open(self.path('slapd.conf'), 'w', encoding='utf-8') as f:
            f.write(SETTINGS.format(dir=self.dir, base=BASE, root=ROOT, password=ROOT_PASSWORD))
        with open(self.path('entries.ldif'), 'w', encoding='utf-8') as f:
            f.write(TOP.format(base=BASE))
            for name, uid, password in self.people:
                f.write(PERSON.format(name=name, uid=uid, base=BASE, password=password,
                                      mail='%s@other.example' % uid))
            for group, members in self.groups.items():
                f.write(GROUP.format(name=group, base=BASE))
                f.writelines('member: cn=%s,ou=people,%s\n' % (name, BASE) for name in members)
        subprocess.run(['/usr/sbin/slapadd', '-f', self.path('slapd.conf'), '-l',
                        self.path('entries.ldif')], check=True, stdout=subprocess.DEVNULL)

    def start(self):
        uris = 'ldap://127.0.0.1:%d ldaps://127.0.0.1:%d' % (self.port, self.tls_port)
        with open(self.path('output'), 'ab') as out:
            self.process = subprocess.Popen(    # pylint: disable=consider-using-with
                ['/usr/sbin/slapd', '-f', self.path('slapd.conf'), '-h', uris, '-d', '0'],
                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        deadline = time.monotonic() + START_S
        while True:
            with socket.socket() as s:
                if s.connect_ex(('127.0.0.1', self.port)) == 0:
                    return
            if time.monotonic() > deadline or self.process.poll() is not None:
                with open(self.path('output'), encoding='utf-8') as f:
                    raise Failure('slapd did not start: ' + f.read())
            time.sleep(0.02)

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
            self.process.wait(STOP_S)

    def hang(self):
        """It takes connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.process.send_signal(signal.SIGCONT)
