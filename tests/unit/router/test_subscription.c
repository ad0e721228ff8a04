/* Subscriptions: RFC 6121 Appendix A, every cell of every table, and pre-approval (§3.4). */
#include <criterion/criterion.h>

#include "router/subscription.h"

#define NONE 0u
#define TO ((unsigned)CONTACT_TO)
#define FROM ((unsigned)CONTACT_FROM)
#define BOTH ((unsigned)CONTACT_BOTH)
#define OUT ((unsigned)CONTACT_PENDING_OUT)
#define IN ((unsigned)CONTACT_PENDING_IN)
#define OK ((unsigned)CONTACT_APPROVED)

struct row {
	unsigned before;
	bool pass;
	unsigned after;
};

static void check(const char *section, enum stanza_type type, bool out, const struct row *rows)
{
	for (int i = 0; i < 9; i++) {
		const struct row *r = &rows[i];
		struct transition t =
			out ? subscription_out(r->before, type) : subscription_in(r->before, type);

		cr_expect_eq(t.bits & ~OK, r->after, "%s, state %d: %x", section, i, t.bits);
		cr_expect_eq(t.pass, r->pass, "%s, state %d", section, i);
		/* What is beside the subscription stays. */
		t = out ? subscription_out(r->before | CONTACT_LISTED, type)
			: subscription_in(r->before | CONTACT_LISTED, type);
		cr_expect_eq(t.bits & ~OK, r->after | CONTACT_LISTED, "%s, state %d", section, i);
	}
}

Test(subscription, outbound_subscribe)
{
	check("A.2.1", PRES_SUBSCRIBE, true,
		(const struct row[]){ { NONE, true, OUT }, { OUT, true, OUT },
			{ IN, true, OUT | IN }, { OUT | IN, true, OUT | IN }, { TO, true, TO },
			{ TO | IN, true, TO | IN }, { FROM, true, FROM | OUT },
			{ FROM | OUT, true, FROM | OUT }, { BOTH, true, BOTH } });
}

Test(subscription, outbound_unsubscribe)
{
	check("A.2.2", PRES_UNSUBSCRIBE, true,
		(const struct row[]){ { NONE, true, NONE }, { OUT, true, NONE }, { IN, true, IN },
			{ OUT | IN, true, IN }, { TO, true, NONE }, { TO | IN, true, IN },
			{ FROM, true, FROM }, { FROM | OUT, true, FROM }, { BOTH, true, FROM } });
}

Test(subscription, outbound_subscribed)
{
	check("A.2.3", PRES_SUBSCRIBED, true,
		(const struct row[]){ { NONE, false, NONE }, { OUT, false, OUT },
			{ IN, true, FROM }, { OUT | IN, true, FROM | OUT }, { TO, false, TO },
			{ TO | IN, true, BOTH }, { FROM, false, FROM },
			{ FROM | OUT, false, FROM | OUT }, { BOTH, false, BOTH } });
}

Test(subscription, outbound_unsubscribed)
{
	check("A.2.4", PRES_UNSUBSCRIBED, true,
		(const struct row[]){ { NONE, false, NONE }, { OUT, false, OUT },
			{ IN, true, NONE }, { OUT | IN, true, OUT }, { TO, false, TO },
			{ TO | IN, true, TO }, { FROM, true, NONE }, { FROM | OUT, true, OUT },
			{ BOTH, true, TO } });
}

Test(subscription, inbound_subscribe)
{
	check("A.3.1", PRES_SUBSCRIBE, false,
		(const struct row[]){ { NONE, true, IN }, { OUT, true, OUT | IN },
			{ IN, false, IN }, { OUT | IN, false, OUT | IN }, { TO, true, TO | IN },
			{ TO | IN, false, TO | IN }, { FROM, false, FROM },
			{ FROM | OUT, false, FROM | OUT }, { BOTH, false, BOTH } });
}

Test(subscription, inbound_unsubscribe)
{
	check("A.3.2", PRES_UNSUBSCRIBE, false,
		(const struct row[]){ { NONE, false, NONE }, { OUT, false, OUT },
			{ IN, true, NONE }, { OUT | IN, true, OUT }, { TO, false, TO },
			{ TO | IN, true, TO }, { FROM, true, NONE }, { FROM | OUT, true, OUT },
			{ BOTH, true, TO } });
}

Test(subscription, inbound_subscribed)
{
	check("A.3.3", PRES_SUBSCRIBED, false,
		(const struct row[]){ { NONE, false, NONE }, { OUT, true, TO }, { IN, false, IN },
			{ OUT | IN, true, TO | IN }, { TO, false, TO }, { TO | IN, false, TO | IN },
			{ FROM, false, FROM }, { FROM | OUT, true, BOTH }, { BOTH, false, BOTH } });
}

Test(subscription, inbound_unsubscribed)
{
	check("A.3.4", PRES_UNSUBSCRIBED, false,
		(const struct row[]){ { NONE, false, NONE }, { OUT, true, NONE }, { IN, false, IN },
			{ OUT | IN, true, IN }, { TO, true, NONE }, { TO | IN, true, IN },
			{ FROM, false, FROM }, { FROM | OUT, true, FROM }, { BOTH, true, FROM } });
}

Test(subscription, answers_for_the_account) /* §3.1.3: who is subscribed already; §3.4.2 */
{
	static const struct {
		unsigned before, after;
		enum stanza_type answer;
	} rows[] = {
		{ NONE, IN, TYPE_NONE },
		{ IN, IN, TYPE_NONE },
		{ FROM, FROM, PRES_SUBSCRIBED },
		{ BOTH, BOTH, PRES_SUBSCRIBED },
		{ OK, FROM | OK, PRES_SUBSCRIBED },
		{ OK | OUT, FROM | OUT | OK, PRES_SUBSCRIBED },
		{ OK | TO, BOTH | OK, PRES_SUBSCRIBED },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct transition t = subscription_in(rows[i].before, PRES_SUBSCRIBE);

		cr_expect_eq(t.bits, rows[i].after, "row %zu: %x", i, t.bits);
		cr_expect_eq(t.answer, rows[i].answer, "row %zu", i);
		cr_expect(!t.answer || !t.pass, "row %zu: nobody is asked", i);
	}
}

Test(subscription, is_approved_before_it_is_asked_for) /* §3.4.2, §3.4.3 */
{
	static const struct {
		unsigned before;
		enum stanza_type type;
		unsigned after;
	} rows[] = {
		{ NONE, PRES_SUBSCRIBED, OK },
		{ OUT, PRES_SUBSCRIBED, OUT | OK },
		{ TO, PRES_SUBSCRIBED, TO | OK },
		{ IN, PRES_SUBSCRIBED, FROM },
		{ FROM, PRES_SUBSCRIBED, FROM },
		{ BOTH, PRES_SUBSCRIBED, BOTH },
		{ OK, PRES_UNSUBSCRIBED, NONE },
		{ TO | OK, PRES_UNSUBSCRIBED, TO },
		{ FROM | OK, PRES_UNSUBSCRIBED, NONE },
		{ OK, PRES_SUBSCRIBE, OK | OUT },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		cr_expect_eq(subscription_out(rows[i].before, rows[i].type).bits, rows[i].after,
			"row %zu", i);
}

Test(subscription, has_a_name) /* §2.1.2.5 */
{
	cr_expect_str_eq(subscription_name(OUT | IN), "none");
	cr_expect_str_eq(subscription_name(TO | IN), "to");
	cr_expect_str_eq(subscription_name(FROM | OUT | OK), "from");
	cr_expect_str_eq(subscription_name(BOTH), "both");
}
