/* cmd/linnetd_commands.c - commands about the server itself: state, log, settings, end. */
#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/linnetd.h"
#include "cmd/linnetd_daemon.h"
#include "cmd/linnetd_monitor.h"
#include "cmd/linnetd_server.h"
#include "cmd/linnetd_upgrade.h"
#include "core/command.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/shard.h"
#include "core/sysmon.h"
#include "modules/registry.h"
#include "net/listener_conf.h"
#include "net/tls.h"
#include "router/directory.h"
#include "router/host.h"
#include "router/route.h"
#include "xml/jid.h"

/* ---- status, metrics, memory ---- */

struct asked {
	const char *name;
	int64_t value;
};

static void find_metric(const struct metric *m, void *arg)
{
	struct asked *asked = arg;

	if (!strcmp(m->name, asked->name))
		asked->value += metric_value(m);
}

/* A metric by name, its labels added up. */
static json_int_t metric_named(const char *name)
{
	struct asked asked = { name, 0 };

	metric_each(find_metric, &asked);
	return (json_int_t)asked.value;
}

static void count_host(struct host *h UNUSED, void *n)
{
	++*(int *)n;
}

static void add_connections(
	const struct listener *l, const struct listen_conf *conf UNUSED, void *sum)
{
	*(int64_t *)sum += atomic_load_explicit(&l->connections, memory_order_relaxed);
}

static void run_status(const json_t *args UNUSED, struct command_answer *answer)
{
	int64_t connections = 0;
	AUTO(free_ptr) char *state = sysmon_state();
	int hosts = 0;

	route_each_host(count_host, &hosts);
	listeners_each(add_connections, &connections);
	answer->result = json_pack(
		"{s:s, s:i, s:i, s:i, s:I, s:s, s:i, s:I, s:I, s:I, s:i, s:I, s:I, s:I, s:I, s:I, "
		"s:I, s:s, s:s}",
		"version", LINNET_VERSION, "pid", (int)daemon_pid(), "server_pid", (int)getpid(),
		"restarts", (int)monitor_history()->restarts, "uptime_s",
		metric_named("process_uptime_seconds"), "settings", server_settings_path(), "hosts",
		hosts, "sessions", (json_int_t)directory_count(), "accounts_online",
		(json_int_t)directory_count_accounts(), "connections", (json_int_t)connections,
		"shards", (int)shards_count(), "threads", metric_named("process_threads"),
		"memory_bytes", (json_int_t)mem_resident_bytes(), "memory_in_use_bytes",
		(json_int_t)mem_in_use_bytes(), "memory_limit_bytes",
		(json_int_t)sysmon_memory_limit(), "open_files", (json_int_t)process_open_files(),
		"max_files", (json_int_t)process_max_files(), "log_level",
		log_level_name(atomic_load(&log_level)), "state", state);
}

static void run_metrics(const json_t *args UNUSED, struct command_answer *answer)
{
	AUTO(free_ptr) char *text = metric_text();

	answer->result = json_string(text);
}

/* jemalloc's, where it is linked. */
void malloc_stats_print(void (*write)(void *arg, const char *text), void *arg, const char *opts)
	__attribute__((weak));

static void add_text(void *out, const char *text)
{
	fputs(text, out);
}

static void run_memory(const json_t *args UNUSED, struct command_answer *answer)
{
	AUTO(free_ptr) char *text = NULL;
	size_t len;
	FILE *out;

	if (!malloc_stats_print) {
		command_fail(answer, "this server was built without jemalloc");
		return;
	}
	out = open_memstream(&text, &len);
	malloc_stats_print(add_text, out, "gba"); /* no general facts, bins or arenas */
	fclose(out);
	answer->result = json_string(text);
}

/* ---- hosts, modules, listeners, certificates ---- */

/* The hosts by name; each counted. */
struct host_list {
	struct host **at;
	size_t n;
};

static void add_host(struct host *h, void *arg)
{
	struct host_list *l = arg;

	l->at = xrealloc(l->at, (l->n + 1) * sizeof(*l->at));
	l->at[l->n++] = host_ref(h);
}

static int by_name(const void *a, const void *b)
{
	return strcmp((*(struct host *const *)a)->name, (*(struct host *const *)b)->name);
}

static void each_host(void (*fn)(struct host *h, void *arg), void *arg)
{
	struct host_list l = { 0 };

	route_each_host(add_host, &l);
	if (l.n)
		qsort(l.at, l.n, sizeof(*l.at), by_name);
	for (size_t i = 0; i < l.n; i++) {
		fn(l.at[i], arg);
		host_unref(l.at[i]);
	}
	free(l.at);
}

static void describe_host(struct host *h, void *list)
{
	json_array_append_new(list, json_pack("{s:s}", "host", h->name));
}

static void run_hosts(const json_t *args UNUSED, struct command_answer *answer)
{
	answer->result = json_array();
	each_host(describe_host, answer->result);
}

struct module_listing {
	const char *host;
	json_t *list;
};

static void describe_module(struct module_instance *mi, void *arg)
{
	struct module_listing *l = arg;
	json_t *xeps = json_array();

	for (const char *const *xep = mi->module->xeps; xep && *xep; xep++)
		json_array_append_new(xeps, json_string(*xep));
	json_array_append_new(l->list,
		json_pack("{s:s, s:s, s:o}", "host", l->host, "module", mi->module->name,
			"implements", xeps));
}

static void describe_modules(struct host *h, void *list)
{
	struct module_listing l = { h->name, list };

	registry_each(h, describe_module, &l);
}

static void run_modules(const json_t *args, struct command_answer *answer)
{
	struct host *h = NULL;

	if (command_text(args, "host")) {
		h = host_of_args(args, answer);
		if (!h)
			return;
	}
	answer->result = json_array();
	if (h)
		describe_modules(h, answer->result);
	else
		each_host(describe_modules, answer->result);
	host_unref(h);
}

static void describe_listener(const struct listener *l, const struct listen_conf *conf, void *list)
{
	const char *module = listen_module_words[conf->module];

	json_array_append_new(list,
		json_pack("{s:s, s:i, s:s%, s:b, s:b, s:I}", "ip", conf->ip, "port", l->port,
			"module", module, strcspn(module, "|"), "tls", conf->tls, "starttls",
			conf->starttls, "connections",
			(json_int_t)atomic_load_explicit(&l->connections, memory_order_relaxed)));
}

static void run_listeners(const json_t *args UNUSED, struct command_answer *answer)
{
	answer->result = json_array();
	listeners_each(describe_listener, answer->result);
}

static void describe_certificate(const struct tls_cert_info *ci, void *list)
{
	json_array_append_new(list,
		json_pack("{s:s, s:s, s:o, s:o}", "names", ci->names, "file", ci->file, "from",
			time_value(ci->not_before), "until", time_value(ci->not_after)));
}

static void run_certificates(const json_t *args UNUSED, struct command_answer *answer)
{
	answer->result = json_array();
	tls_store_each(server_tls(), describe_certificate, answer->result);
}

/* ---- log ---- */

static void run_log_level(const json_t *args, struct command_answer *answer)
{
	const char *given = command_text(args, "level");
	int level = given ? log_level_parse(given) : atomic_load(&log_level);

	if (level < 0) {
		command_fail(
			answer, "expected none, error, warning, info or debug, found '%s'", given);
		return;
	}
	atomic_store(&log_level, level);
	answer->result = json_pack("{s:s}", "log_level", log_level_name(level));
}

/* As streams write themselves: a JID prepared, an address in its shortest form. */
static bool canonical(const char *given, char text[JID_TEXT_MAX])
{
	unsigned char address[sizeof(struct in6_addr)];
	struct jid *jid;

	for (int family = AF_INET;; family = AF_INET6) {
		if (inet_pton(family, given, address) == 1)
			return inet_ntop(family, address, text, JID_TEXT_MAX);
		if (family == AF_INET6)
			break;
	}
	if (jid_parse(given, strlen(given), NULL, &jid))
		return false;
	jid_write(jid, text);
	jid_free(jid);
	return true;
}

static void run_log_follow(const json_t *args, struct command_answer *answer)
{
	const char *given = command_text(args, "whom");
	char text[JID_TEXT_MAX];

	if (given && !canonical(given, text)) {
		command_fail(answer, "'%s' is neither a JID nor an address", given);
		return;
	}
	log_follow(given ? text : NULL);
	answer->result = json_pack("{s:s?}", "following", given ? text : NULL);
}

static void run_log_reopen(const json_t *args UNUSED, struct command_answer *answer)
{
	int error = log_reopen();

	if (error)
		command_fail(answer, "the log cannot be opened anew: %s", strerror(-error));
}

/* ---- settings and end ---- */

static void run_config_check(const json_t *args, struct command_answer *answer)
{
	const char *given = command_text(args, "file");
	const char *path = given ? given : server_settings_path();
	struct conf_errors *errors = conf_errors_new();
	unsigned n;

	settings_check(path, errors);
	n = conf_errors_count(errors);
	if (n) {
		AUTO(free_ptr) char *text = errors_text(errors);

		command_fail(answer, "%u error%s:\n%s", n, n == 1 ? "" : "s", text);
	}
	answer->result = json_pack("{s:s, s:i}", "file", path, "errors", 0);
	conf_errors_free(errors);
}

static void run_reload(const json_t *args, struct command_answer *answer)
{
	AUTO(free_ptr) char *why = NULL;

	answer->result = server_reload(command_flag(args, "dry-run"), &why);
	if (why)
		command_fail(answer, "nothing has changed:\n%s", why);
}

static void run_stop(const json_t *args UNUSED, struct command_answer *answer UNUSED)
{
	log_info("linnetd", "stopping, as linnetctl asked");
	kill(getpid(), SIGTERM);
}

static const struct command_arg modules_args[] = {
	{ "host", ARG_HOST, .optional = true, .help = "Only those of this host." }, { 0 }
};
static const char *const levels[] = { "none", "error", "warning", "info", "debug", NULL };
static const struct command_arg level_args[] = {
	{ "level", ARG_STRING, .optional = true, .words = levels,
		.help = "none, error, warning, info or debug; left out: say which." },
	{ 0 }
};
static const struct command_arg follow_args[] = {
	{ "whom", ARG_JID, .optional = true,
		.help = "A JID, bare or full, the address a client comes from, or a connection as "
			"the log names it; left out: nobody any more." },
	{ 0 }
};
static const struct command_arg check_args[] = {
	{ "file", ARG_FILE, .optional = true,
		.help = "A settings file, as the server finds it; left out: its own." },
	{ 0 }
};
static const char *const reload_columns[] = { "change", NULL };
static const struct command_arg reload_args[] = {
	{ "dry-run", ARG_FLAG, .help = "Say what would change, and change nothing." }, { 0 }
};

static const struct command commands[] = {
	{ "status", "server", "How the server is: version, uptime, sessions, memory.", NULL,
		run_status, .always = true },
	{ "metrics", "server", "All metrics, as OpenMetrics text.", NULL, run_metrics },
	{ "memory", "server", "What the allocator says about the heap.", NULL, run_memory },
	{ "stop", "server", "End the server as SIGTERM does; does not wait for the end.", NULL,
		run_stop, .always = true },
	{ "hosts", "hosts", "List the domains this server answers for.", NULL, run_hosts },
	{ "modules", "hosts", "List the modules that run.", modules_args, run_modules },
	{ "listeners", "hosts", "List the open ports.", NULL, run_listeners },
	{ "certificates", "hosts", "List the certificates in use and how long they hold.", NULL,
		run_certificates },
	{ "reload", "settings",
		"Apply the settings file, or with an error in it nothing at all. A line for each "
		"change: + comes, - goes, ~ changes, ! waits for a restart.",
		reload_args, run_reload, reload_columns },
	{ "config-check", "settings", "Look a settings file over and name every error.", check_args,
		run_config_check },
	{ "log-level", "log", "Set the log's level until the next start or reload.", level_args,
		run_log_level },
	{ "log-follow", "log",
		"Log all that the streams of one client do, and every stanza without what it "
		"holds, whatever the level. Until the next start, or until another is followed.",
		follow_args, run_log_follow },
	{ "log-reopen", "log", "Open the log anew, after it was moved away.", NULL,
		run_log_reopen },
};

void commands_add(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
	commands_add_upgrade();
	commands_add_accounts();
	commands_add_sessions();
	commands_add_dns();
	commands_add_s2s();
	commands_add_supervisor();
	commands_add_privacy();
	commands_add_push();
	commands_add_stored();
	commands_add_reports();
	commands_add_rosters();
	commands_add_messages();
	commands_add_announce();
	commands_add_caps();
	commands_add_clients();
	commands_add_components();
	commands_add_groups();
}
