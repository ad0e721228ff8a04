/* router/subscription.c - RFC 6121 Appendix A. */
#include "router/subscription.h"

/* Appendix A.1, in its order: none, none + pending out, none + pending in, none + both pending, to,
 * to + pending in, from, from + pending out, both. */
enum state { N, NO, NI, NOI, T, TI, F, FO, B, STATES };
static const uint8_t state_bits[STATES] = {
	[N] = 0,
	[NO] = CONTACT_PENDING_OUT,
	[NI] = CONTACT_PENDING_IN,
	[NOI] = CONTACT_PENDING_OUT | CONTACT_PENDING_IN,
	[T] = CONTACT_TO,
	[TI] = CONTACT_TO | CONTACT_PENDING_IN,
	[F] = CONTACT_FROM,
	[FO] = CONTACT_FROM | CONTACT_PENDING_OUT,
	[B] = CONTACT_BOTH,
};

/* Columns: subscribe, unsubscribe, subscribed, unsubscribed, as in A.2.1 to A.2.4 and A.3.1 to
 * A.3.4. */
enum event { SUBSCRIBE, UNSUBSCRIBE, SUBSCRIBED, UNSUBSCRIBED, EVENTS };
struct cell {
	uint8_t state;
	bool pass;
};
#define GO(to)        \
	{             \
		to, 1 \
	}
#define NOT(to)       \
	{             \
		to, 0 \
	}
static const struct cell outbound[STATES][EVENTS] = {
	[N] = { GO(NO), GO(N), NOT(N), NOT(N) },
	[NO] = { GO(NO), GO(N), NOT(NO), NOT(NO) },
	[NI] = { GO(NOI), GO(NI), GO(F), GO(N) },
	[NOI] = { GO(NOI), GO(NI), GO(FO), GO(NO) },
	[T] = { GO(T), GO(N), NOT(T), NOT(T) },
	[TI] = { GO(TI), GO(NI), GO(B), GO(T) },
	[F] = { GO(FO), GO(F), NOT(F), GO(N) },
	[FO] = { GO(FO), GO(F), NOT(FO), GO(NO) },
	[B] = { GO(B), GO(F), NOT(B), GO(T) },
};
static const struct cell inbound[STATES][EVENTS] = {
	[N] = { GO(NI), NOT(N), NOT(N), NOT(N) },
	[NO] = { GO(NOI), NOT(NO), GO(T), GO(N) },
	[NI] = { NOT(NI), GO(N), NOT(NI), NOT(NI) },
	[NOI] = { NOT(NOI), GO(NO), GO(TI), GO(NI) },
	[T] = { GO(TI), NOT(T), NOT(T), GO(N) },
	[TI] = { NOT(TI), GO(T), NOT(TI), GO(NI) },
	[F] = { NOT(F), GO(N), NOT(F), NOT(F) },
	[FO] = { NOT(FO), GO(NO), GO(B), GO(F) },
	[B] = { NOT(B), GO(T), NOT(B), GO(F) },
};

static enum event event_of(enum stanza_type type)
{
	switch (type) {
	case PRES_SUBSCRIBE:
		return SUBSCRIBE;
	case PRES_UNSUBSCRIBE:
		return UNSUBSCRIBE;
	case PRES_SUBSCRIBED:
		return SUBSCRIBED;
	default:
		REQUIRE(type == PRES_UNSUBSCRIBED);
		return UNSUBSCRIBED;
	}
}

static enum state state_of(unsigned bits)
{
	enum state s = N;

	while (s < B && state_bits[s] != (bits & CONTACT_SUBSCRIPTION))
		s++;
	return s;
}

static struct transition apply(const struct cell (*table)[EVENTS], unsigned bits, enum event e)
{
	const struct cell *c = &table[state_of(bits)][e];

	return (struct transition){
		.bits = (bits & ~(unsigned)CONTACT_SUBSCRIPTION) | state_bits[c->state],
		.pass = c->pass,
	};
}

struct transition subscription_out(unsigned bits, enum stanza_type type)
{
	struct transition t = apply(outbound, bits, event_of(type));

	/* §3.4.2: approved before it was asked for; §3.4.3 and §3.2.2: taken back. */
	if (type == PRES_SUBSCRIBED && !t.pass && !(bits & CONTACT_FROM))
		t.bits |= CONTACT_APPROVED;
	if (type == PRES_UNSUBSCRIBED)
		t.bits &= ~(unsigned)CONTACT_APPROVED;
	return t;
}

struct transition subscription_in(unsigned bits, enum stanza_type type)
{
	struct transition t = apply(inbound, bits, event_of(type));

	if (type == PRES_UNSUBSCRIBE && t.pass) /* A.3.2 */
		t.answer = PRES_UNSUBSCRIBED;
	if (type != PRES_SUBSCRIBE)
		return t;
	if (t.bits & CONTACT_PENDING_IN && bits & CONTACT_APPROVED) /* §3.4.2: nobody is asked */
		t = apply(outbound, t.bits, SUBSCRIBED);
	else if (!(bits & CONTACT_FROM))
		return t;
	t.pass = false; /* §3.1.3: it has it already, and may not know */
	t.answer = PRES_SUBSCRIBED;
	return t;
}

const char *subscription_name(unsigned bits)
{
	static const char *const names[] = { "none", "to", "from", "both" };

	return names[bits & CONTACT_BOTH];
}

bool stanza_is_subscription(const struct stanza *s)
{
	return s->type == PRES_SUBSCRIBE || s->type == PRES_SUBSCRIBED ||
		s->type == PRES_UNSUBSCRIBE || s->type == PRES_UNSUBSCRIBED;
}
