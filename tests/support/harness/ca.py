"""Certificate authorities of a test's own, made with openssl(1), and the certificates they sign:

    ca = Authority(folder)
    good = ca.certificate('a.example')
    ca.certificate('a.example', 'b.example', file='wrong')              # for a, says it is b
    ca.certificate('a.example', 'XMPP:a.example', 'SRV:_xmpp-server.a.example')
    ca.certificate('a.example', days=(-9, -1))                          # has expired
    self_signed(folder, 'a.example')
    romeo = ca.certificate('romeo', 'XMPP:romeo@a.example', use='clientAuth')

Each is the path of one PEM file with the key, the certificate and what stands between it and the
authority; ca.path is the authority's own certificate, for `ca_file` and the like.
"""
import os
import subprocess
import time

CONFIG = """
[ca]
default_ca = us
[us]
database = {dir}/index.txt
serial = {dir}/serial
new_certs_dir = {dir}
certificate = {dir}/ca.pem
private_key = {dir}/ca.key
default_md = sha256
policy = any
unique_subject = no
copy_extensions = none
x509_extensions = leaf
[any]
commonName = supplied
[req]
distinguished_name = name
prompt = no
utf8 = yes
string_mask = utf8only
[name]
commonName = {subject}
[authority]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = CA:FALSE
subjectKeyIdentifier = hash
{use}{names}
"""
OTHER_NAMES = {'XMPP': '1.3.6.1.5.5.7.8.5;FORMAT:UTF8,UTF8:', 'SRV': '1.3.6.1.5.5.7.8.7;IA5STRING:'}


def openssl(*arguments):
    done = subprocess.run(['openssl', *arguments], capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        raise RuntimeError('openssl %s: %s' % (arguments[0], done.stderr.strip()))


def read(path):
    with open(path, encoding='ascii') as f:
        return f.read()


def write(path, text):
    with open(path, 'w', encoding='utf-8') as f:
        f.write(text)
    return path


def names_section(names):
    if not names:
        return ''
    lines = ['subjectAltName = @names', '[names]']
    for i, name in enumerate(names):
        kind, _, value = name.partition(':')
        if kind in OTHER_NAMES:
            kind, value = 'otherName', OTHER_NAMES[kind] + value
        elif not value:
            kind, value = 'DNS', name
        lines.append('%s.%d = %s' % (kind, i + 1, value))
    return '\n'.join(lines)


def date(days):
    return time.strftime('%Y%m%d%H%M%SZ', time.gmtime(time.time() + days * 86400))


class Authority:
    """above: the authority that signs this one, or None."""

    def __init__(self, folder, name='Test Authority', above=None):
        self.folder = os.path.join(folder, name.replace(' ', '-'))
        self.path = os.path.join(self.folder, 'ca.pem')
        self.chain = above.chain + [self.path] if above else []
        os.mkdir(self.folder)
        write(os.path.join(self.folder, 'index.txt'), '')
        write(os.path.join(self.folder, 'serial'), '%d0\n' % (1 + len(self.chain)))
        key = os.path.join(self.folder, 'ca.key')
        if above:
            made = above.sign(name, [], (-1, 30), None, 'authority')
            write(self.path, made[1])
            write(key, made[0])
        else:
            self._request(name, key, self.path, '-x509', '-days', '30', '-extensions', 'authority')

    def _request(self, subject, key, out, *more):
        config = self._config(subject, [], None)
        openssl('req', '-config', config, '-utf8', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256',
                '-nodes', '-keyout', key, '-out', out, *more)

    def _config(self, subject, names, use):
        return write(os.path.join(self.folder, 'openssl.cnf'), CONFIG.format(
            dir=self.folder, subject=subject, names=names_section(names),
            use='extendedKeyUsage = %s\n' % use if use else ''))

    def sign(self, subject, names, days, use, extensions):
        """Key and certificate, as text."""
        key, request, out = (os.path.join(self.folder, f) for f in ('new.key', 'new.req', 'new.pem'))
        self._request(subject, key, request)
        openssl('ca', '-batch', '-notext', '-utf8', '-config', self._config(subject, names, use), '-extensions',
                extensions, '-startdate', date(days[0]), '-enddate', date(days[1]), '-in', request, '-out', out)
        return read(key), read(out)

    def certificate(self, subject, *names, file=None, days=(-1, 7), use=None):
        """names: subjectAltName; without any, a domain: the subject. 'DNS:' may be left out. days:
        from when to when. use: extendedKeyUsage. file: its name, subject.pem when left out."""
        key, leaf = self.sign(subject, names or [subject], days, use, 'leaf')
        path = os.path.join(self.folder, (file or subject) + '.pem')
        return write(path, key + leaf + ''.join(read(above) for above in reversed(self.chain)))


def self_signed(folder, domain, days=7, file=None):
    path = os.path.join(folder, (file or 'self-signed-' + domain) + '.pem')
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-subj', '/CN=' + domain,
            '-addext', 'subjectAltName=DNS:' + domain, '-days', str(days), '-keyout', path + '.key', '-out', path + '.crt')
    return write(path, read(path + '.key') + read(path + '.crt'))
