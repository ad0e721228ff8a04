/* What router/acks.h promises: h of XEP-0198 §4, whatever completes in whatever order. */
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/mem.h"
#include "router/acks.h"
#include "router/deliver.h"
#include "tests/support/on_shard.h"
#include "xml/builder.h"

/* A session without a stream. */
static struct client {
	struct actor actor;
	struct session session;
	struct acks acks;
	unsigned told; /* how often h moved */
} client;

static struct session *session_of(struct actor *a)
{
	return &caa_container_of(a, struct client, actor)->session;
}

static const struct recipient recipient = { .session = session_of };
static const struct actor_class class = { .name = "client", .recipient = &recipient };

static void covered(struct acks *a)
{
	caa_container_of(a, struct client, acks)->told++;
}

static void make(void *handled)
{
	memset(&client, 0, sizeof(client));
	actor_begin(&client.actor, &class);
	client.session.id = client.acks.session = client.actor.id;
	client.acks.covered = covered;
	client.acks.handled = *(uint32_t *)handled;
	client.acks.key = 7;
	rcu_set(client.session.acks, &client.acks);
}

static void unmake(void *unused UNUSED)
{
	actor_end(&client.actor);
	acks_fini(&client.acks);
}

static void begin(void)
{
	rcu_thread_begin();
	cr_assert_eq(shards_start(1), 0);
}

static void end(void)
{
	shards_stop();
	rcu_thread_end();
}
TestSuite(acks, .init = begin, .fini = end);

/* False: it was handled before. */
static bool comes(const char *id)
{
	struct builder b;
	bool taken;

	build_begin(&b, "message", NS_CLIENT);
	build_attr(&b, "id", id);
	stanza_read_head(b.stanza);
	taken = acks_begin_stanza(&client.session, b.stanza);
	cr_expect_eq(b.stanza->ack_session, 7);
	cr_expect_eq(b.stanza->ack_number, client.acks.handled);
	stanza_unref(b.stanza);
	return taken;
}

static uint32_t h(void)
{
	return acks_covered(&client.acks);
}

/* from: what h is before; so the same around 2^32. */
static void check_order(void *from_)
{
	uint32_t from = *(uint32_t *)from_;
	struct ack_ticket one, two, more, none;

	make(&from);
	cr_expect_eq(ack_begin().session.v, 0, "nobody's");
	comes("1");
	acks_end_stanza();
	cr_expect_eq(h(), from + 1, "handled is done");
	comes("2");
	one = ack_begin();
	more = ack_begin();
	acks_end_stanza();
	comes("3");
	two = ack_begin();
	acks_end_stanza();
	comes("4");
	acks_end_stanza();
	none = ack_here();
	ack_complete(none);
	cr_expect_eq(h(), from + 1, "the second is open");
	ack_complete(two);
	cr_expect_eq(h(), from + 1, "a later one does not help");
	ack_complete(one);
	cr_expect_eq(h(), from + 1, "one of its two tickets");
	cr_expect_eq(client.told, 0);
	ack_complete(more);
	cr_expect_eq(h(), from + 4, "all behind it, too");
	cr_expect_eq(client.told, 1);
	unmake(NULL);
	ack_complete(one); /* gone */
}

Test(acks, cover_in_order)
{
	static uint32_t from[] = { 0, 41, UINT32_MAX - 2, UINT32_MAX };

	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		on_shard(0, check_order, &from[i]);
}

/* What a session keeps of it. */
static void check_above(const uint32_t checks[])
{
	struct ack_skip above[5];

	cr_assert_eq(acks_recovered_above(7, 4, NULL), 4);
	acks_recovered_above(7, 4, above);
	for (size_t i = 0; i < 4; i++) {
		static const uint32_t numbers[] = { 5, 6, 8, 10 };

		cr_expect_eq(above[i].number, numbers[i]);
		cr_expect_eq(above[i].check, checks[numbers[i] - 5]);
	}
	cr_expect_eq(acks_recovered_above(9, 0, NULL), 0);
}

/* What a process before has handled of the session's stanzas, found in any order, and twice. */
static void check_recovered(void *unused UNUSED)
{
	static const char *const ids[] = { "5", "6", "7", "8", "9", "10" };
	uint32_t zero = 0, checks[ARRAY_LEN(ids)];

	make(&zero);
	for (size_t i = 0; i < ARRAY_LEN(ids); i++) { /* which check an id has */
		struct builder b;

		build_begin(&b, "message", NS_CLIENT);
		build_attr(&b, "id", ids[i]);
		stanza_read_head(b.stanza);
		acks_begin_stanza(&client.session, b.stanza);
		acks_end_stanza();
		checks[i] = b.stanza->ack_check;
		stanza_unref(b.stanza);
	}
	/* Kept: 4. Done: 3 and 5 and 6, 8, 10. Another session: 7. */
	acks_recover_begin();
	acks_recover_handled(7, 10, checks[5]);
	acks_recover_handled(8, 7, checks[2]);
	acks_recover_handled(7, 6, checks[1]);
	acks_recover_handled(7, 8, checks[3]);
	acks_recover_handled(7, 5, checks[0]);
	acks_recover_handled(7, 8, checks[3]);
	acks_recover_handled(7, 3, 0);
	acks_recover_handled(0, 7, checks[2]);
	acks_recover_all();
	check_above(checks);
	acks_recovered(&client.acks, 4);
	cr_expect_eq(h(), 6);
	cr_expect_eq(client.acks.n_skip, 2);
	cr_expect(comes("7"));
	cr_expect_not(comes("8"));
	cr_expect_eq(h(), 8);
	acks_release(&client.acks);
	cr_expect_eq(client.acks.n_skip, 2, "one is to come");
	cr_expect(comes("9"));
	cr_expect(comes("something else"), "a client that does not send again");
	cr_expect(comes("10"));
	acks_end_stanza();
	cr_expect_eq(h(), 11);
	cr_expect_eq(client.acks.n_skip, 0);
	acks_recover_end();
	unmake(NULL);
}

/* They are known until h covers them, not until they have come: the process may be killed again. */
static void check_kept(void *unused UNUSED)
{
	uint32_t zero = 0;
	struct ack_ticket first;

	make(&zero);
	comes("");
	acks_recover_begin();
	acks_recover_handled(7, 4, 2166136261u);
	acks_recover_handled(7, 3, 2166136261u);
	acks_recover_all();
	acks_recovered(&client.acks, 1);
	cr_expect_eq(client.acks.n_skip, 2);
	cr_expect(comes(""));
	first = ack_begin();
	acks_end_stanza();
	cr_expect_not(comes(""));
	cr_expect_not(comes(""));
	acks_release(&client.acks);
	cr_expect_eq(client.acks.n_skip, 2, "the second is being stored");
	ack_complete(first);
	acks_release(&client.acks);
	cr_expect_eq(h(), 4);
	cr_expect_eq(client.acks.n_skip, 0);
	cr_expect(comes(""), "h has passed them");
	acks_end_stanza();
	acks_recover_end();
	unmake(NULL);
}

Test(acks, what_was_done_beyond_a_gap_is_kept)
{
	on_shard(0, check_kept, NULL);
}

Test(acks, what_was_done_is_not_done_again)
{
	on_shard(0, check_recovered, NULL);
}

Test(acks, messages_in_queues)
{
	cr_expect_not(acks_recovered_message(5));
	for (uint64_t id = 3000; id; id -= 3)
		acks_recover_message(id);
	cr_expect(acks_recovered_message(3));
	cr_expect(acks_recovered_message(1500));
	cr_expect_not(acks_recovered_message(1501));
	cr_expect_not(acks_recovered_message(0));
	acks_recover_end();
	cr_expect_not(acks_recovered_message(3));
}
