-- bench/peers/prosody.cfg.lua - Prosody 0.12 for a measurement: everything that the scenarios ask
-- for, no limit of rates, no log of what it does. start, beside this file, fills in @DIR@, @PORT@,
-- @TLS_PORT@ and @DOMAIN@, and leaves the marked lines out unless there is to be an archive. @DIR@
-- holds @DOMAIN@.crt and @DOMAIN@.key.
daemonize = false
run_as_root = true
pidfile = "@DIR@/prosody.pid"
data_path = "@DIR@/data"
certificates = "@DIR@"
log = { warn = "@DIR@/prosody.log" }
interfaces = { "127.0.0.1" }
c2s_ports = { @PORT@ }
c2s_direct_tls_ports = { @TLS_PORT@ }
s2s_ports = {}
s2s_direct_tls_ports = {}
http_ports = {}
https_ports = {}
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
network_backend = "epoll"
network_settings = { tcp_backlog = 1024 }
authentication = "internal_hashed"
storage = "internal"
allow_registration = true
gc = { mode = "incremental" }

-- Prosody's service lets administrators alone make nodes.
admins = { "user0@@DOMAIN@" }

modules_enabled = {
	"disco", "roster", "saslauth", "tls", "ping", "register", "presence", "message", "iq", "c2s",
	"offline", "smacks", "pep",
	"mam", -- @ARCHIVE@
}
modules_disabled = { "s2s", "limits", "csi_simple" }
default_archive_policy = true
max_archive_query_results = 1000
archive_expires_after = "never"
smacks_hibernation_time = 60
smacks_max_queue_size = 100000
smacks_max_unacked_stanzas = 0

VirtualHost "@DOMAIN@"

Component "conference.@DOMAIN@" "muc"
	restrict_room_creation = false

Component "pubsub.@DOMAIN@" "pubsub"
