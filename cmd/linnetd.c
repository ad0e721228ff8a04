/* cmd/linnetd.c - the server's program: its command line, its signals, its end. What starts in
 * which order is cmd/linnetd_server.c. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/linnetd.h"
#include "cmd/linnetd_daemon.h"
#include "cmd/linnetd_manual.h"
#include "cmd/linnetd_monitor.h"
#include "cmd/linnetd_options.h"
#include "cmd/linnetd_upgrade.h"
#include "core/crash.h"
#include "core/keep.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"

#define DEFAULT_CONFIG "/etc/linnet/linnet.yml"
enum { EXIT_USAGE = 2 };

static void print_usage(FILE *out)
{
	fputs("usage: linnetd [OPTIONS]\nAn XMPP server.\n\n", out);
	cli_help(linnetd_options, out);
}

static int print_reference(const char *page)
{
	commands_add();
	if (!reference_print(page, stdout)) {
		fprintf(stderr, "linnetd: no such page: %s; %s\n", page,
			linnetd_options[OPT_REFERENCE].help);
		return EXIT_USAGE;
	}
	return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int check(const char *path)
{
	struct conf_errors *errors = conf_errors_new();
	bool good;

	settings_check(path, errors);
	good = !conf_errors_count(errors);
	if (good) {
		printf("%s: no errors\n", path);
	} else {
		AUTO(free_ptr) char *text = conf_errors_text(errors);

		fputs(text, stderr);
	}
	conf_errors_free(errors);
	return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int go_to_background(void)
{
	int error = daemon_begin();

	if (error)
		fprintf(stderr, "linnetd: cannot go to the background: %s\n", strerror(-error));
	return error;
}

static void reopen_log(void)
{
	int error = log_reopen();

	if (error)
		log_error(
			"linnetd", "the log cannot be opened anew", L_STR("why", strerror(-error)));
}

/* Returns when the server is to end. */
static void serve(const sigset_t *set)
{
	for (;;) {
		bool reading = rcu_offline();
		int signo;

		while (sigwait(set, &signo))
			;
		rcu_online(reading);
		if (signo == SIGTERM || signo == SIGINT)
			return;
		reopen_log();
		if (signo == SIGHUP)
			reload_and_log();
	}
}

struct start {
	const char *config, *pid_file;
};

static void tell_history(void)
{
	const struct monitor_history *h = monitor_history();

	if (h->why)
		log_error("monitor", "the server died and was started again",
			L_STR("ended_by", h->why), L_INT("restarts", h->restarts));
}

static int run(void *arg)
{
	const struct start *start = arg;
	sigset_t set = daemon_signals(); /* blocked for every thread; main takes them one by one */
	int status = EXIT_FAILURE;

	crash_watch();
	signal(SIGPIPE, SIG_IGN);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	rcu_thread_begin();
	takeover_begin(monitor_takeover());
	if (!server_start(start->config, start->pid_file)) {
		tell_history();
		keep_drop_rest();
		keep_tell(MONITOR_READY);
		takeover_running();
		daemon_ready();
		serve(&set);
		if (!upgrade_is_done())
			daemon_notify("STOPPING=1");
		status = server_stop() && !upgrade_has_failed() ? EXIT_SUCCESS : EXIT_FAILURE;
	}
	rcu_thread_end();
	return status;
}

int main(int argc, char **argv)
{
	const char *values[OPT_COUNT], *config;
	struct start start;
	int first = cli_parse(linnetd_options, argc, argv, values);

	if (first < 0 || first < argc) {
		if (first >= 0)
			fprintf(stderr, "linnetd: unexpected argument: %s\n", argv[first]);
		print_usage(stderr);
		return EXIT_USAGE;
	}
	if (values[OPT_HELP])
		return print_usage(stdout), EXIT_SUCCESS;
	if (values[OPT_VERSION])
		return puts("linnetd " LINNET_VERSION), EXIT_SUCCESS;
	if (values[OPT_REFERENCE])
		return print_reference(values[OPT_REFERENCE]);
	if (values[OPT_EXAMPLE])
		return manual_example(stdout), EXIT_SUCCESS;
	config = values[OPT_CONFIG] ? values[OPT_CONFIG] : DEFAULT_CONFIG;
	if (values[OPT_CHECK])
		return check(config);
	umask(umask(0) | 027); /* nothing of ours is everybody's to read */
	if (!values[OPT_FOREGROUND] && !monitor_goes_on() && go_to_background())
		return EXIT_FAILURE;
	start = (struct start){ config, values[OPT_PID_FILE] };
	return values[OPT_NO_MONITOR] ? run(&start) : monitor_run(run, &start, argv);
}
