/* cmd/linnetd_upgrade.c - the old server's half of an upgrade, and the command that begins it. */
#include "cmd/linnetd_upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cmd/linnetd.h"
#include "cmd/linnetd_monitor.h"
#include "core/clock.h"
#include "core/command.h"
#include "core/errand.h"
#include "core/handover.h"
#include "core/keep.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "core/spool.h"
#include "net/c2s.h"
#include "net/c2s_move.h"
#include "net/listener.h"
#include "net/s2s_in.h"
#include "net/s2s_out.h"
#include "net/service.h"
#include "router/s2s.h"

#define WAIT_S 60 /* for the new server to be up, unless the command says otherwise */
#define WAIT_S_MAX 3600
#define DRAIN_MS 5000 /* for what is under way when nobody is read from any more */
#define QUIET_ROUNDS 3 /* a stanza hops so often at most, and then some */
#define TAKE_MS 10000 /* for the new server to take all it is given: clients wait so long */
#define RUN_MS 30000 /* for it to begin */
#define LINKS_MS 1500 /* for other servers to say what they have got */
#define FINISH_MS 10000 /* for clients that stay to take what they are owed */
#define NAP_MS 2
#define REASON_MAX 4096 /* bytes of a program's complaints that are told */

static struct upgrade {
	struct handover *to; /* owned; NULL: none */
	char *why; /* owned; why it is called off */
	int moved, ended;
	uint64_t paused_ms;
	_Atomic bool done, failed;
} upgrade;

bool upgrade_is_done(void)
{
	return atomic_load(&upgrade.done);
}

bool upgrade_has_failed(void)
{
	return atomic_load(&upgrade.failed);
}

PRINTF_LIKE(1, 2) static bool fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (!upgrade.why && vasprintf(&upgrade.why, format, args) < 0)
		upgrade.why = NULL;
	va_end(args);
	return false;
}

static void nap(void)
{
	const struct timespec t = { .tv_nsec = NAP_MS * 1000000L };
	bool reading = rcu_offline();

	nanosleep(&t, NULL);
	rcu_online(reading);
}

/* ---- The new program looks the settings over ---- */

/* What a pipe's writers say until they end, or too much time has passed. */
static char *read_all(int fd, uint64_t deadline_ms, bool *in_time)
{
	struct buf *b = buf_new(256);
	char room[512], *text;
	ssize_t n = 1;

	*in_time = true;
	while (n > 0 && *in_time) {
		struct pollfd at = { .fd = fd, .events = POLLIN };
		uint64_t now = clock_ms();

		*in_time = now < deadline_ms && poll(&at, 1, (int)(deadline_ms - now)) > 0;
		n = *in_time ? read(fd, room, sizeof(room)) : 0;
		if (n > 0 && b->len < REASON_MAX)
			buf_append(&b, room, (size_t)n);
	}
	while (b->len && b->data[b->len - 1] == '\n')
		b->len--;
	text = xstrndup(b->data, b->len);
	buf_unref(b);
	return text;
}

/* The process, with its standard error at *out; or a negative errno. */
static pid_t spawn_check(const char *program, int *out)
{
	char *const argv[] = { (char *)program, "--check", "--config",
		(char *)server_settings_path(), NULL };
	posix_spawn_file_actions_t actions;
	posix_spawnattr_t attr;
	int ends[2], error;
	sigset_t none;
	pid_t pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	sigemptyset(&none);
	posix_spawnattr_init(&attr);
	posix_spawnattr_setsigmask(&attr, &none);
	posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
	error = posix_spawn(&pid, program, &actions, &attr, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attr);
	close(ends[1]);
	*out = ends[0];
	if (error)
		fd_close(out);
	return error ? -error : pid;
}

static bool check_program(const char *program, uint64_t deadline_ms)
{
	AUTO(fd_close) int out = -1;
	AUTO(free_ptr) char *said = NULL;
	bool reading, in_time;
	int status = 0;
	pid_t pid = spawn_check(program, &out);

	if (pid < 0)
		return fail("%s cannot be run: %s", program, strerror(-pid));
	reading = rcu_offline();
	said = read_all(out, deadline_ms, &in_time);
	if (!in_time)
		kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	rcu_online(reading);
	if (!in_time)
		return fail("%s --check does not end", program);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return fail("%s --check fails:\n%s", program, said);
	return true;
}

/* ---- The new server starts ---- */

static bool failed_with_peer(const char *doing)
{
	int error = handover_error(upgrade.to);

	if (error == -EPIPE)
		return fail("the new server ended while it %s; its log may tell why", doing);
	if (error == -ETIMEDOUT)
		return fail("the new server took too long while it %s", doing);
	return fail("while the new server %s: %s", doing, strerror(-error));
}

/* The next thing that it says; a refusal, or silence, is the end of the matter. */
static bool hear(struct handover_item *i, uint64_t deadline_ms, const char *doing)
{
	const char *why;

	handover_until(upgrade.to, deadline_ms);
	if (handover_take(upgrade.to, i))
		return failed_with_peer(doing);
	if (strcmp(i->in.name, HANDOVER_REFUSED))
		return true;
	why = record_read_text(&i->in);
	fail("the new server refuses: %s", why ? why : "it does not say why");
	handover_item_fini(i);
	return false;
}

static bool hear_name(const char *name, uint64_t deadline_ms, const char *doing)
{
	struct handover_item i;
	bool right;

	if (!hear(&i, deadline_ms, doing))
		return false;
	right = !strcmp(i.in.name, name);
	if (!right)
		fail("the new server says %.60s while it %s", i.in.name, doing);
	handover_item_fini(&i);
	return right;
}

/* The program's path waits in the channel for the monitor, then nothing until it says hello. */
static bool start_successor(const char *program)
{
	size_t len = strlen(program) + 1;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return fail("no channel to a new server: %s", strerror(errno));
	upgrade.to = handover_new(ends[0]);
	if (send(ends[0], program, len, MSG_NOSIGNAL) == (ssize_t)len)
		keep_tell_with(MONITOR_UPGRADE, ends[1]);
	close(ends[1]);
	return true;
}

static bool await_hello(uint64_t deadline_ms)
{
	AUTO(free_ptr) char *missing = NULL;
	struct handover_item i;

	if (!hear(&i, deadline_ms, "started"))
		return false;
	missing = handover_missing(&i);
	handover_item_fini(&i);
	return missing ? fail("the new server is of no use: %s", missing) : true;
}

/* ---- Nothing moves any more ---- */

static void been(struct msg *m)
{
	shard_check(NULL);
	errand_tell(container_of(m, struct errand, msg));
}

struct asked {
	const char *name;
	int64_t value;
};

static void find_metric(const struct metric *m, void *arg)
{
	struct asked *a = arg;

	if (!strcmp(m->name, a->name))
		a->value += metric_value(m);
}

static int64_t metric_named(const char *name)
{
	struct asked a = { name, 0 };

	metric_each(find_metric, &a);
	return a.value;
}

/* What every shard had to do is done, and nothing waits on the job threads or for the database. */
static bool is_quiet(void)
{
	bool quiet = metric_named("jobs_queued") == 0 && metric_named("db_queue") == 0;

	for (unsigned i = 0; i < shards_count(); i++) {
		struct errand e;

		errand_wait(&e, shard_at(i), been);
		quiet &= shard_waiting(shard_at(i)) == 0;
	}
	return quiet;
}

static bool drain(void)
{
	uint64_t until_ms = clock_ms() + DRAIN_MS;
	unsigned quiet = 0;

	while (quiet < QUIET_ROUNDS && clock_ms() < until_ms) {
		if (is_quiet()) {
			quiet++;
		} else {
			quiet = 0;
			nap();
		}
	}
	return quiet == QUIET_ROUNDS;
}

/* ---- Over ---- */

static bool give_all(uint64_t deadline_ms)
{
	handover_until(upgrade.to, deadline_ms);
	if (!handover_save(upgrade.to))
		handover_say(upgrade.to, UPGRADE_SENT, NULL);
	return !handover_error(upgrade.to) || failed_with_peer("was given what is here");
}

static bool await_taken(uint64_t deadline_ms)
{
	struct handover_item i;
	bool good;

	if (!hear(&i, deadline_ms, "took what was given"))
		return false;
	good = !strcmp(i.in.name, UPGRADE_TAKEN) && c2s_divert(&i.in);
	handover_item_fini(&i);
	return good || fail("what the new server says about what it took cannot be read");
}

static bool say_go(void)
{
	int error = spool_lend();

	if (error)
		return fail("the spool cannot be left to it: %s", strerror(-error));
	c2s_follow(upgrade.to);
	if (!handover_say(upgrade.to, UPGRADE_GO, NULL))
		return true;
	error = spool_take_back();
	if (error)
		log_error("upgrade", "the spool is lost", L_STR("why", strerror(-error)));
	return failed_with_peer("was told to go on");
}

static bool hand_over(void)
{
	uint64_t deadline_ms;

	if (!drain())
		return fail("what is under way does not come to an end");
	deadline_ms = clock_ms() + TAKE_MS;
	return give_all(deadline_ms) && await_taken(deadline_ms) && say_go();
}

static void add_unacked(const struct s2s_in_info *info, void *sum)
{
	*(unsigned *)sum += info->unacked;
}

static bool others_owe_answers(void)
{
	unsigned unacked = 0;

	s2s_in_each(add_unacked, &unacked);
	return unacked || s2s_out_count();
}

/* What other servers have got is known, unless they take long to say so; what they have not is for
 * the new server. */
static void pause_links(void)
{
	uint64_t until_ms = clock_ms() + LINKS_MS;

	s2s_pause();
	s2s_in_ask();
	while (others_owe_answers() && clock_ms() < until_ms)
		nap();
}

/* Those that stay leave first, so that the others hear of it before they can be back. */
static void end_rest(void)
{
	upgrade.moved = (int)c2s_moved();
	upgrade.ended = (int)c2s_count() - upgrade.moved;
	c2s_leave_rest();
	s2s_in_kick_all(STREAM_SYSTEM_SHUTDOWN); /* other servers are to find the new one */
	drain();
	c2s_follow(upgrade.to);
	c2s_end_rest(STREAM_RESET); /* RFC 6120 §4.9.3.16: what TLS has agreed on is void */
	service_kick_all(STREAM_RESET); /* components find the new one by the same port */
}

/* True: there is another server. */
static bool upgrade_to(const char *program, uint64_t deadline_ms)
{
	uint64_t since_ms;
	bool gone;

	if (!check_program(program, deadline_ms) || !start_successor(program) ||
		!await_hello(deadline_ms))
		return false;
	pause_links();
	since_ms = clock_ms();
	listeners_pause();
	c2s_freeze();
	s2s_in_freeze();
	gone = hand_over();
	upgrade.paused_ms = clock_ms() - since_ms;
	if (!gone) {
		c2s_thaw();
		s2s_in_thaw();
		listeners_resume();
		s2s_start();
		return false;
	}
	listeners_given_away();
	atomic_store(&upgrade.failed,
		!hear_name(UPGRADE_RUNNING, clock_ms() + RUN_MS, "began to serve"));
	end_rest();
	return true;
}

static void call_off(struct command_answer *answer)
{
	log_warning("upgrade", "called off", L_STR("why", upgrade.why));
	command_fail(answer, "nothing has changed: %s", upgrade.why);
	if (upgrade.to)
		keep_tell(MONITOR_CALL_OFF);
	handover_free(upgrade.to);
	upgrade.to = NULL;
}

static void tell_done(const char *program, struct command_answer *answer)
{
	if (upgrade_has_failed()) {
		log_error("upgrade", "the new server did not begin", L_STR("why", upgrade.why));
		command_fail(answer, "%s: the monitor starts another", upgrade.why);
	} else {
		log_info("upgrade", "another server is there", L_STR("program", program),
			L_INT("moved", upgrade.moved), L_INT("ended", upgrade.ended),
			L_INT("paused_ms", upgrade.paused_ms));
		answer->result = json_pack("{s:s, s:i, s:i, s:I}", "program", program, "moved",
			upgrade.moved, "ended", upgrade.ended, "paused_ms",
			(json_int_t)upgrade.paused_ms);
	}
	atomic_store(&upgrade.done, true);
	kill(getpid(), SIGTERM); /* to main, as for any other end */
}

static void run_upgrade(const json_t *args, struct command_answer *answer)
{
	const char *given = command_text(args, "binary");
	AUTO(free_ptr)
	char *program = keep_is_served() ? xstrdup(given ? given : monitor_program()) : NULL;
	int64_t wait_s = command_int(args, "wait", WAIT_S);

	if (!program) {
		command_fail(answer, "there is no monitor (--no-monitor), which an upgrade needs");
	} else if (upgrade_is_done()) {
		command_fail(answer, "another server has taken this one's place already");
	} else if (wait_s < 1 || wait_s > WAIT_S_MAX) {
		command_fail(answer, "--wait goes from 1 to %d", WAIT_S_MAX);
	} else {
		reload_hold();
		if (upgrade_to(program, clock_ms() + (uint64_t)wait_s * 1000))
			tell_done(program, answer);
		else
			call_off(answer);
		reload_release();
		free(upgrade.why);
		upgrade.why = NULL;
	}
}

void upgrade_finish(const _Atomic bool *hurry)
{
	uint64_t until_ms = clock_ms() + FINISH_MS;

	while (c2s_count() > upgrade.moved && clock_ms() < until_ms && !atomic_load(hurry)) {
		c2s_follow(upgrade.to);
		nap();
	}
	drain();
	c2s_follow(upgrade.to);
	handover_free(upgrade.to);
	upgrade.to = NULL;
}

static const struct command_arg upgrade_args[] = {
	{ "binary", ARG_FILE, .optional = true, .option = true,
		.help = "The new program; left out: the one the server was started from, as it "
			"is on the disk by now." },
	{ "wait", ARG_INT, .optional = true, .option = true,
		.help = "Seconds that the new server may take to be up, 60 when left out." },
	{ 0 }
};
static const struct command commands[] = {
	{ "upgrade", "server",
		"Start the program anew, or another one, and let it take this server's place: "
		"clients without TLS stay connected, the others are asked to connect again. If it "
		"does not come up, or does not know what it is given, nothing changes.",
		upgrade_args, run_upgrade },
};

void commands_add_upgrade(void)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		command_add(&commands[i]);
}
