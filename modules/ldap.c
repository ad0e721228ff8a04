/* modules/ldap.c - connections to a directory, by libldap. One connection serves one call at a
 * time. Those that ask are bound as ldap_rootdn and those that try passwords as whoever came last,
 * so they lie idle in two stacks. */
#include "modules/ldap.h"

#include <errno.h>
#include <ldap.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"

#define PAGE 500 /* entries: RFC 2696 */

static const char *const encrypt_words[] = { "none|false|no", "starttls", "tls", NULL };
static const char *const verify_words[] = { "false|no", "soft", "hard|true|yes", NULL };
static const char *const deref_words[] = { "never", "searching", "finding", "always", NULL };
_Static_assert(LDAP_DEREF_NEVER == 0 && LDAP_DEREF_SEARCHING == 1 && LDAP_DEREF_FINDING == 2 &&
		LDAP_DEREF_ALWAYS == 3,
	"deref_words in libldap's order");

static const struct conf_item server_item[] = {
	{ "server", CONF_STRING, 0, .help = "A name or an address." }, { 0 }
};
static const struct conf_item uid_item[] = {
	{ "pattern", CONF_STRING, FIELD(struct ldap_uid, pattern, const char *),
		.help = "What stands in the attribute: `%u` is the user, `%d` the host." },
	{ 0 }
};
const struct conf_item ldap_items[] = {
	{ "ldap_servers", CONF_LIST, FIELD(struct ldap_conf, servers, struct conf_list),
		.preset = "[localhost]", .item = server_item, .item_size = sizeof(const char *),
		.help = "Servers, asked in this order: the first that answers is used." },
	{ "ldap_backups", CONF_LIST, FIELD(struct ldap_conf, backups, struct conf_list),
		.item = server_item, .item_size = sizeof(const char *),
		.help = "Servers to ask when none of those answers." },
	{ "ldap_port", CONF_INT, FIELD(struct ldap_conf, port, int64_t), .max = 65535,
		.preset = "0", .help = "Their port; 0: 389, or 636 with ldap_encrypt tls." },
	{ "ldap_encrypt", CONF_ENUM, FIELD(struct ldap_conf, encrypt, int), .preset = "none",
		.words = encrypt_words,
		.help = "`starttls`: TLS on the usual port, before anything is said; `tls`: from "
			"the first byte, on a port of its own; `none`: passwords pass in the "
			"clear, which is for a server on this machine." },
	{ "ldap_tls_verify", CONF_ENUM, FIELD(struct ldap_conf, verify, int), .preset = "hard",
		.words = verify_words,
		.help = "Whether the server's certificate must be valid for its name: `hard`; "
			"`soft`, a bad one is refused and none is fine; `false`, any is." },
	{ "ldap_tls_cacertfile", CONF_PATH, FIELD(struct ldap_conf, cacertfile, const char *),
		.help = "A PEM file with the authorities that may vouch for it; without it, the "
			"system's." },
	{ "ldap_rootdn", CONF_STRING, FIELD(struct ldap_conf, rootdn, const char *),
		.example = "\"cn=linnet,dc=example,dc=org\"",
		.help = "Whom to bind as to look for users; without it, nobody." },
	{ "ldap_password", CONF_SECRET, FIELD(struct ldap_conf, password, const char *),
		.help = "The password of ldap_rootdn." },
	{ "ldap_base", CONF_STRING, FIELD(struct ldap_conf, base, const char *), .required = true,
		.example = "\"ou=people,dc=example,dc=org\"",
		.help = "The entry below which users are." },
	{ "ldap_deref_aliases", CONF_ENUM, FIELD(struct ldap_conf, deref, int), .preset = "never",
		.words = deref_words, .help = "When aliases are followed." },
	{ "ldap_uids", CONF_MAP, FIELD(struct ldap_conf, uids, struct conf_list),
		.preset = "{uid: \"%u\"}", .item = uid_item, .item_size = sizeof(struct ldap_uid),
		.help = "Attributes that name a user, each with what stands in it: `{mail: "
			"\"%u@%d\"}`." },
	{ "ldap_filter", CONF_STRING, FIELD(struct ldap_conf, filter, const char *),
		.example = "\"(objectClass=inetOrgPerson)\"",
		.help = "Of these entries, only those that this filter (RFC 4515) fits." },
	{ "ldap_group_filter", CONF_STRING, FIELD(struct ldap_conf, group_filter, const char *),
		.example = "\"(&(cn=chat)(member=%D))\"",
		.help = "A user may log in only when this filter finds something: `%D` is the DN "
			"of "
			"the user's entry, `%u` the user, `%d` the host." },
	{ "ldap_group_base", CONF_STRING, FIELD(struct ldap_conf, group_base, const char *),
		.help = "Where it looks; without it, ldap_base." },
	{ "ldap_timeout", CONF_TIME, FIELD(struct ldap_conf, timeout_ms, int64_t), .preset = "5 s",
		.min = 100, .max = 60000,
		.help = "How long a server may take to connect, and for each answer." },
	{ "ldap_pool_size", CONF_INT, FIELD(struct ldap_conf, pool_size, int64_t), .preset = "4",
		.min = 1, .max = 64, .unit = "questions", .help = "So many are asked at once." },
	{ 0 }
};

static struct metric connections_metric =
	METRIC_GAUGE("ldap_connections", "Connections to directories.");
static struct metric failures_metric =
	METRIC_COUNTER("ldap_failures_total", "Questions to directories that got no answer.");

/* --- settings -------------------------------------------------------------------------------- */

/* Brackets balance, and something is in them: the server says the rest. */
static bool is_filter(const char *filter)
{
	int depth = 0;

	if (*filter != '(')
		return false;
	for (const char *c = filter; *c; c++) {
		depth += (*c == '(') - (*c == ')');
		if (depth < 0 || (depth == 0 && c[1]))
			return false;
	}
	return depth == 0 && strlen(filter) > 2;
}

static const char *check_servers(const struct conf_list *list)
{
	const char *const *servers = list->at;

	for (size_t i = 0; i < list->n; i++)
		if (!*servers[i] || strpbrk(servers[i], "/ ,[]"))
			return "ldap_servers and ldap_backups are names or addresses, without "
			       "ldap://, which ldap_encrypt says";
	return NULL;
}

const char *ldap_conf_check(const struct ldap_conf *conf, struct arena *a UNUSED)
{
	const struct ldap_uid *uids = conf->uids.at;
	const char *wrong = check_servers(&conf->servers);

	if (!wrong)
		wrong = check_servers(&conf->backups);
	if (!conf->servers.n)
		wrong = "ldap_servers names none";
	if (!conf->uids.n)
		wrong = "ldap_uids names no attribute";
	for (size_t i = 0; i < conf->uids.n; i++)
		if (!uids[i].pattern || !strstr(uids[i].pattern, "%u"))
			wrong = "a pattern of ldap_uids has no %u";
	if (conf->filter && !is_filter(conf->filter))
		wrong = "ldap_filter is no filter: RFC 4515, as (objectClass=inetOrgPerson)";
	if (conf->group_filter && !is_filter(conf->group_filter))
		wrong = "ldap_group_filter is no filter: RFC 4515, as (&(cn=chat)(member=%D))";
	if (conf->password && !conf->rootdn)
		wrong = "there is an ldap_password, but no ldap_rootdn";
	return wrong;
}

/* --- connections ----------------------------------------------------------------------------- */

enum use { USE_ASK, USE_BIND, USES };

struct connection {
	struct connection *next; /* that lies idle below it */
	LDAP *ld;
	bool fresh; /* nobody has used it */
};
struct ldap_pool {
	struct arena arena;
	struct ldap_conf conf; /* its strings are in the arena */
	const char **servers; /* all of them, in order; in the arena */
	unsigned n_servers;
	_Atomic unsigned good; /* the one that answered last */
	pthread_mutex_t lock;
	struct connection *idle[USES]; /* under lock */
};

struct ldap_pool *ldap_pool_new(const struct ldap_conf *conf)
{
	struct ldap_pool *p = xcalloc(1, sizeof(*p));

	metric_register(&connections_metric);
	metric_register(&failures_metric);
	arena_init(&p->arena, NULL, 0);
	conf_copy(ldap_items, conf, &p->conf, &p->arena);
	p->n_servers = (unsigned)(p->conf.servers.n + p->conf.backups.n);
	p->servers = arena_alloc(&p->arena, p->n_servers * sizeof(*p->servers));
	memcpy(p->servers, p->conf.servers.at, p->conf.servers.n * sizeof(*p->servers));
	if (p->conf.backups.n)
		memcpy(p->servers + p->conf.servers.n, p->conf.backups.at,
			p->conf.backups.n * sizeof(*p->servers));
	pthread_mutex_init(&p->lock, NULL);
	return p;
}

const struct ldap_conf *ldap_pool_conf(const struct ldap_pool *p)
{
	return &p->conf;
}

static void drop(struct connection *c)
{
	ldap_unbind_ext_s(c->ld, NULL, NULL);
	free(c);
	metric_add(&connections_metric, -1);
}

void ldap_pool_free(struct ldap_pool *p)
{
	struct connection *c;

	if (!p)
		return;
	for (int use = 0; use < USES; use++) {
		while ((c = p->idle[use])) {
			p->idle[use] = c->next;
			drop(c);
		}
	}
	pthread_mutex_destroy(&p->lock);
	arena_fini(&p->arena);
	free(p);
}

/* What libldap says, as the rest of the server does. */
static int error_of(int rc)
{
	switch (rc) {
	case LDAP_TIMEOUT:
	case LDAP_TIMELIMIT_EXCEEDED:
		return -ETIMEDOUT;
	case LDAP_SERVER_DOWN:
	case LDAP_CONNECT_ERROR:
		return -ECONNREFUSED;
	case LDAP_BUSY:
	case LDAP_UNAVAILABLE:
		return -EAGAIN;
	default:
		return -EIO;
	}
}

static void complain(
	const struct ldap_pool *p, const char *server, const char *what, LDAP *ld, int rc)
{
	static struct log_seldom seldom;
	char *more = NULL;
	uint32_t left_out;

	metric_add(&failures_metric, 1);
	if (!log_seldom(&seldom, &left_out))
		return;
	if (ld)
		ldap_get_option(ld, LDAP_OPT_DIAGNOSTIC_MESSAGE, &more);
	log_warning("ldap", what, L_STR("server", server), L_STR("base", p->conf.base),
		L_STR("error", ldap_err2string(rc)), L_STR("more", more),
		L_INT("left_out", left_out));
	ldap_memfree(more);
}

static int start_tls(const struct ldap_pool *p, LDAP *ld)
{
	static const int verify[] = { LDAP_OPT_X_TLS_NEVER, LDAP_OPT_X_TLS_TRY,
		LDAP_OPT_X_TLS_DEMAND };
	int client = 0, rc = LDAP_SUCCESS;

	if (p->conf.encrypt == LDAP_ENCRYPT_NONE)
		return LDAP_SUCCESS;
	ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &verify[p->conf.verify]);
	if (p->conf.cacertfile)
		rc = ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, p->conf.cacertfile);
	if (rc == LDAP_SUCCESS)
		rc = ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client);
	if (rc == LDAP_SUCCESS && p->conf.encrypt == LDAP_ENCRYPT_STARTTLS)
		rc = ldap_start_tls_s(ld, NULL, NULL);
	return rc;
}

static int bind_as(LDAP *ld, const char *dn, const char *password)
{
	struct berval secret = { password ? strlen(password) : 0, (char *)(uintptr_t)password };

	return ldap_sasl_bind_s(ld, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, NULL);
}

static char *uri_of(const struct ldap_pool *p, const char *server)
{
	bool tls = p->conf.encrypt == LDAP_ENCRYPT_TLS, v6 = strchr(server, ':');
	int port = p->conf.port ? (int)p->conf.port : tls ? LDAPS_PORT : LDAP_PORT;

	return xprintf("%s://%s%s%s:%d", tls ? "ldaps" : "ldap", v6 ? "[" : "", server,
		v6 ? "]" : "", port);
}

/* Up to where it can be asked. libldap connects with the first thing that is said. */
static int connect_to(const struct ldap_pool *p, const char *server, enum use use, LDAP **out)
{
	struct timeval limit = { p->conf.timeout_ms / 1000, p->conf.timeout_ms % 1000 * 1000 };
	AUTO(free_ptr) char *uri = uri_of(p, server);
	int version = LDAP_VERSION3, rc;
	LDAP *ld = NULL;

	rc = ldap_initialize(&ld, uri);
	if (rc != LDAP_SUCCESS) {
		complain(p, server, "cannot be asked", NULL, rc);
		return rc;
	}
	ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version);
	ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &limit);
	ldap_set_option(ld, LDAP_OPT_TIMEOUT, &limit);
	ldap_set_option(ld, LDAP_OPT_DEREF, &p->conf.deref);
	ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF);
	rc = start_tls(p, ld);
	if (rc == LDAP_SUCCESS && use == USE_ASK)
		rc = bind_as(ld, p->conf.rootdn, p->conf.password);
	if (rc == LDAP_SUCCESS) {
		*out = ld;
		return rc;
	}
	complain(p, server, "cannot be asked", ld, rc);
	ldap_unbind_ext_s(ld, NULL, NULL);
	return rc;
}

/* From the server that answered last on, round to the one before it. */
static int connect_any(struct ldap_pool *p, enum use use, struct connection **out)
{
	unsigned first = atomic_load_explicit(&p->good, memory_order_relaxed);
	int rc = LDAP_SERVER_DOWN;
	LDAP *ld;

	for (unsigned i = 0; i < p->n_servers; i++) {
		unsigned at = (first + i) % p->n_servers;

		rc = connect_to(p, p->servers[at], use, &ld);
		if (rc != LDAP_SUCCESS)
			continue;
		atomic_store_explicit(&p->good, at, memory_order_relaxed);
		*out = xcalloc(1, sizeof(**out));
		(*out)->ld = ld;
		(*out)->fresh = true;
		metric_add(&connections_metric, 1);
		return rc;
	}
	return rc;
}

static struct connection *take_idle(struct ldap_pool *p, enum use use)
{
	struct connection *c;

	pthread_mutex_lock(&p->lock);
	c = p->idle[use];
	if (c)
		p->idle[use] = c->next;
	pthread_mutex_unlock(&p->lock);
	return c;
}

static void lay_idle(struct ldap_pool *p, enum use use, struct connection *c)
{
	c->fresh = false;
	pthread_mutex_lock(&p->lock);
	c->next = p->idle[use];
	p->idle[use] = c;
	pthread_mutex_unlock(&p->lock);
}

/* What is asked over a connection: an LDAP result code. */
typedef int ask_fn(const struct ldap_pool *p, LDAP *ld, void *arg);

static bool is_broken(int rc)
{
	return rc == LDAP_SERVER_DOWN || rc == LDAP_CONNECT_ERROR || rc == LDAP_TIMEOUT ||
		rc == LDAP_UNAVAILABLE || rc == LDAP_DECODING_ERROR || rc == LDAP_ENCODING_ERROR;
}

/* Over one that lies idle, and if that is dead, as servers close those, over a new one. */
static int ask(struct ldap_pool *p, enum use use, ask_fn *fn, void *arg)
{
	bool reading = rcu_offline();
	struct connection *c = take_idle(p, use);
	int rc = LDAP_SERVER_DOWN;
	bool again;

	do {
		if (!c)
			rc = connect_any(p, use, &c);
		if (!c)
			break;
		rc = fn(p, c->ld, arg);
		again = rc == LDAP_SERVER_DOWN && !c->fresh;
		if (is_broken(rc)) {
			complain(p, p->servers[atomic_load(&p->good)], "did not answer", c->ld, rc);
			drop(c);
			c = NULL;
		} else {
			lay_idle(p, use, c);
		}
	} while (again);
	rcu_online(reading);
	return rc;
}

/* --- questions ------------------------------------------------------------------------------- */

struct ldap_entry {
	LDAP *ld;
	LDAPMessage *message;
	char *dn;
};
struct search {
	const char *base, *filter;
	const char *const *attributes;
	unsigned max;
	void (*fn)(const struct ldap_entry *e, void *arg);
	void *arg;
};

const char *ldap_entry_dn(const struct ldap_entry *e)
{
	return e->dn;
}

void ldap_entry_values(const struct ldap_entry *e, const char *attribute,
	void (*fn)(const char *value, void *arg), void *arg)
{
	struct berval **values = ldap_get_values_len(e->ld, e->message, attribute);

	for (unsigned i = 0; values && values[i]; i++) {
		AUTO(free_ptr) char *text = xstrndup(values[i]->bv_val, values[i]->bv_len);

		if (strlen(text) == values[i]->bv_len) /* else it is none */
			fn(text, arg);
	}
	ldap_value_free_len(values);
}

static void each_entry(LDAP *ld, LDAPMessage *result, const struct search *s)
{
	for (LDAPMessage *m = ldap_first_entry(ld, result); m; m = ldap_next_entry(ld, m)) {
		struct ldap_entry e = { ld, m, ldap_get_dn(ld, m) };

		if (e.dn)
			s->fn(&e, s->arg);
		ldap_memfree(e.dn);
	}
}

/* Where the server goes on, or nothing. */
static void take_cookie(LDAP *ld, LDAPMessage *result, struct berval *cookie)
{
	LDAPControl **controls = NULL, *page;
	ber_int_t about;

	ber_memfree(cookie->bv_val);
	*cookie = (struct berval){ 0 };
	if (ldap_parse_result(ld, result, NULL, NULL, NULL, NULL, &controls, 0) != LDAP_SUCCESS)
		return;
	page = ldap_control_find(LDAP_CONTROL_PAGEDRESULTS, controls, NULL);
	if (page)
		ldap_parse_pageresponse_control(ld, page, &about, cookie);
	ldap_controls_free(controls);
}

static int search_page(
	const struct ldap_pool *p, LDAP *ld, const struct search *s, struct berval *cookie)
{
	struct timeval limit = { p->conf.timeout_ms / 1000, p->conf.timeout_ms % 1000 * 1000 };
	LDAPControl *page = NULL, *controls[] = { NULL, NULL };
	LDAPMessage *result = NULL;
	int rc = LDAP_SUCCESS;

	if (!s->max) {
		rc = ldap_create_page_control(ld, PAGE, cookie, 0, &page);
		controls[0] = page;
	}
	if (rc == LDAP_SUCCESS)
		rc = ldap_search_ext_s(ld, s->base, LDAP_SCOPE_SUBTREE, s->filter,
			(char **)(uintptr_t)s->attributes, 0, controls, NULL, &limit, (int)s->max,
			&result);
	if (rc == LDAP_SIZELIMIT_EXCEEDED && s->max) /* there are more, as was foreseen */
		rc = LDAP_SUCCESS;
	if (rc == LDAP_SUCCESS) {
		each_entry(ld, result, s);
		take_cookie(ld, result, cookie);
	}
	if (page)
		ldap_control_free(page);
	ldap_msgfree(result);
	return rc;
}

static int run_search(const struct ldap_pool *p, LDAP *ld, void *arg)
{
	struct berval cookie = { 0 };
	int rc;

	do
		rc = search_page(p, ld, arg, &cookie);
	while (rc == LDAP_SUCCESS && cookie.bv_len);
	ber_memfree(cookie.bv_val);
	return rc == LDAP_NO_SUCH_OBJECT ? LDAP_SUCCESS : rc;
}

int ldap_pool_search(struct ldap_pool *p, const char *base, const char *filter,
	const char *const *attributes, unsigned max,
	void (*fn)(const struct ldap_entry *e, void *arg), void *arg)
{
	struct search s = { base, filter, attributes, max, fn, arg };
	int rc = ask(p, USE_ASK, run_search, &s);

	if (rc == LDAP_SUCCESS)
		return 0;
	if (!is_broken(rc))
		complain(p, p->servers[atomic_load(&p->good)], "refuses the question", NULL, rc);
	return error_of(rc);
}

struct secret {
	const char *dn, *password;
};

static int run_bind(const struct ldap_pool *p UNUSED, LDAP *ld, void *arg)
{
	const struct secret *s = arg;

	return bind_as(ld, s->dn, s->password);
}

/* What a server says of a password, or of an entry that may not log in. */
static bool is_refusal(int rc)
{
	return rc == LDAP_INVALID_CREDENTIALS || rc == LDAP_INAPPROPRIATE_AUTH ||
		rc == LDAP_INSUFFICIENT_ACCESS || rc == LDAP_UNWILLING_TO_PERFORM ||
		rc == LDAP_CONSTRAINT_VIOLATION || rc == LDAP_NO_SUCH_OBJECT;
}

static int outcome(int rc)
{
	if (rc == LDAP_SUCCESS)
		return 0;
	return is_refusal(rc) ? LDAP_POOL_WRONG : error_of(rc);
}

int ldap_pool_bind(struct ldap_pool *p, const char *dn, const char *password)
{
	struct secret s = { dn, password };

	if (!*dn || !*password)
		return LDAP_POOL_WRONG;
	return outcome(ask(p, USE_BIND, run_bind, &s));
}

static int run_set_password(const struct ldap_pool *p UNUSED, LDAP *ld, void *arg)
{
	const struct secret *s = arg;
	struct berval user = { strlen(s->dn), (char *)(uintptr_t)s->dn };
	struct berval new = { strlen(s->password), (char *)(uintptr_t)s->password };
	struct berval made = { 0 };
	int rc = ldap_passwd_s(ld, &user, NULL, &new, &made, NULL, NULL);

	ber_memfree(made.bv_val);
	return rc;
}

int ldap_pool_set_password(struct ldap_pool *p, const char *dn, const char *password)
{
	struct secret s = { dn, password };

	return outcome(ask(p, USE_ASK, run_set_password, &s));
}
