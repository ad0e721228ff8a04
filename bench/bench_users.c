/* bench/bench_users.c - all in, all out. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/bench_scenario.h"

#define PATIENCE_NS 60000000000ull /* without any login coming through */
#define SETTLE_NS 30000000000ull
#define CLOSE_NS 5000000000ull

void bench_complain(const struct client *c, const char *why)
{
	static unsigned told;

	if (told++ < 5) /* over the live view's line where there is one */
		fprintf(stderr, "%slinnet-bench: %s%u: %.300s\n",
			isatty(STDERR_FILENO) ? "\r\033[K" : "", c->loop->options->user_prefix,
			c->loop->options->first_user + c->number, why);
}

void bench_complain_of(const struct client *c, const char *what, const char *text)
{
	char why[300];

	snprintf(why, sizeof(why), "%s: %s", what, text);
	bench_complain(c, why);
}

bool bench_not_offered(struct bench *b, const char *what)
{
	snprintf(b->share->not_offered, sizeof(b->share->not_offered), "%s", what);
	return false;
}

/* --- starting ---------------------------------------------------------------------------- */

static void start_next(struct bench *b, enum client_goal goal)
{
	while (b->next < b->options->users && b->under_way < b->options->parallel) {
		b->under_way++;
		client_start(&b->clients[b->next++], goal);
	}
}

static void arrived(struct bench *b, const struct client *c)
{
	b->under_way--;
	b->done++;
	start_next(b, c->goal);
	if (b->done == b->options->users)
		b->loop.stop = true;
}

static void start_ready(struct client *c)
{
	struct bench *b = bench_of(c);

	if (c->goal == GOAL_ACCOUNT) {
		client_close(c);
		return;
	}
	c->events = b->then;
	atomic_fetch_add(&b->share->sessions, 1);
	arrived(b, c);
}

static void start_stanza(struct client *c, const char *text)
{
	(void)c, (void)text;
}

static void start_closed(struct client *c, const char *why)
{
	struct bench *b = bench_of(c);

	if (why || c->goal == GOAL_SESSION) {
		bench_complain(c, why ? why : "closed");
		b->failed++;
	}
	arrived(b, c);
}

static const struct client_events start_events = { start_ready, start_stanza, start_closed };

bool bench_start_all(struct bench *b, enum client_goal goal, const struct client_events *then)
{
	unsigned before;

	b->next = b->under_way = b->done = b->failed = 0;
	b->then = then;
	bench_phase(b, goal == GOAL_ACCOUNT ? PHASE_REGISTER : PHASE_LOGIN);
	for (unsigned i = 0; i < b->options->users; i++)
		b->clients[i].events = &start_events;
	start_next(b, goal);
	do {
		before = b->done;
		if (b->done < b->options->users)
			loop_run(&b->loop, now_ns() + PATIENCE_NS);
	} while (b->done > before && b->done < b->options->users);
	if (b->failed || b->done < b->options->users)
		fprintf(stderr, "linnet-bench: %u of %u came through, %u failed\n",
			b->done - b->failed, b->options->users, b->failed);
	return !b->failed && b->done == b->options->users && bench_meet(b);
}

/* --- settling ---------------------------------------------------------------------------- */

static void settle_stanza(struct client *c, const char *text)
{
	struct bench *b = bench_of(c);

	/* An error is an answer too: what was sent before has been read. */
	if (strncmp(text, "<iq", 3) || !attr_is(text, "id", "settle"))
		return;
	c->events = b->then;
	if (--b->under_way == 0)
		b->loop.stop = true;
}

static const struct client_events settle_events = { start_ready, settle_stanza, start_closed };

bool bench_settle(struct bench *b)
{
	b->failed = 0;
	b->under_way = b->options->users;
	for (unsigned i = 0; i < b->options->users; i++) {
		b->clients[i].events = &settle_events;
		client_sendf(&b->clients[i],
			"<iq type='get' id='settle' to='%s'><ping xmlns='urn:xmpp:ping'/></iq>",
			b->options->domain);
	}
	loop_run(&b->loop, now_ns() + SETTLE_NS);
	return !b->failed && !b->under_way;
}

bool bench_all_here(const struct bench *b)
{
	unsigned gone = 0;

	for (unsigned i = 0; i < b->options->users; i++)
		gone += b->clients[i].step != STEP_READY;
	if (gone)
		fprintf(stderr, "linnet-bench: %s: %u of %u users were cut off before it began\n",
			b->options->scenario, gone, b->options->users);
	return !gone;
}

/* --- closing ----------------------------------------------------------------------------- */

static void close_closed(struct client *c, const char *why)
{
	struct bench *b = bench_of(c);

	(void)why;
	if (--b->under_way == 0)
		b->loop.stop = true;
}

static const struct client_events close_events = { start_ready, start_stanza, close_closed };

void bench_close_all(struct bench *b)
{
	b->under_way = 0;
	bench_phase(b, PHASE_CLOSE);
	for (unsigned i = 0; i < b->options->users; i++) {
		struct client *c = &b->clients[i];

		c->events = &close_events;
		if (c->step == STEP_NONE)
			continue;
		b->under_way++;
		client_close(c);
	}
	if (b->under_way)
		loop_run(&b->loop, now_ns() + CLOSE_NS);
}
