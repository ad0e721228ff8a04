"""What is measured with linnet-bench, and what Linnet is to reach."""

import dataclasses

from . import features


@dataclasses.dataclass(frozen=True)
class Goal:
    """Linnet's figure is to be at most `most`, or with a reference so many times that server's."""

    most: float
    reference: str = None

    def limit(self, of_reference):
        return self.most * (of_reference if self.reference else 1)


def part_of(server, divisor):
    return Goal(1 / divisor, server)


@dataclasses.dataclass(frozen=True)
class Figure:
    key: str                    # in linnet-bench's JSON
    label: str
    unit: str                   # as linnet-bench has it: us, bytes, /s
    goal: Goal = None


@dataclasses.dataclass(frozen=True)
class Scenario:
    name: str
    title: str
    command: tuple              # of linnet-bench
    figures: tuple
    servers: tuple              # names of those it is played against
    tls: bool = False
    crowd: bool = False         # with --idle-users instead of --users, each time a fresh server
    needs: tuple = ()           # features beyond the common ones: servers of its own have them
    group: int = 2              # users come in groups of so many
    most: int = 20000           # users: with more it would take long and tell the same

    @property
    def is_chat(self):
        return self.command[0] == 'chat'

    def users(self, asked):
        """As many whole groups as were asked for, at least one."""
        asked = min(asked, self.most)
        return max(asked - asked % self.group, self.group)


XMPP = ('linnet', 'ejabberd', 'prosody')
CPU_PER_MESSAGE = 'server_cpu_per_message'
RATE = 'messages_per_second'
MEMORY = 'server_memory_per_session'
FANOUT = 20     # contacts, occupants, subscribers


def chat(name, title, load, goals, **more):
    more.setdefault('servers', ('relay',) + XMPP)
    labels = {CPU_PER_MESSAGE: ('CPU per message', 'us'), 'latency_p99': ('p99', 'us'),
              RATE: ('messages per second', '/s')}
    return Scenario(name, title, ('chat',) + load,
                    tuple(Figure(key, *labels[key], goal) for key, goal in goals), **more)


def asks_more(name, title, load, figures, needs, **more):
    """Linnet has none of these yet: then it is "not offered", and the peers' figures stand alone."""
    return Scenario(name, title, (name,) + load,
                    tuple(Figure('server_cpu_per_' + what, label, 'us', goal)
                          for what, label, goal in figures), XMPP, needs=needs, **more)


def everyday(scenario):
    """The same with all that people's clients use, which all of them turn on. Messages count when
    they have been stored, too."""
    more = ('--sm', '--carbons') + (('--finish',) if scenario.is_chat else ())
    return dataclasses.replace(scenario, name=scenario.name + '-im', title=scenario.title + ', all on',
                               command=scenario.command + more, needs=features.EVERYDAY)


BARE = (
    chat('chat-1', 'chat, 1 in flight, plain', ('--inflight', '1'),
         [(CPU_PER_MESSAGE, Goal(2, 'relay'))]),
    chat('chat-10', 'chat, 10 in flight, plain', ('--inflight', '10'),
         [(CPU_PER_MESSAGE, part_of('ejabberd', 10))]),
    chat('chat-10-tls', 'chat, 10 in flight, STARTTLS', ('--inflight', '10'),
         [(CPU_PER_MESSAGE, part_of('ejabberd', 9))], servers=XMPP, tls=True),
    chat('chat-rate', 'chat, open loop, 1,000 messages/s, plain', ('--rate', '1000'),
         [(CPU_PER_MESSAGE, Goal(2.5, 'relay')), ('latency_p99', Goal(2, 'relay'))]),
    Scenario('ping-10', 'ping, 10 in flight, plain', ('ping', '--inflight', '10'),
             (Figure('server_cpu_per_ping', 'CPU per ping', 'us', part_of('ejabberd', 12)),),
             ('relay-echo',) + XMPP),
    asks_more('presence', 'presence to %d contacts' % FANOUT, ('--fanout', str(FANOUT)),
              [('delivery', 'per delivery', part_of('ejabberd', 10))], ('roster',),
              group=FANOUT + 2, most=5 * (FANOUT + 2)),
    Scenario('login', 'login, plain', ('login',),
             (Figure('server_cpu_per_login', 'CPU per login', 'us', part_of('ejabberd', 8)),), XMPP),
    Scenario('login-tls', 'login, STARTTLS', ('login',),
             (Figure('server_cpu_per_login', 'CPU per login', 'us', part_of('ejabberd', 4)),), XMPP,
             tls=True),
    Scenario('idle', 'idle, plain', ('idle',),
             (Figure(MEMORY, 'memory per session', 'bytes', Goal(4096)),), ('relay',) + XMPP,
             crowd=True),
    Scenario('idle-tls', 'idle, STARTTLS', ('idle',),
             (Figure(MEMORY, 'memory per session', 'bytes', Goal(16384)),), XMPP, tls=True,
             crowd=True),
)
ALL = BARE + tuple(everyday(scenario) for scenario in BARE) + (
    chat('chat-archive', 'chat with archives, stored, each its own way',
         ('--inflight', '10', '--finish'),
         [(CPU_PER_MESSAGE, None), (RATE, None)], servers=XMPP, needs=('archive',)),
    chat('chat-archive-sqlite', 'chat with archives, stored, in SQLite',
         ('--inflight', '10', '--finish'),
         [(CPU_PER_MESSAGE, None), (RATE, None)], servers=XMPP, needs=('archive-sqlite',)),
    chat('shards', 'chat, 10 in flight, 2 shards against 1', ('--inflight', '10'),
         [(CPU_PER_MESSAGE, None)], servers=('linnet-1', 'linnet-2')),
    asks_more('offline', 'offline messages', ('--batch', '100'),
              [('store', 'CPU per message stored', None),
               ('collect', 'CPU per message collected', None)], ('offline',)),
    asks_more('mam', 'archive', ('--batch', '50', '--page', '10'),
              [('archived_message', 'CPU per message archived', None),
               ('message', 'CPU per message found', None)], ('archive', 'disco'), most=40),
    asks_more('resume', 'resumption, 10 messages each', ('--batch', '10'),
              [('resumption', 'CPU per resumption', None)], ('resumption',)),
    asks_more('muc', 'rooms of %d' % FANOUT, ('--fanout', str(FANOUT)),
              [('delivery', 'CPU per delivery', None)], ('rooms', 'disco'), group=FANOUT),
    asks_more('pubsub', 'nodes of %d subscribers' % FANOUT, ('--fanout', str(FANOUT)),
              [('delivery', 'CPU per delivery', None)], ('nodes', 'disco'), group=FANOUT),
)
SHARDS_GOAL = 1.7


def gain_of_shards(cpu_of_one, cpu_of_two):
    """How much more two shards carry than one when both have a core of their own: the work grows
    twofold, less what a message costs more. The generator needs cores too and is left out."""
    return 2 * cpu_of_one / cpu_of_two
