/* cmd/linnetd_takeover.c - the new server's half of an upgrade. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cmd/linnetd_upgrade.h"
#include "core/command.h"
#include "core/handover.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/thread.h"
#include "net/c2s_move.h"
#include "net/listener.h"

static struct {
	struct handover *from; /* owned; NULL: no takeover */
	pthread_t thread; /* takes what follows */
	bool following;
} takeover;

void takeover_begin(int channel)
{
	if (channel >= 0)
		takeover.from = handover_new(channel);
}

bool takeover_is_on(void)
{
	return takeover.from != NULL;
}

void takeover_refuse(const char *why)
{
	if (takeover.from && !takeover.following)
		handover_say(takeover.from, HANDOVER_REFUSED, why);
}

/* All that is here is another server's still: nothing is to be done about it. */
NO_RETURN static void step_back(const char *why)
{
	log_warning("upgrade", "not taken over", L_STR("why", why));
	log_flush();
	takeover_refuse(why);
	_exit(EXIT_FAILURE);
}

static void take(struct handover_item *i)
{
	if (handover_take(takeover.from, i))
		step_back(strerror(-handover_error(takeover.from)));
}

/* The name of what came if it is one of ours; otherwise a part, which is loaded. */
static bool take_until(const char *name)
{
	struct handover_item i;
	char why[200];
	bool found;
	int error;

	take(&i);
	found = !strcmp(i.in.name, name);
	error = found ? 0 : handover_load(&i);
	if (error) {
		snprintf(why, sizeof(why), "it does not know version %u of %.60s: %s", i.in.version,
			i.in.name, strerror(-error));
		step_back(why);
	}
	handover_item_fini(&i);
	return found;
}

static void tell_taken(void)
{
	struct record r;

	record_begin(&r, UPGRADE_TAKEN, HANDOVER_VERSION);
	if (!c2s_taken(&r))
		step_back("the streams could not be looked at in time");
	handover_give(takeover.from, &r, -1);
}

void takeover_run(void)
{
	handover_hello(takeover.from);
	while (!take_until(UPGRADE_SENT))
		;
	tell_taken();
	while (!take_until(UPGRADE_GO))
		;
}

void takeover_serve(void)
{
	c2s_go();
	listeners_take();
}

static void *follow_main(void *unused UNUSED)
{
	struct handover_item i;

	rcu_thread_begin();
	while (!handover_take(takeover.from, &i)) {
		int error = handover_load(&i);

		if (error)
			log_error("upgrade", "what followed a client cannot be read",
				L_STR("why", strerror(-error)));
		handover_item_fini(&i);
	}
	rcu_thread_end();
	return NULL;
}

void takeover_running(void)
{
	if (!takeover.from)
		return;
	handover_say(takeover.from, UPGRADE_RUNNING, NULL);
	takeover.following = !thread_start(&takeover.thread, "takeover", follow_main, NULL);
}

void takeover_end(void)
{
	bool reading = rcu_offline();

	if (takeover.following) {
		shutdown(handover_fd(takeover.from), SHUT_RDWR);
		pthread_join(takeover.thread, NULL);
	}
	rcu_online(reading);
	takeover.following = false;
	handover_free(takeover.from);
	takeover.from = NULL;
}
