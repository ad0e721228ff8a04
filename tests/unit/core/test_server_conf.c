/* The settings that core knows: what they are without a file, how far they go, and how many threads
 * they mean on this machine. */
#include "core/server_conf.h"

#include <sched.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/shard.h"
#include "tests/support/settings_text.h"

/* The errors as text, which the caller frees. */
static char *fill(const char *yaml, struct server_conf *c, struct arena *a)
{
	struct settings_text t = settings_text(yaml);
	char *said;

	conf_fill(server_conf_items, t.root, c, a, t.errors);
	said = conf_errors_text(t.errors);
	settings_text_end(&t);
	return said;
}

Test(server_conf, has_a_default_for_everything)
{
	struct server_conf c;
	struct arena a;
	AUTO(free_ptr) char *said = NULL;

	arena_init(&a, NULL, 0);
	said = fill("", &c, &a);
	cr_expect_str_eq(said, "");
	cr_expect_eq(c.loglevel, LOG_LEVEL_INFO);
	cr_expect_null(c.log_file, "standard error");
	cr_expect_eq(c.log_format, LOG_FORMAT_LOGFMT);
	cr_expect_eq(c.shards, 0);
	cr_expect_eq(c.acceptors, 1);
	cr_expect_eq(c.jobs, 0);
	cr_expect_null(c.pid_file);
	cr_expect_str_eq(c.control_socket, "/run/linnet/control.sock");
	cr_expect_eq(c.control_socket_mode, 0600, "whoever opens it may do anything");
	cr_expect_eq(c.module_path.n, 0);
	cr_expect_eq(c.memory_limit, 0);
	cr_expect_eq(c.queue_warning, 10000);
	cr_expect_eq(c.shard_turn_warning_ms, 20);
	cr_expect_eq(c.negotiation_timeout_ms, 120000);
	arena_fini(&a);
}

/* The words stand for enum log_level and enum log_format: their order must be the same. */
static const struct {
	const char *yaml;
	int level, format;
} words[] = {
	{ "loglevel: none", LOG_LEVEL_NONE, LOG_FORMAT_LOGFMT },
	{ "loglevel: error", LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT },
	{ "loglevel: critical", LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT },
	{ "loglevel: warning", LOG_LEVEL_WARNING, LOG_FORMAT_LOGFMT },
	{ "loglevel: info", LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT },
	{ "loglevel: notice", LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT },
	{ "loglevel: debug", LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT },
	{ "loglevel: 0", LOG_LEVEL_NONE, LOG_FORMAT_LOGFMT },
	{ "loglevel: 1", LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT },
	{ "loglevel: 2", LOG_LEVEL_ERROR, LOG_FORMAT_LOGFMT },
	{ "loglevel: 3", LOG_LEVEL_WARNING, LOG_FORMAT_LOGFMT },
	{ "loglevel: 4", LOG_LEVEL_INFO, LOG_FORMAT_LOGFMT },
	{ "loglevel: 5", LOG_LEVEL_DEBUG, LOG_FORMAT_LOGFMT },
	{ "log_format: json", LOG_LEVEL_INFO, LOG_FORMAT_JSON },
};

Test(server_conf, words_are_the_logs_own)
{
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		struct server_conf c;
		struct arena a;
		AUTO(free_ptr) char *said = NULL;

		arena_init(&a, NULL, 0);
		said = fill(words[i].yaml, &c, &a);
		cr_expect_str_eq(said, "", "%s: %s", words[i].yaml, said);
		cr_expect_eq(c.loglevel, words[i].level, "%s", words[i].yaml);
		cr_expect_eq(c.log_format, words[i].format, "%s", words[i].yaml);
		arena_fini(&a);
	}
}

static const char *const mistakes[] = { "loglevel: 6", "loglevel: loud", "log_format: xml",
	"shards: -1", "acceptors: 0", "acceptors: 17", "jobs: 257", "control_socket_mode: 0888",
	"negotiation_timeout: 999 ms", "negotiation_timeout: 3601", "module_path: {a: b}" };

Test(server_conf, goes_so_far_and_no_farther)
{
	AUTO(free_ptr) char *too_many = xprintf("shards: %d", SHARDS_MAX + 1);
	struct server_conf c;
	struct arena a;

	arena_init(&a, NULL, 0);
	for (size_t i = 0; i <= ARRAY_LEN(mistakes); i++) {
		const char *yaml = i < ARRAY_LEN(mistakes) ? mistakes[i] : too_many;
		AUTO(free_ptr) char *said = fill(yaml, &c, &a);

		cr_expect(strstr(said, ": expected"), "%s: %s", yaml, said);
	}
	arena_fini(&a);
}

/* The cores that the process may use: as many as it has been left. */
static void leave_cores(int n)
{
	cpu_set_t all, left;

	cr_assert_eq(sched_getaffinity(0, sizeof(all), &all), 0);
	CPU_ZERO(&left);
	for (int cpu = 0; cpu < CPU_SETSIZE && n; cpu++)
		if (CPU_ISSET(cpu, &all)) {
			CPU_SET(cpu, &left);
			n--;
		}
	cr_assert_eq(sched_setaffinity(0, sizeof(left), &left), 0);
}

Test(server_conf, threads_follow_the_cores_unless_they_are_set)
{
	struct server_conf none = { 0 }, set = { .shards = 3, .jobs = 2 };
	cpu_set_t cores;
	unsigned n;

	cr_assert_eq(sched_getaffinity(0, sizeof(cores), &cores), 0);
	n = (unsigned)CPU_COUNT(&cores);
	cr_expect_eq(server_conf_shards(&none), n < SHARDS_MAX ? n : SHARDS_MAX);
	cr_expect_eq(server_conf_jobs(&none), n > 4 ? n : 4);
	cr_expect_eq(server_conf_shards(&set), 3);
	cr_expect_eq(server_conf_jobs(&set), 2, "fewer than 4 when asked for");
	leave_cores(1);
	cr_expect_eq(server_conf_shards(&none), 1);
	cr_expect_eq(server_conf_jobs(&none), 4);
	set.shards = SHARDS_MAX + 7;
	cr_expect_eq(server_conf_shards(&set), SHARDS_MAX);
}
