/* What core/mailbox.h promises: order, whole batches, the bell, and no lost wake-up. */
#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "core/mailbox.h"

/* The test's main thread plays the owner. */
static void as_owner(void) TAKES_SHARD_ROLE
{
}

struct note {
	struct msg msg;
	int from, number;
};

static struct mailbox *box;
static int bell; /* an epoll set that holds the box's bell */
static int seen[64];
static int n_seen;

static void note_run(struct msg *m)
{
	seen[n_seen++] = caa_container_of(m, struct note, msg)->number;
}

/* Since the last time it was asked. */
static bool bell_rings(int timeout_ms)
{
	struct epoll_event ev;

	return epoll_wait(bell, &ev, 1, timeout_ms) == 1;
}

static void begin(void)
{
	struct epoll_event edges = { .events = EPOLLIN | EPOLLET };

	box = mailbox_new();
	bell = epoll_create1(EPOLL_CLOEXEC);
	cr_assert_eq(epoll_ctl(bell, EPOLL_CTL_ADD, mailbox_bell_fd(box), &edges), 0);
	n_seen = 0;
}

static void end(void)
{
	close(bell);
	mailbox_free(box);
}

TestSuite(mailbox, .init = begin, .fini = end, .timeout = 60);

Test(mailbox, runs_in_the_order_posted)
{
	struct note notes[10];

	as_owner();
	for (int i = 0; i < 10; i++) {
		notes[i] = (struct note){ .msg.run = note_run, .number = i };
		cr_expect_eq(
			mailbox_post(box, &notes[i].msg), i == 0, "only the first finds it empty");
	}
	cr_expect_eq(mailbox_waiting(box), 10);
	cr_expect_eq(mailbox_run(box), 10);
	cr_expect_eq(mailbox_waiting(box), 0);
	for (int i = 0; i < 10; i++)
		cr_expect_eq(seen[i], i);
	cr_expect_eq(mailbox_run(box), 0);
}

static struct note second = { .msg.run = note_run, .number = 2 };

static void post_second(struct msg *m)
{
	note_run(m);
	mailbox_post(box, &second.msg);
}

Test(mailbox, what_is_posted_by_a_message_waits_for_the_next_turn)
{
	struct note first = { .msg.run = post_second, .number = 1 };

	as_owner();
	mailbox_post(box, &first.msg);
	cr_expect_eq(mailbox_run(box), 1);
	cr_expect_eq(n_seen, 1);
	cr_expect_eq(mailbox_run(box), 1);
	cr_expect_eq(seen[1], 2);
}

static void free_run(struct msg *m)
{
	n_seen++;
	free(caa_container_of(m, struct note, msg));
}

Test(mailbox, a_message_owns_itself_when_it_runs)
{
	as_owner();
	for (int i = 0; i < 3; i++) {
		struct note *n = calloc(1, sizeof(*n));

		n->msg.run = free_run;
		mailbox_post(box, &n->msg);
	}
	mailbox_run(box);
	cr_expect_eq(n_seen, 3);
}

Test(mailbox, the_bell_costs_nothing_while_the_owner_is_awake)
{
	struct note n = { .msg.run = note_run };

	as_owner();
	mailbox_post(box, &n.msg);
	mailbox_ring(box);
	cr_expect_not(bell_rings(0));
	mailbox_run(box);
}

Test(mailbox, the_bell_wakes_once_and_is_silent_after_waking)
{
	struct note n = { .msg.run = note_run }, m = { .msg.run = note_run };

	as_owner();
	cr_expect(mailbox_may_sleep(box));
	mailbox_post(box, &n.msg);
	mailbox_ring(box);
	mailbox_post(box, &m.msg);
	mailbox_ring(box);
	cr_expect(bell_rings(0));
	mailbox_awake(box);
	cr_expect_not(bell_rings(0));
	mailbox_run(box);
	cr_expect(mailbox_may_sleep(box));
	mailbox_awake(box);
	cr_expect_not(bell_rings(0));
}

Test(mailbox, does_not_sleep_on_a_message)
{
	struct note n = { .msg.run = note_run };

	as_owner();
	mailbox_post(box, &n.msg);
	cr_expect_not(mailbox_may_sleep(box));
	mailbox_ring(box);
	cr_expect_not(bell_rings(0), "it is awake after a refused sleep");
	mailbox_run(box);
}

#define POSTERS 4
#define EACH 20000
static int last_of[POSTERS], total;

static void ordered_run(struct msg *m)
{
	struct note *n = caa_container_of(m, struct note, msg);

	cr_assert_eq(n->number, last_of[n->from] + 1, "poster %d", n->from);
	last_of[n->from] = n->number;
	total++;
	free(n);
}

static void *poster(void *arg)
{
	for (int i = 1; i <= EACH; i++) {
		struct note *n = calloc(1, sizeof(*n));

		n->msg.run = ordered_run;
		n->from = (int)(intptr_t)arg;
		n->number = i;
		if (mailbox_post(box, &n->msg))
			mailbox_ring(box);
	}
	return NULL;
}

Test(mailbox, keeps_each_posters_order_and_loses_no_wakeup)
{
	pthread_t threads[POSTERS];

	as_owner();
	for (intptr_t i = 0; i < POSTERS; i++)
		pthread_create(&threads[i], NULL, poster, (void *)i);
	while (total < POSTERS * EACH) {
		if (mailbox_may_sleep(box)) {
			cr_assert(bell_rings(30000), "slept on %d messages", total);
			mailbox_awake(box);
		}
		mailbox_run(box);
	}
	for (int i = 0; i < POSTERS; i++)
		pthread_join(threads[i], NULL);
	cr_expect_eq(mailbox_waiting(box), 0);
}
