/* net/lookup.c - questions to DNS whose answers become a list of places. All that are possible are
 * asked at once; whoever is the last to answer finishes the step. */
#include "net/lookup.h"

#include <arpa/inet.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "core/mem.h"
#include "core/shard.h"
#include "core/timer.h"
#include "net/dns.h"
#include "net/outgoing_conf.h"
#include "net/srv.h"
#include "xml/precis.h"

#define FAMILIES 2
#define PORT_MAX_TEXT 8

struct lookup;
struct target;

/* A question of ours. */
struct question {
	struct lookup *lookup;
	struct target *target; /* NULL: of the domain */
	struct dns_query *query; /* NULL: not asked, or answered */
	const struct dns_answer *answer; /* counted; NULL: not yet */
	enum dns_type type;
	char name[DNS_NAME_MAX];
};

struct target {
	char host[DNS_NAME_MAX];
	uint16_t port;
	bool direct_tls;
	bool secure; /* it was named under DNSSEC */
	bool refused; /* its certificate cannot be known: not to be used */
	unsigned rank;
	struct question addresses[FAMILIES]; /* by enum outgoing_family */
	struct question tlsa;
	/* Instead of questions: it is an address. */
	int family; /* AF_UNSPEC: it is a name */
	uint8_t address[16];
};

struct lookup {
	char *domain; /* as given */
	char ascii[DNS_NAME_MAX]; /* as DNS has it */
	struct telling *telling;
	lookup_done_fn *done;
	void *arg;
	struct timer soon; /* for what is known without asking */
	/* Of the settings when it began. */
	uint16_t port;
	unsigned n_families;
	enum outgoing_family families[FAMILIES];

	struct question srv[2]; /* direct TLS first: of two that are equal in all, it is better */
	unsigned asking; /* questions without an answer */
	unsigned n_targets;
	struct target targets[LOOKUP_TARGETS_MAX];
	enum places_outcome outcome; /* when there is nothing */
	char why[TELLING_MAX];
};
#define DIRECT 0
#define STARTTLS 1
static const char *const services[] = { "_xmpps-server._tcp", "_xmpp-server._tcp" };

static uint32_t lot(uint32_t below)
{
	uint64_t drawn;

	REQUIRE(getrandom(&drawn, sizeof(drawn), 0) == sizeof(drawn));
	return (uint32_t)(drawn % below);
}

/* ---- Its end. ---- */

static void release(struct question *q)
{
	dns_answer_unref(q->answer);
	q->answer = NULL;
}

static void lookup_free(struct lookup *l)
{
	for (unsigned i = 0; i < ARRAY_LEN(l->srv); i++)
		release(&l->srv[i]);
	for (unsigned i = 0; i < l->n_targets; i++) {
		release(&l->targets[i].addresses[OUTGOING_IPV4]);
		release(&l->targets[i].addresses[OUTGOING_IPV6]);
		release(&l->targets[i].tlsa);
	}
	free(l->domain);
	free(l);
}

static ON_SHARD void conclude(struct lookup *l, struct places *p)
{
	lookup_done_fn *done = l->done;
	void *arg = l->arg;

	lookup_free(l);
	done(p, arg);
	places_unref(p);
}

static PRINTF_LIKE(3, 4) void settle(
	struct lookup *l, enum places_outcome outcome, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(l->why, sizeof(l->why), format, args);
	va_end(args);
	l->outcome = outcome;
}

static struct places *places_new(unsigned max)
{
	struct places *p = xcalloc(1, sizeof(*p) + max * sizeof(struct place));

	atomic_init(&p->refs, 1);
	return p;
}

/* ---- The places of a target. ---- */

static void set_address(
	struct place *p, enum outgoing_family family, const uint8_t *address, uint16_t port)
{
	if (family == OUTGOING_IPV6) {
		p->address.in6.sin6_family = AF_INET6;
		p->address.in6.sin6_port = htons(port);
		memcpy(&p->address.in6.sin6_addr, address, 16);
	} else {
		p->address.in.sin_family = AF_INET;
		p->address.in.sin_port = htons(port);
		memcpy(&p->address.in.sin_addr, address, 4);
	}
	p->port = port;
}

static void add_place(struct places *to, const struct target *t, enum outgoing_family family,
	const uint8_t *address, bool secure)
{
	struct place *p = &to->at[to->n];

	if (to->n == PLACES_MAX)
		return;
	to->n++;
	set_address(p, family, address, t->port);
	p->direct_tls = t->direct_tls;
	p->secure = secure;
	p->rank = t->rank;
	p->host = xstrdup(t->host);
	if (secure && t->tlsa.answer && t->tlsa.answer->secure && t->tlsa.answer->n)
		p->tlsa = dns_answer_ref(t->tlsa.answer);
}

static unsigned count_of(const struct question *q)
{
	unsigned n = q->answer ? q->answer->n : 0;

	return n < LOOKUP_ADDRESSES_MAX ? n : LOOKUP_ADDRESSES_MAX;
}

/* RFC 8305 §4: by turns, the preferred family first. */
static void add_places(struct lookup *l, struct places *to, const struct target *t)
{
	if (t->family != AF_UNSPEC) {
		add_place(to, t, t->family == AF_INET6 ? OUTGOING_IPV6 : OUTGOING_IPV4, t->address,
			t->secure);
		return;
	}
	for (unsigned i = 0; i < LOOKUP_ADDRESSES_MAX; i++)
		for (unsigned f = 0; f < l->n_families; f++) {
			const struct question *q = &t->addresses[l->families[f]];

			if (i < count_of(q))
				add_place(to, t, l->families[f], q->answer->at[i].ipv6,
					t->secure && q->answer->secure);
		}
}

static void tell_places(const struct lookup *l, const struct places *p)
{
	char text[PLACE_TEXT_MAX];

	for (unsigned i = 0; i < p->n; i++) {
		const struct place *at = &p->at[i];

		tell(l->telling, "place %u: %s (%s), %s%s%s", i + 1, place_text(at, text), at->host,
			at->direct_tls ? "direct TLS" : "STARTTLS", at->secure ? ", validated" : "",
			at->tlsa ? ", TLSA" : "");
	}
}

static bool failed(const struct question *q)
{
	return q->answer && q->answer->outcome == DNS_FAILED;
}

static bool is_no_name(const struct lookup *l)
{
	const struct dns_answer *a =
		l->n_targets ? l->targets[0].addresses[l->families[0]].answer : NULL;

	return a && a->outcome == DNS_NO_NAME;
}

/* Why no target has an address. */
static void settle_addresses(struct lookup *l)
{
	for (unsigned i = 0; i < l->n_targets; i++) {
		const struct target *t = &l->targets[i];

		for (unsigned f = 0; f < FAMILIES; f++)
			if (failed(&t->addresses[f])) {
				settle(l, PLACES_UNKNOWN, "the address of %s is not known: %s",
					t->host, t->addresses[f].answer->why);
				return;
			}
		if (t->refused) {
			settle(l, PLACES_UNKNOWN, "the certificate of %s cannot be known: %s",
				t->host, t->tlsa.answer->why);
			return;
		}
	}
	settle(l, PLACES_NONE, is_no_name(l) ? "there is no %s in DNS" : "%s has no address",
		l->n_targets ? l->targets[0].host : l->ascii);
}

static ON_SHARD void finish(struct lookup *l)
{
	struct places *p = places_new(PLACES_MAX);

	for (unsigned i = 0; i < l->n_targets; i++)
		if (!l->targets[i].refused)
			add_places(l, p, &l->targets[i]);
	if (!p->n && !l->why[0])
		settle_addresses(l);
	p->outcome = p->n ? PLACES_FOUND : l->outcome;
	p->why = xstrdup(p->n ? "" : l->why);
	tell_places(l, p);
	if (!p->n)
		tell(l->telling, "nothing found: %s", p->why);
	conclude(l, p);
}

static void finish_soon(struct timer *t)
{
	shard_check(NULL);
	finish(caa_container_of(t, struct lookup, soon));
}

/* ---- Asking. ---- */

static void tell_record(
	const struct lookup *l, const struct dns_answer *a, const struct dns_record *r)
{
	char text[INET6_ADDRSTRLEN];

	switch (a->type) {
	case DNS_A:
	case DNS_AAAA:
		tell(l->telling, "- %s",
			inet_ntop(a->type == DNS_A ? AF_INET : AF_INET6, r->ipv6, text,
				sizeof(text)));
		break;
	case DNS_SRV:
		tell(l->telling, "- priority %u, weight %u: %s port %u", (unsigned)r->srv.priority,
			(unsigned)r->srv.weight, r->srv.target[0] ? r->srv.target : ".",
			(unsigned)r->srv.port);
		break;
	case DNS_TLSA:
		tell(l->telling, "- usage %u, selector %u, matching %u, %u bytes",
			(unsigned)r->tlsa.usage, (unsigned)r->tlsa.selector,
			(unsigned)r->tlsa.matching, (unsigned)r->tlsa.len);
		break;
	}
}

static void tell_answer(const struct question *q, const struct dns_reply *r)
{
	static const char *const outcomes[] = { "found", "no such records", "no such name" };
	const struct dns_answer *a = r->answer;
	struct telling *t = q->lookup->telling;

	if (a->outcome == DNS_FAILED) {
		tell(t, "%s %s: %s", q->name, dns_type_name(q->type), a->why);
		return;
	}
	tell(t, "%s %s: %s, for %u s%s%s", q->name, dns_type_name(q->type), outcomes[a->outcome],
		r->left_s, a->secure ? ", validated" : "", r->cached ? ", known already" : "");
	for (unsigned i = 0; i < a->n; i++)
		tell_record(q->lookup, a, &a->at[i]);
}

static ON_SHARD void answered(struct question *q);

static void reply_came(const struct dns_reply *r, void *arg)
{
	struct question *q = arg;

	shard_check(NULL);
	q->query = NULL;
	q->answer = dns_answer_ref(r->answer);
	q->lookup->asking--;
	tell_answer(q, r);
	answered(q);
}

/* False: such a name cannot be asked for. */
static ON_SHARD bool ask(struct lookup *l, struct target *t, struct question *q, enum dns_type type,
	const char *before, const char *name)
{
	char full[DNS_NAME_MAX];
	int len = snprintf(full, sizeof(full), "%s%s%s", before, *before ? "." : "", name);

	if (len <= 0 || len >= DNS_NAME_MAX)
		return false;
	memcpy(q->name, full, (size_t)len + 1);
	q->lookup = l;
	q->target = t;
	q->type = type;
	q->query = dns_ask(q->name, type, reply_came, q);
	l->asking++;
	tell(l->telling, "%s %s: asked for", q->name, dns_type_name(type));
	return true;
}

static ON_SHARD void ask_addresses(struct lookup *l, struct target *t)
{
	static const enum dns_type types[] = {
		[OUTGOING_IPV4] = DNS_A, [OUTGOING_IPV6] = DNS_AAAA
	};

	for (unsigned f = 0; f < l->n_families; f++)
		ask(l, t, &t->addresses[l->families[f]], types[l->families[f]], "", t->host);
}

static struct target *add_target(struct lookup *l, const char *host, uint16_t port, bool direct_tls)
{
	struct target *t = &l->targets[l->n_targets];

	if (l->n_targets == LOOKUP_TARGETS_MAX)
		return NULL;
	l->n_targets++;
	snprintf(t->host, sizeof(t->host), "%s", host);
	t->port = port;
	t->direct_tls = direct_tls;
	t->family = AF_UNSPEC;
	if (inet_pton(AF_INET, t->host, t->address) == 1)
		t->family = AF_INET;
	else if (inet_pton(AF_INET6, t->host, t->address) == 1)
		t->family = AF_INET6;
	return t;
}

/* ---- Answers of addresses, then TLSA. ---- */

/* All addresses that it has were validated, one at least. */
static bool is_secure(const struct target *t)
{
	unsigned n = 0;

	if (!t->secure)
		return false;
	for (unsigned f = 0; f < FAMILIES; f++) {
		const struct dns_answer *a = t->addresses[f].answer;

		if (a && a->n && !a->secure)
			return false;
		n += a ? a->n : 0;
	}
	return n > 0;
}

static bool is_asking(const struct target *t)
{
	return t->addresses[OUTGOING_IPV4].query || t->addresses[OUTGOING_IPV6].query;
}

static ON_SHARD void address_came(struct lookup *l, struct target *t)
{
	char before[PORT_MAX_TEXT + sizeof("_._tcp")];

	if (is_asking(t) || !is_secure(t))
		return;
	snprintf(before, sizeof(before), "_%u._tcp", (unsigned)t->port);
	ask(l, t, &t->tlsa, DNS_TLSA, before, t->host);
}

/* RFC 7673 §3.3 by way of RFC 7672 §2.1.2: who keeps us from knowing what the certificate has to be
 * like shall gain nothing by it. */
static void tlsa_came(struct lookup *l, struct target *t)
{
	if (!failed(&t->tlsa))
		return;
	t->refused = true;
	tell(l->telling, "%s is left out, as its TLSA records cannot be known", t->host);
}

/* ---- Answers of SRV. ---- */

static unsigned gather_srv(struct lookup *l, struct srv_choice *out)
{
	unsigned n = 0;

	for (unsigned s = 0; s < ARRAY_LEN(l->srv); s++) {
		const struct dns_answer *a = l->srv[s].answer;

		for (unsigned i = 0; i < a->n; i++)
			if (a->at[i].srv.target[0])
				out[n++] = (struct srv_choice){ a->at[i].srv.priority,
					a->at[i].srv.weight, s * DNS_RECORDS_MAX + i };
	}
	return n;
}

static ON_SHARD void take_srv(struct lookup *l, const struct srv_choice *choices, unsigned n)
{
	unsigned rank = 0;

	for (unsigned i = 0; i < n; i++) {
		const struct dns_answer *a = l->srv[choices[i].index / DNS_RECORDS_MAX].answer;
		const struct dns_srv *srv = &a->at[choices[i].index % DNS_RECORDS_MAX].srv;
		struct target *t =
			add_target(l, srv->target, srv->port, a == l->srv[DIRECT].answer);

		if (!t) {
			tell(l->telling, "only the first %d records are used", LOOKUP_TARGETS_MAX);
			return;
		}
		rank += i && choices[i].priority != choices[i - 1].priority;
		t->rank = rank;
		t->secure = a->secure;
	}
}

static bool has_srv(const struct lookup *l)
{
	return l->srv[DIRECT].answer->n || l->srv[STARTTLS].answer->n;
}

/* RFC 6120 §3.2.2; also when nobody answered (§3.2.1 step 9), and securely where it was validated
 * that there is nothing. */
static ON_SHARD void fall_back(struct lookup *l)
{
	struct target *t = add_target(l, l->ascii, l->port, false);

	t->secure = l->srv[DIRECT].answer->secure && l->srv[STARTTLS].answer->secure;
	tell(l->telling, "no SRV records: the domain's own addresses and port %u",
		(unsigned)l->port);
}

static ON_SHARD void srv_came(struct lookup *l)
{
	struct srv_choice choices[2 * DNS_RECORDS_MAX];
	unsigned n;

	if (l->srv[DIRECT].query || l->srv[STARTTLS].query)
		return;
	n = gather_srv(l, choices);
	srv_order(choices, n, lot);
	if (n)
		take_srv(l, choices, n);
	else if (has_srv(l)) /* XEP-0368 §3: nor then the domain's own addresses */
		settle(l, PLACES_NONE, "%s says that it has no XMPP server", l->ascii);
	else
		fall_back(l);
	for (unsigned i = 0; i < l->n_targets; i++)
		if (l->targets[i].family == AF_UNSPEC)
			ask_addresses(l, &l->targets[i]);
}

/* The last answer may be the end. */
static ON_SHARD void answered(struct question *q)
{
	struct lookup *l = q->lookup;

	if (!q->target)
		srv_came(l);
	else if (q == &q->target->tlsa)
		tlsa_came(l, q->target);
	else
		address_came(l, q->target);
	if (!l->asking)
		finish(l);
}

/* ---- Its beginning. ---- */

static const struct fixed_places *find_fixed(const struct outgoing_conf *c, const char *domain)
{
	const struct fixed_places *at = c->places.at;

	for (size_t i = 0; i < c->places.n; i++)
		if (!strcmp(at[i].domain, domain))
			return &at[i];
	return NULL;
}

static ON_SHARD void take_fixed(struct lookup *l, const struct fixed_places *f)
{
	const struct fixed_place *at = f->at.at;

	tell(l->telling, "the settings have the places of %s (s2s_places)", l->domain);
	for (size_t i = 0; i < f->at.n; i++) {
		const char *host = at[i].host ? at[i].host : l->ascii;
		struct target *t =
			add_target(l, host, at[i].port ? (uint16_t)at[i].port : l->port, at[i].tls);

		if (!t)
			return;
		t->rank = (unsigned)i;
		t->secure = t->family == AF_UNSPEC; /* the settings are as good as DNSSEC */
		if (t->secure)
			ask_addresses(l, t);
	}
	if (!l->n_targets)
		settle(l, PLACES_NONE, "the settings say that %s has no place", l->domain);
}

/* "192.0.2.1" and "[2001:db8::1]". */
static bool take_literal(struct lookup *l)
{
	char inside[INET6_ADDRSTRLEN];
	size_t len = strlen(l->domain);
	uint8_t address[16];

	if (inet_pton(AF_INET, l->domain, address) == 1) {
		snprintf(inside, sizeof(inside), "%s", l->domain);
	} else {
		if (len < 3 || len - 2 >= sizeof(inside) || l->domain[0] != '[')
			return false;
		memcpy(inside, l->domain + 1, len - 2);
		inside[len - 2] = 0;
		if (inet_pton(AF_INET6, inside, address) != 1)
			return false;
	}
	add_target(l, inside, l->port, false);
	tell(l->telling, "%s is an address", l->domain);
	return true;
}

static bool ends_with(const char *text, const char *end)
{
	size_t len = strlen(text), end_len = strlen(end);

	return len >= end_len && !strcmp(text + len - end_len, end);
}

static ON_SHARD void take_domain(struct lookup *l)
{
	if (!l->ascii[0])
		settle(l, PLACES_NONE, "%s is no name that DNS could have", l->domain);
	else if (ends_with(l->ascii, ".onion")) /* RFC 7686 §2 */
		settle(l, PLACES_NONE, "names of .onion are not in DNS");
	else if (!ask(l, NULL, &l->srv[DIRECT], DNS_SRV, services[DIRECT], l->ascii) ||
		!ask(l, NULL, &l->srv[STARTTLS], DNS_SRV, services[STARTTLS], l->ascii))
		settle(l, PLACES_NONE, "%s is longer than names in DNS are", l->domain);
}

static void take_conf(struct lookup *l, const struct outgoing_conf *c)
{
	const int *families = c->families.at;

	l->port = (uint16_t)c->port;
	for (size_t i = 0; i < c->families.n && l->n_families < FAMILIES; i++)
		if (!i || families[i] != families[0])
			l->families[l->n_families++] = (enum outgoing_family)families[i];
}

struct lookup *lookup_start(const char *domain, struct telling *t, lookup_done_fn *done, void *arg)
{
	const struct outgoing_conf *c = outgoing_conf();
	const struct fixed_places *f = find_fixed(c, domain);
	struct lookup *l = xcalloc(1, sizeof(*l));

	l->domain = xstrdup(domain);
	l->telling = t;
	l->done = done;
	l->arg = arg;
	timer_init(&l->soon, finish_soon);
	take_conf(l, c);
	if (precis_domain_ascii(domain, strlen(domain), l->ascii, sizeof(l->ascii) - 1) < 0)
		l->ascii[0] = 0;
	if (f)
		take_fixed(l, f);
	else if (!take_literal(l))
		take_domain(l);
	if (!l->asking)
		timer_set(&l->soon, 0);
	return l;
}

static ON_SHARD void cancel(struct question *q)
{
	dns_cancel(q->query);
	q->query = NULL;
}

void lookup_cancel(struct lookup *l)
{
	if (!l)
		return;
	timer_cancel(&l->soon);
	for (unsigned i = 0; i < ARRAY_LEN(l->srv); i++)
		cancel(&l->srv[i]);
	for (unsigned i = 0; i < l->n_targets; i++) {
		cancel(&l->targets[i].addresses[OUTGOING_IPV4]);
		cancel(&l->targets[i].addresses[OUTGOING_IPV6]);
		cancel(&l->targets[i].tlsa);
	}
	lookup_free(l);
}
