"""Debian's packages of the peers, installed without their services being started."""

import contextlib
import os
import subprocess

from . import Failure

POLICY = '/usr/sbin/policy-rc.d'


def is_installed(package):
    said = subprocess.run(['dpkg-query', '-W', '-f', '${db:Status-Abbrev}', package], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
    return said.stdout.startswith('ii')


@contextlib.contextmanager
def services_held():
    """Meanwhile no package may start a service: invoke-rc.d asks the policy, and 101 forbids."""
    saved = POLICY + '.compare-saved'
    if os.path.exists(POLICY):
        os.rename(POLICY, saved)
    try:
        with open(POLICY, 'w', encoding='ascii') as f:
            f.write('#!/bin/sh\nexit 101\n')
        os.chmod(POLICY, 0o755)
        yield
    finally:
        if os.path.exists(saved):
            os.rename(saved, POLICY)
        else:
            os.remove(POLICY)


def install(packages):
    missing = [p for p in packages if not is_installed(p)]
    if not missing:
        return
    if os.geteuid() != 0:
        raise Failure('these packages are missing; as root: apt-get install ' + ' '.join(missing))
    quiet = {'stdout': subprocess.DEVNULL, 'check': True,
             'env': dict(os.environ, DEBIAN_FRONTEND='noninteractive')}
    try:
        with services_held():
            subprocess.run(['apt-get', 'update', '-q'], **quiet)
            subprocess.run(['apt-get', 'install', '-y', '-q', '--no-install-recommends', *missing],
                           **quiet)
    except subprocess.CalledProcessError as e:
        raise Failure('%s failed' % ' '.join(e.cmd)) from e
    if os.path.isdir('/run/systemd/system'):    # nor at the next start of the machine
        for package in missing:
            subprocess.run(['systemctl', 'disable', '--quiet', package], check=False)
