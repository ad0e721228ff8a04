/* A module for the tests of this folder: it has weaknesses, and children that have some. What is
 * wrong is written in files of the server's folder, or sent in requests. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/server.h"
#include "modules/module.h"

struct frail {
	_Atomic uint64_t actor; /* its id */
};

/* --- it hangs on a shard, which must never wait --- */

static int frail_hang(const struct iq *iq UNUSED, struct builder *answer UNUSED)
{
	while (pause() < 0)
		continue;
	return 0;
}

/* --- an actor that returns an error --- */

struct clerk {
	struct server server;
};

static struct next clerk_init(struct server *s, void *arg)
{
	struct module_instance *mi = arg;
	struct frail *f = mi->data;

	atomic_store(&f->actor, s->gen.actor.id.v);
	return server_wait();
}

static struct next clerk_cast(struct server *s UNUSED, struct term *request UNUSED)
{
	return server_stopped("a bad day");
}

static const struct server_class clerk_class = {
	SERVER_CLASS("clerk", 1, struct clerk),
	.init = clerk_init,
	.cast = clerk_cast,
};

static int frail_annoy(const struct iq *iq, struct builder *answer UNUSED)
{
	struct module_instance *mi = iq->arg;
	struct frail *f = mi->data;

	server_cast((struct actor_id){ atomic_load(&f->actor) }, TERM(1));
	return 0;
}

/* --- a thread that hangs; a deaf one cannot be told to end either --- */

static _Atomic int frozen, deaf; /* so many threads are to be */

static bool take_one(_Atomic int *of)
{
	int n = atomic_load(of);

	while (n > 0 && !atomic_compare_exchange_weak(of, &n, n - 1))
		continue;
	return n > 0;
}

static const char *watch_run(struct heart *h, void *arg UNUSED)
{
	do {
		if (take_one(&deaf))
			for (;;)
				sleep(1000);
		while (atomic_load(&frozen) && !heart_stops(h))
			usleep(1000);
		if (heart_stops(h))
			take_one(&frozen);
		heart_beat(h);
	} while (!heart_wait(h, 50));
	return STOP_NORMAL;
}

static int frail_freeze(const struct iq *iq, struct builder *answer UNUSED)
{
	atomic_fetch_add(elem_attr(iq->payload, "deaf") ? &deaf : &frozen, 1);
	return 0;
}

/* --- a process: the script in the server's folder --- */

static const char *const script[] = { "./frail.sh", NULL };

static const struct child_spec frail_children[] = {
	{ .id = "clerk", .shutdown_ms = 1000, ACTOR_CHILD(&clerk_class.gen) },
	{ .id = "watch", .shutdown_ms = 1000, THREAD_CHILD(watch_run, .heartbeat_ms = 1000) },
	{ .id = "script", .shutdown_ms = 1000, PROCESS_CHILD(script) },
	{ 0 },
};

/* --- it does not start: in the process that the file names, or in any with 0 --- */

static bool is_broken(void)
{
	FILE *f = fopen("frail.broken", "r");
	int pid = -1;

	if (f && fscanf(f, "%d", &pid) != 1)
		pid = -1;
	if (f)
		fclose(f);
	return pid == 0 || pid == getpid();
}

static int frail_start(struct module_instance *mi)
{
	if (is_broken())
		return -EPERM;
	mi->data = xcalloc(1, sizeof(struct frail));
	return 0;
}

static void frail_stop(struct module_instance *mi)
{
	free(mi->data);
}

static const struct module frail = {
	.abi = LINNET_MODULE_ABI,
	.name = "frail",
	.help = "For a test.",
	.iq = (const struct iq_row[]){ { IQ_FOR_SET, IQ_LOCAL, "urn:test:hang", IQ_NO_QUEUE,
					       frail_hang },
		{ IQ_FOR_SET, IQ_LOCAL, "urn:test:annoy", IQ_NO_QUEUE, frail_annoy },
		{ IQ_FOR_SET, IQ_LOCAL, "urn:test:freeze", IQ_NO_QUEUE, frail_freeze }, { 0 } },
	.children = frail_children,
	.start = frail_start,
	.stop = frail_stop,
};
LINNET_MODULE(frail);
