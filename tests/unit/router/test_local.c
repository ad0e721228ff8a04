/* The tables of RFC 6121 §8.5 and RFC 6120 §10.5, row by row, without a server. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "router/iq.h"
#include "router/local.h"
#include "xml/builder.h"

enum who { NONE, AVAILABLE, NEGATIVE, CONNECTED, MIXED };

static const char *const kinds[] = { "message", "presence", "iq" };

static struct stanza *make(enum stanza_kind kind, const char *type, const char *to)
{
	struct builder b;

	build_begin(&b, kinds[kind], NS_CLIENT);
	build_attr(&b, "from", "romeo@montague.example/orchard");
	build_attr(&b, "to", to);
	build_attr(&b, "id", "1");
	build_attr(&b, "type", type);
	return build_end(&b);
}

static struct sessions *sessions_of(enum who who)
{
	struct sessions *s;

	if (who == NONE)
		return NULL;
	s = xcalloc(1, sizeof(*s) + 2 * sizeof(s->at[0]));
	s->n = who == MIXED ? 2 : 1;
	s->at[0].available = who != CONNECTED;
	s->at[0].priority = who == NEGATIVE ? -1 : who == MIXED ? 5 : 0;
	s->at[1].available = true;
	s->at[1].priority = -3;
	return s;
}

struct row {
	const char *section;
	enum stanza_kind kind;
	const char *type;
	const char *to;
	enum who who;
	bool match; /* of the full JID */
	enum verdict verdict;
	int detail; /* enum local_to, enum iq_scope or enum stanza_error */
};

static const char bare[] = "juliet@capulet.example";
static const char full[] = "juliet@capulet.example/balcony";
static const char domain[] = "capulet.example";
static const char domain_resource[] = "capulet.example/x";
#define M STANZA_MESSAGE
#define P STANZA_PRESENCE
#define I STANZA_IQ
#define UNAVAILABLE ERR_SERVICE_UNAVAILABLE

static const struct row rows[] = {
	/* RFC 6120 §10.5.1, §10.5.2: the server itself. */
	{ "6120 10.5.1", I, "get", domain, NONE, false, ROUTE_DISPATCH, IQ_LOCAL },
	{ "6120 10.5.1", I, "set", domain, NONE, false, ROUTE_DISPATCH, IQ_LOCAL },
	{ "6120 10.5.1", I, "result", domain, NONE, false, ROUTE_DROP, 0 },
	{ "6120 10.5.1", I, "error", domain, NONE, false, ROUTE_DROP, 0 },
	{ "6120 10.5.1", M, "chat", domain, NONE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "6120 10.5.1", M, "error", domain, NONE, false, ROUTE_DROP, 0 },
	{ "6120 10.5.1", P, NULL, domain, NONE, false, ROUTE_DROP, 0 },
	{ "6120 10.5.2", I, "get", domain_resource, NONE, false, ROUTE_BOUNCE, UNAVAILABLE },
	/* RFC 6121 §8.5.2.1: bare JID, at least one available resource. */
	{ "8.5.2.1.1", M, NULL, bare, AVAILABLE, false, ROUTE_DELIVER, LOCAL_BEST },
	{ "8.5.2.1.1", M, "normal", bare, AVAILABLE, false, ROUTE_DELIVER, LOCAL_BEST },
	{ "8.5.2.1.1", M, "chat", bare, AVAILABLE, false, ROUTE_DELIVER, LOCAL_BEST },
	{ "8.5.2.1.1", M, "chat", bare, MIXED, false, ROUTE_DELIVER, LOCAL_BEST },
	{ "8.5.2.1.1", M, "headline", bare, AVAILABLE, false, ROUTE_DELIVER, LOCAL_NOT_NEGATIVE },
	{ "8.5.2.1.1", M, "groupchat", bare, AVAILABLE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.2.1.1", M, "error", bare, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.2.1.1", M, "unknown-type", bare, AVAILABLE, false, ROUTE_DELIVER, LOCAL_BEST },
	{ "8.5.2.1.2", P, NULL, bare, AVAILABLE, false, ROUTE_DELIVER, LOCAL_AVAILABLE },
	{ "8.5.2.1.2", P, "unavailable", bare, NEGATIVE, false, ROUTE_DELIVER, LOCAL_AVAILABLE },
	{ "8.5.2.1.3", I, "get", bare, AVAILABLE, false, ROUTE_DISPATCH, IQ_SM },
	{ "8.5.2.1.3", I, "set", bare, AVAILABLE, false, ROUTE_DISPATCH, IQ_SM },
	{ "8.5.2.1.3", I, "result", bare, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.2.1.3", I, "error", bare, AVAILABLE, false, ROUTE_DROP, 0 },
	/* §8.5.2.2: bare JID, none available, or none but with negative priority. */
	{ "8.5.2.2.1", M, "normal", bare, CONNECTED, false, ROUTE_STORE, UNAVAILABLE },
	{ "8.5.2.2.1", M, "chat", bare, NONE, false, ROUTE_STORE, UNAVAILABLE },
	{ "8.5.2.2.1", M, "chat", bare, NEGATIVE, false, ROUTE_STORE, UNAVAILABLE },
	{ "8.5.2.2.1", M, "groupchat", bare, NONE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.2.2.1", M, "headline", bare, NONE, false, ROUTE_DROP, 0 },
	{ "8.5.2.2.1", M, "headline", bare, NEGATIVE, false, ROUTE_DROP, 0 },
	{ "8.5.2.2.1", M, "error", bare, NONE, false, ROUTE_DROP, 0 },
	{ "8.5.2.2.2", P, NULL, bare, CONNECTED, false, ROUTE_DROP, 0 },
	{ "8.5.2.2.3", I, "get", bare, CONNECTED, false, ROUTE_DISPATCH, IQ_SM },
	/* §8.5.3.1: full JID of a connected resource. */
	{ "8.5.3.1", M, "chat", full, AVAILABLE, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", M, "groupchat", full, CONNECTED, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", M, "error", full, NEGATIVE, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", P, NULL, full, AVAILABLE, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", P, "unavailable", full, AVAILABLE, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", I, "get", full, CONNECTED, true, ROUTE_DELIVER, LOCAL_ONE },
	{ "8.5.3.1", I, "result", full, AVAILABLE, true, ROUTE_DELIVER, LOCAL_ONE },
	/* §8.5.3.2: full JID that matches nobody. */
	{ "8.5.3.2.1", M, "normal", full, AVAILABLE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.3.2.1", M, "groupchat", full, AVAILABLE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.3.2.1", M, "headline", full, AVAILABLE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.3.2.1", M, "chat", full, AVAILABLE, false, ROUTE_DELIVER, LOCAL_BEST },
	{ "8.5.3.2.1", M, "chat", full, NONE, false, ROUTE_STORE, UNAVAILABLE },
	{ "8.5.3.2.1", M, "error", full, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.3.2.2", P, NULL, full, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.3.2.2", P, "unavailable", full, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.3.2.3", I, "get", full, AVAILABLE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.3.2.3", I, "set", full, NONE, false, ROUTE_BOUNCE, UNAVAILABLE },
	{ "8.5.3.2.3", I, "result", full, AVAILABLE, false, ROUTE_DROP, 0 },
	{ "8.5.3.2.3", I, "error", full, NONE, false, ROUTE_DROP, 0 },
};

static int detail_of(const struct local_decision *d)
{
	switch (d->verdict) {
	case ROUTE_DELIVER:
		return d->to;
	case ROUTE_DISPATCH:
		return d->scope;
	case ROUTE_BOUNCE:
	case ROUTE_STORE:
		return d->error;
	default:
		return 0;
	}
}

Test(local, decides_as_the_tables_say)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct row *r = &rows[i];
		struct stanza *s = make(r->kind, r->type, r->to);
		struct sessions *all = sessions_of(r->who);
		struct local_decision d = local_decide(s, all, r->match ? &all->at[0] : NULL);

		cr_expect_eq(d.verdict, r->verdict, "§%s row %zu: verdict %d, not %d", r->section,
			i, d.verdict, r->verdict);
		cr_expect_eq(detail_of(&d), r->detail, "§%s row %zu: detail %d, not %d", r->section,
			i, detail_of(&d), r->detail);
		free(all);
		stanza_unref(s);
	}
}
