"""What clients may ask a server for: how each server is told to have it.

All servers have what Linnet has of BASE; the scenarios that are about more name it, and are played
against servers of their own that have it too.
"""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Feature:
    linnet: str                 # its module
    ejabberd: str               # module and options, YAML
    prosody: str = None         # module of the virtual host
    prosody_more: str = ''      # settings of the virtual host, or a component: Lua
    ejabberd_top: str = ''      # settings beside the modules, YAML


BASE = ('disco', 'offline', 'ping', 'roster', 'time', 'version')

ALL = {
    'disco': Feature('mod_disco', 'mod_disco: {}', 'disco'),
    'offline': Feature('mod_offline', '''\
mod_offline:
    access_max_user_messages: max_user_offline_messages''', 'offline'),
    'ping': Feature('mod_ping', 'mod_ping: {}', 'ping'),
    'roster': Feature('mod_roster', 'mod_roster: {}', 'roster'),
    'time': Feature('mod_time', 'mod_time: {}', 'time'),
    'version': Feature('mod_version', 'mod_version: {}', 'version'),
    'archive': Feature('mod_mam', '''\
mod_mam:
    default: always
    assume_mam_usage: true''', 'mam', '''\
default_archive_policy = true
max_archive_query_results = 1000
archive_expires_after = "never"
'''),
    # In SQLite everywhere: Linnet's is, above; ejabberd's is in Mnesia, prosody's in files.
    'archive-sqlite': Feature('mod_mam', '''\
mod_mam:
    db_type: sql
    default: always
    assume_mam_usage: true''', 'mam', '''\
default_archive_policy = true
max_archive_query_results = 1000
archive_expires_after = "never"
storage = { archive = "sql" }
sql = { driver = "SQLite3", database = "archive.sqlite" }
''', '''\
sql_type: sqlite
sql_database: "%(sqlite)s"
'''),
    'resumption': Feature('mod_stream_mgmt', '''\
mod_stream_mgmt:
    resume_timeout: 60
    max_ack_queue: infinity
    resend_on_timeout: false''', 'smacks', '''\
smacks_hibernation_time = 60
smacks_max_queue_size = 100000
smacks_max_unacked_stanzas = 0
'''),
    'carbons': Feature('mod_carboncopy', 'mod_carboncopy: {}', 'carbons'),
    # Linnet has this one and stream management without a module.
    'client-state': Feature('mod_client_state', 'mod_client_state: {}', 'csi_simple'),
    'privacy': Feature('mod_privacy', 'mod_privacy: {}'),
    'blocking': Feature('mod_blocking', 'mod_blocking: {}', 'blocklist'),
    'push': Feature('mod_push', 'mod_push: {}'),    # Debian's prosody has none
    'last': Feature('mod_last', 'mod_last: {}', 'lastactivity'),
    'private': Feature('mod_private', 'mod_private: {}', 'private'),
    'vcard': Feature('mod_vcard', 'mod_vcard: {}', 'vcard'),
    'caps': Feature('mod_caps', 'mod_caps: {}'),    # prosody has it in others
    # Stream management as each has it by itself.
    'acks': Feature('mod_stream_mgmt', 'mod_stream_mgmt: {}', 'smacks'),
    'rooms': Feature('mod_muc', '''\
mod_muc:
    access: all
    access_create: all
    max_users: 10000
    max_user_conferences: 1000
    min_message_interval: 0
    min_presence_interval: 0
    default_room_options:
      max_users: 10000
      mam: false
      persistent: false''', prosody_more='''\
Component "conference.%(domain)s" "muc"
restrict_room_creation = false
'''),
    # Prosody lets administrators alone make nodes.
    'nodes': Feature('mod_pubsub', '''\
mod_pubsub:
    access_createnode: all
    plugins: ["flat"]
    last_item_cache: false''', prosody_more='''\
Component "pubsub.%(domain)s" "pubsub"
admins = { "user0@%(domain)s" }
'''),
}

# What people's clients use every day, all at once.
EVERYDAY = ('archive', 'acks', 'carbons', 'client-state', 'privacy', 'blocking', 'push', 'last', 'private',
            'vcard', 'caps')


def of_base(linnet_example):
    """Names of BASE that this Linnet has, going by what it prints as an example of its settings."""
    return tuple(name for name in BASE if ALL[name].linnet + ':' in linnet_example)
