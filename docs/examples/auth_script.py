#!/usr/bin/python3
"""An external authentication script (docs/authentication.md): accounts from a file with a line
"user:server:password" for each. The server asks on our standard input and reads our standard
output, so nothing else may be printed there; what goes to standard error is on the server's.

    auth_script.py FILE
"""

import fcntl
import hmac
import os
import struct
import sys


class Accounts:
    """The file, read anew for each question, as several of these scripts run side by side."""

    def __init__(self, path):
        self.path = path

    def read(self):
        with open(self.path, encoding='utf-8') as f:
            lines = [line.rstrip('\n').split(':', 2) for line in f]
        return {(user, server): password for user, server, password in lines}

    def change(self, how):
        """how(accounts) says whether it has changed them."""
        with open(self.path + '.lock', 'a', encoding='utf-8') as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            accounts = self.read()
            changed = how(accounts)
            if changed:
                with open(self.path + '.new', 'w', encoding='utf-8') as f:
                    f.writelines('%s:%s:%s\n' % (*key, password)
                                 for key, password in accounts.items())
                os.rename(self.path + '.new', self.path)
        return changed

    def auth(self, user, server, password):
        known = self.read().get((user, server))
        return known is not None and hmac.compare_digest(known.encode(), password.encode())

    def isuser(self, user, server):
        return (user, server) in self.read()

    def setpass(self, user, server, password):
        def put(accounts):
            known = (user, server) in accounts
            accounts[user, server] = password
            return known
        return self.change(put)

    def tryregister(self, user, server, password):
        return self.change(lambda accounts: (user, server) not in accounts and
                           accounts.setdefault((user, server), password) == password)

    def removeuser(self, user, server):
        return self.change(lambda accounts: accounts.pop((user, server), None) is not None)

    def removeuser3(self, user, server, password):
        return self.auth(user, server, password) and self.removeuser(user, server)


# How many arguments each has: a password is the last one and may hold colons.
ARGUMENTS = {'auth': 3, 'isuser': 2, 'setpass': 3, 'tryregister': 3, 'removeuser': 2, 'removeuser3': 3}


def answer(accounts, question):
    what, _, rest = question.partition(':')
    count = ARGUMENTS.get(what)
    arguments = rest.split(':', count - 1) if count else []
    return len(arguments) == count and getattr(accounts, what)(*arguments)


def main():
    accounts = Accounts(sys.argv[1])
    questions, answers = sys.stdin.buffer, sys.stdout.buffer
    while True:
        head = questions.read(2)
        if len(head) < 2:
            return      # the server has gone
        length, = struct.unpack('>H', head)
        yes = answer(accounts, questions.read(length).decode('utf-8'))
        answers.write(struct.pack('>HH', 2, bool(yes)))
        answers.flush()


if __name__ == '__main__':
    main()
