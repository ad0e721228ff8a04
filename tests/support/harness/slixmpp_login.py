"""A client that no one here wrote logs in: slixmpp."""

import asyncio
import unittest

from .connection import WAIT_S

try:
    import slixmpp
except ImportError:
    slixmpp = None


async def _log_in(server, jid, password):
    client = slixmpp.ClientXMPP(jid, password)
    client.ca_certs = server.path('ca.pem')
    started, ended = asyncio.Event(), asyncio.Event()
    client.add_event_handler('session_start', lambda _: started.set())
    client.add_event_handler('disconnected', lambda _: ended.set())
    client.connect(('127.0.0.1', server.port), force_starttls=True)
    await asyncio.wait_for(started.wait(), WAIT_S)
    client.disconnect(wait=1)
    await asyncio.wait_for(ended.wait(), WAIT_S)


def log_in(server, jid, password):
    """Until it has a session, and out again. Skips the test where there is no slixmpp."""
    if not slixmpp:
        raise unittest.SkipTest('python3-slixmpp is not installed')
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    try:
        loop.run_until_complete(_log_in(server, jid, password))
    finally:
        left = asyncio.all_tasks(loop)
        for task in left:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()
