"""A unittest case with a server of its own, for what is clumsy to say in a play."""

import unittest

from .connection import Failure
from .server import Server


class ServerCase(unittest.TestCase):
    """One server for all tests of the class; the last test has failed if it did not end well."""

    settings = ''           # YAML laid over support/settings.yml
    accounts = ('romeo@localhost', 'juliet@localhost')
    allowed_errors = ()

    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.settings, [(jid, None) for jid in cls.accounts])
        cls.server.allowed_errors = list(cls.allowed_errors)
        try:
            cls.server.start()
        except BaseException:
            cls.server.kill()
            cls.server.clean()
            raise

    @classmethod
    def tearDownClass(cls):
        try:
            cls.server.stop()
        finally:
            cls.server.kill()
            cls.server.clean()

    def assert_serves(self, source=None):
        """Somebody who has nothing to do with it all logs in and is served."""
        client = self.server.login('juliet@localhost/witness', source=source)
        client.send("<message to='juliet@localhost/witness' id='here'/>")
        client.expect("<message from='juliet@localhost/witness' id='here'/>")
        client.send('</stream:stream>')
        client.expect_close()
        client.close()

    def assert_refused(self, connect):
        """connect() fails or what it returns is closed without having been served."""
        try:
            client = connect()
        except (OSError, Failure):
            return
        try:
            came = client.wait_for_end()
        except (OSError, Failure):
            came = []
        client.close()
        self.assertFalse([e for e in came if e.name == 'features'], 'was served')


def main():
    unittest.main(verbosity=2, warnings='ignore')     # libraries' own
