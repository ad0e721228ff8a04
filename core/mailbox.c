/* core/mailbox.c - liburcu's wait-free queue with a bell on it.
 * The bell costs a system call only when the owner sleeps: the owner raises `asleep` and looks into
 * the box once more, a poster puts its message in and then looks at `asleep`; both with a full
 * barrier between, so one of the two sees the other. Whoever lowers the flag rings. Nobody reads
 * the bell: each write is an edge, and its counter will not overflow in this universe. A ring that
 * comes when the owner has woken for something else makes its next sleep a short one. */
#include "core/mailbox.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "core/stall.h"

#define CACHE_LINE 64
#define SPINS \
	100 /* a poster between its two steps is done in nanoseconds, unless it lost its core */

struct mailbox {
	/* Posters. */
	struct cds_wfcq_tail tail __attribute__((aligned(CACHE_LINE)));
	_Atomic uint32_t posted; /* relaxed, wraps around */
	_Atomic bool asleep;
	/* The owner. */
	struct __cds_wfcq_head head __attribute__((aligned(CACHE_LINE)));
	_Atomic uint32_t ran; /* relaxed, wraps around; written by the owner alone */
	int bell_fd; /* constant */
	void (*soon)(struct msg *const *m, unsigned n); /* constant; NULL: nobody is told */
};

struct mailbox *mailbox_new(void)
{
	struct mailbox *mb = aligned_alloc(CACHE_LINE, sizeof(*mb));

	REQUIRE(mb);
	__cds_wfcq_init(&mb->head, &mb->tail);
	atomic_init(&mb->posted, 0);
	atomic_init(&mb->asleep, false);
	atomic_init(&mb->ran, 0);
	mb->soon = NULL;
	mb->bell_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	REQUIRE(mb->bell_fd >= 0);
	return mb;
}

void mailbox_free(struct mailbox *mb)
{
	if (!mb)
		return;
	REQUIRE(cds_wfcq_empty(&mb->head, &mb->tail));
	close(mb->bell_fd);
	free(mb);
}

void mailbox_look_ahead(struct mailbox *mb, void (*soon)(struct msg *const *m, unsigned n))
{
	mb->soon = soon;
}

int mailbox_bell_fd(const struct mailbox *mb)
{
	return mb->bell_fd;
}

bool mailbox_post(struct mailbox *mb, struct msg *m)
{
	cds_wfcq_node_init(&m->node);
	atomic_fetch_add_explicit(&mb->posted, 1, memory_order_relaxed);
	tsan_release(m); /* ThreadSanitizer does not see liburcu 0.13's atomics */
	return !cds_wfcq_enqueue(&mb->head, &mb->tail, &m->node); /* m may be gone by now */
}

void mailbox_ring(struct mailbox *mb)
{
	const uint64_t one = 1;
	ssize_t n;

	atomic_thread_fence(memory_order_seq_cst);
	if (!atomic_load_explicit(&mb->asleep, memory_order_relaxed) ||
		!atomic_exchange(&mb->asleep, false))
		return;
	do
		n = write(mb->bell_fd, &one, sizeof(one));
	while (n < 0 && errno == EINTR);
}

/* A poster stands between taking its place and linking it. */
static void await_poster(unsigned *spins)
{
	if (++*spins < SPINS)
		caa_cpu_relax();
	else
		sched_yield();
}

static struct cds_wfcq_node *first_of(struct __cds_wfcq_head *head, struct cds_wfcq_tail *tail)
{
	struct cds_wfcq_node *node;
	unsigned spins = 0;

	while ((node = __cds_wfcq_first_nonblocking(head, tail)) == CDS_WFCQ_WOULDBLOCK)
		await_poster(&spins);
	return node;
}

static struct cds_wfcq_node *after(
	struct __cds_wfcq_head *head, struct cds_wfcq_tail *tail, struct cds_wfcq_node *node)
{
	struct cds_wfcq_node *next;
	unsigned spins = 0;

	while ((next = __cds_wfcq_next_nonblocking(head, tail, node)) == CDS_WFCQ_WOULDBLOCK)
		await_poster(&spins);
	return next;
}

static bool take_all(struct mailbox *mb, struct __cds_wfcq_head *head, struct cds_wfcq_tail *tail)
{
	enum cds_wfcq_ret taken;
	unsigned spins = 0;

	__cds_wfcq_init(head, tail);
	while ((taken = __cds_wfcq_splice_nonblocking(head, tail, &mb->head, &mb->tail)) ==
		CDS_WFCQ_RET_WOULDBLOCK)
		await_poster(&spins);
	return taken != CDS_WFCQ_RET_SRC_EMPTY;
}

static void run_few(struct mailbox *mb, struct msg *const *few, unsigned n)
{
	if (mb->soon && n > 1)
		mb->soon(few, n);
	for (unsigned i = 0; i < n; i++) {
		void (*run)(struct msg * m) = few[i]->run;

		run(few[i]);
		stall_ran("mail", (void *)run);
	}
}

unsigned mailbox_run(struct mailbox *mb)
{
	struct msg *few[MAILBOX_AHEAD];
	struct cds_wfcq_node *node;
	struct __cds_wfcq_head head;
	struct cds_wfcq_tail tail;
	unsigned ran = 0, n;

	if (!take_all(mb, &head, &tail)) /* what is posted from now on waits for the next turn */
		return 0;
	for (node = first_of(&head, &tail); node; ran += n) {
		for (n = 0; node && n < MAILBOX_AHEAD; n++) {
			few[n] = caa_container_of(node, struct msg, node);
			tsan_acquire(few[n]);
			node = after(&head, &tail, node);
		}
		run_few(mb, few, n);
	}
	atomic_fetch_add_explicit(&mb->ran, ran, memory_order_relaxed);
	return ran;
}

bool mailbox_may_sleep(struct mailbox *mb)
{
	atomic_store(&mb->asleep, true);
	atomic_thread_fence(memory_order_seq_cst);
	if (cds_wfcq_empty(&mb->head, &mb->tail))
		return true;
	mailbox_awake(mb);
	return false;
}

void mailbox_awake(struct mailbox *mb)
{
	atomic_store_explicit(&mb->asleep, false, memory_order_relaxed);
}

unsigned mailbox_waiting(const struct mailbox *mb)
{
	uint32_t ran = atomic_load_explicit(&mb->ran, memory_order_relaxed);
	uint32_t waiting = atomic_load_explicit(&mb->posted, memory_order_relaxed) - ran;

	return waiting > INT32_MAX ? 0 : waiting;
}
