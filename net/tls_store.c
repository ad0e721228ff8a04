/* net/tls_store.c - all certificates of one reload, found by name, and a context for each. */
#include "net/tls_store.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "net/cert.h"
#include "net/ticket.h"
#include "xml/jid.h"

#define SYSTEM_CA_FOLDER "/etc/ssl/certs" /* each in a file of its subject's hash */

static const char *const version_words[] = { "1.2", "1.3", NULL };
static const struct conf_item certfile_item[] = {
	{ "file", CONF_PATH, 0, .help = "A PEM file, or a pattern for several." }, { 0 }
};
const struct conf_item tls_items[] = {
	{ "certfiles", CONF_LIST, FIELD(struct tls_conf, certfiles, struct conf_list),
		.item = certfile_item, .item_size = sizeof(const char *),
		.example = "[/etc/letsencrypt/live/*/fullchain.pem, "
			   "/etc/letsencrypt/live/*/privkey.pem]",
		.help = "PEM files with certificates, their chains and their keys, in any order; "
			"patterns are allowed. A connection gets the certificate that names its "
			"domain, else the first one." },
	{ "ca_file", CONF_PATH, FIELD(struct tls_conf, ca_file, const char *),
		.example = "/etc/ssl/certs/ca-certificates.crt",
		.help = "A PEM file with the authorities that other servers' certificates may come "
			"from. Without it: the system's, those in " SYSTEM_CA_FOLDER "." },
	{ "tls_min_version", CONF_ENUM, FIELD(struct tls_conf, min_version, int), .preset = "1.2",
		.words = version_words, .help = "The oldest TLS version that is spoken." },
	{ "tls_ciphers", CONF_STRING, FIELD(struct tls_conf, ciphers, const char *),
		.help = "Ciphers of TLS 1.2, as `openssl ciphers` takes them. Without it: ECDHE "
			"with AES-GCM or ChaCha20." },
	{ "tls_ciphersuites", CONF_STRING, FIELD(struct tls_conf, ciphersuites, const char *),
		.help = "Ciphers of TLS 1.3, best first, separated by colons. Without it: AES-128, "
			"AES-256, ChaCha20." },
	{ "tls_groups", CONF_STRING, FIELD(struct tls_conf, groups, const char *),
		.help = "Groups of the key exchange, best first. Without it: X25519:P-256:P-384." },
	{ "tls_ticket_lifetime", CONF_TIME, FIELD(struct tls_conf, ticket_lifetime_ms, int64_t),
		.preset = "12 hours", .max = 7 * 24 * 3600 * 1000,
		.help = "How long a client may resume a TLS session without a new key exchange "
			"against our certificate; 0: not at all." },
	{ 0 }
};

static _Atomic int64_t first_expiry; /* of all certificates in use, seconds since 1970; 0: none */

static int64_t expiry_seconds(void)
{
	int64_t at = atomic_load_explicit(&first_expiry, memory_order_relaxed);

	return at ? at - (int64_t)time(NULL) : 0;
}

static struct metric cert_expiry = METRIC_GAUGE_READ("tls_cert_expiry_seconds",
	"Seconds until the first of the certificates expires", expiry_seconds);

/* All certificates of one reload, found by name. Never changed once published. */
struct named {
	char *name; /* of its cert's; "*.example.org" as "example.org" with wildcard set */
	bool wildcard;
	SSL_CTX *ctx; /* counted by its cert's place in ctxs */
};
struct authorities {
	char *file; /* owned; "": of `ca_file` */
	X509_STORE *store; /* owned */
};
struct tls_set {
	struct certs certs;
	SSL_CTX *bare; /* owned: for connections of ours without a certificate */
	struct authorities *authorities; /* owned: those of `ca_file` first */
	size_t n_authorities;
	SSL_CTX **ctxs; /* owned: one for each certificate; the first is the default */
	struct named *named; /* owned: open addressing, size a power of two, at most half full */
	size_t mask;
	struct rcu_head rcu;
};

struct tls_store {
	RCU_PTR(struct tls_set) set;
	struct ticket_keys *tickets; /* owned */
};

static const struct named *find_exact(
	const struct tls_set *set, const char *name, size_t len, bool wildcard)
{
	if (!set->named)
		return NULL;
	for (size_t at = jid_hash_domain(name, len) + wildcard;; at++) {
		const struct named *n = &set->named[at & set->mask];

		if (!n->name)
			return NULL;
		if (n->wildcard == wildcard && !strncmp(n->name, name, len) && !n->name[len])
			return n;
	}
}

/* A wildcard stands for exactly the leftmost label. RFC 6125 §6.4.3. */
static SSL_CTX *find_ctx(const struct tls_set *set, const char *domain)
{
	const struct named *n = find_exact(set, domain, strlen(domain), false);
	const char *dot = strchr(domain, '.');

	if (!n && dot && dot > domain)
		n = find_exact(set, dot + 1, strlen(dot + 1), true);
	return n ? n->ctx : NULL;
}

/* The first certificate to have a name keeps it. */
static void put_name(struct tls_set *set, const char *name, SSL_CTX *ctx)
{
	bool wildcard = name[0] == '*' && name[1] == '.';
	size_t at;

	name += wildcard ? 2 : 0;
	if (find_exact(set, name, strlen(name), wildcard))
		return;
	at = jid_hash_domain(name, strlen(name)) + wildcard;
	while (set->named[at & set->mask].name)
		at++;
	set->named[at & set->mask] = (struct named){ xstrdup(name), wildcard, ctx };
}

static bool ctx_configure(SSL_CTX *ctx, const struct tls_conf *conf, struct ticket_keys *tickets)
{
	int64_t lifetime_s = (conf->ticket_lifetime_ms + 999) / 1000;

	SSL_CTX_set_options(ctx,
		SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE |
			SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF |
			(lifetime_s ? 0 : SSL_OP_NO_TICKET));
	SSL_CTX_set_mode(ctx,
		SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
			SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(ctx, lifetime_s);
	SSL_CTX_set_num_tickets(ctx, lifetime_s ? 1 : 0);
	SSL_CTX_set_app_data(ctx, tickets);
	SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, ticket_key);
	SSL_CTX_set_client_hello_cb(ctx, tls_client_hello, NULL);
	SSL_CTX_set_tlsext_servername_callback(ctx, tls_server_name);
	SSL_CTX_set_alpn_select_cb(ctx, tls_choose_alpn, NULL);
	return SSL_CTX_dane_enable(ctx) > 0 &&
		SSL_CTX_set_min_proto_version(
			ctx, conf->min_version == TLS_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) &&
		SSL_CTX_set_cipher_list(
			ctx, conf->ciphers ? conf->ciphers : "ECDHE+AESGCM:ECDHE+CHACHA20") &&
		SSL_CTX_set_ciphersuites(ctx,
			conf->ciphersuites ? conf->ciphersuites
					   : "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
					     "TLS_CHACHA20_POLY1305_SHA256") &&
		SSL_CTX_set1_groups_list(ctx, conf->groups ? conf->groups : "X25519:P-256:P-384");
}

/* Sessions are resumed only under the certificate they were made with: what a client remembers of
 * the first handshake (tls-server-end-point among it) stays true. */
static bool ctx_certify(SSL_CTX *ctx, const struct cert *c)
{
	uint8_t id[EVP_MAX_MD_SIZE];

	return SSL_CTX_use_cert_and_key(ctx, c->leaf, c->key, c->chain, 1) &&
		X509_digest(c->leaf, EVP_sha256(), id, NULL) &&
		SSL_CTX_set_session_id_context(ctx, id, 32);
}

/* For either direction. c NULL: without a certificate. */
static SSL_CTX *ctx_new(
	const struct tls_conf *conf, struct ticket_keys *tickets, const struct cert *c, char **why)
{
	SSL_CTX *ctx;

	ERR_clear_error();
	ctx = SSL_CTX_new(TLS_method());
	if (ctx && !ctx_configure(ctx, conf, tickets))
		*why = xprintf(
			"tls_ciphers, tls_ciphersuites, tls_groups: %s", tls_openssl_reason());
	else if (!ctx || (c && !ctx_certify(ctx, c)))
		*why = xprintf("%s: %s", c ? c->file : "TLS", tls_openssl_reason());
	else
		return ctx;
	SSL_CTX_free(ctx);
	return NULL;
}

static void set_free(struct tls_set *set)
{
	if (!set)
		return;
	for (size_t i = 0; set->ctxs && i < set->certs.n; i++)
		SSL_CTX_free(set->ctxs[i]);
	for (size_t i = 0; set->named && i <= set->mask; i++)
		free(set->named[i].name);
	for (size_t i = 0; i < set->n_authorities; i++) {
		X509_STORE_free(set->authorities[i].store);
		free(set->authorities[i].file);
	}
	free(set->authorities);
	SSL_CTX_free(set->bare);
	free(set->ctxs);
	free(set->named);
	certs_fini(&set->certs);
	free(set);
}

static void set_free_later(struct rcu_head *head)
{
	set_free(container_of(head, struct tls_set, rcu));
}

static void append(struct certs *to, struct certs *from)
{
	to->at = xrealloc(to->at, (to->n + from->n + 1) * sizeof(*to->at));
	if (from->n)
		memcpy(to->at + to->n, from->at, from->n * sizeof(*to->at));
	to->n += from->n;
	free(from->at);
}

/* certfiles first, so that the default is theirs; then each host's own, its first at own[i]. */
static int read_certs(const struct tls_conf *conf, const struct tls_host_files *hosts,
	size_t n_hosts, struct certs *all, size_t *own, char **why)
{
	struct certs some;
	int error = certs_load(conf->certfiles.at, conf->certfiles.n, &some, why);

	if (error)
		return error;
	append(all, &some);
	for (size_t i = 0; i < n_hosts; i++) {
		const char *files[] = { hosts[i].certfile, hosts[i].keyfile };

		error = certs_load(files, hosts[i].keyfile ? 2 : 1, &some, why);
		if (error)
			return error;
		if (!some.n) {
			*why = xprintf("%s: no certificate with its private key", files[0]);
			return -EINVAL;
		}
		own[i] = all->n;
		append(all, &some);
	}
	return 0;
}

/* An authority in the middle of a chain may be trusted without the one above it. */
static int read_authorities(struct authorities *out, const char *name, const char *file, char **why)
{
	X509_STORE *store = X509_STORE_new();

	REQUIRE(store && X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN));
	*out = (struct authorities){ xstrdup(name), store };
	ERR_clear_error();
	/* Of the system's each is read when a peer first needs it: to read all of them would take a
	 * tenth of a second at every start. There may be none. */
	if (!file) {
		REQUIRE(X509_STORE_load_path(store, SYSTEM_CA_FOLDER));
		return 0;
	}
	if (X509_STORE_load_file(store, file))
		return 0;
	*why = xprintf("%s: no authorities' certificates in it, or it cannot be read", file);
	return -EINVAL;
}

static int set_read_authorities(struct tls_set *set, const struct tls_conf *conf, char **why)
{
	const char *const *more = conf->more_ca_files.at;
	int error;

	set->authorities = xcalloc(1 + conf->more_ca_files.n, sizeof(*set->authorities));
	error = read_authorities(&set->authorities[set->n_authorities++], "", conf->ca_file, why);
	for (size_t i = 0; !error && i < conf->more_ca_files.n; i++)
		error = read_authorities(
			&set->authorities[set->n_authorities++], more[i], more[i], why);
	return error;
}

static int set_build(struct tls_set *set, struct ticket_keys *tickets, const struct tls_conf *conf,
	const struct tls_host_files *hosts, size_t n_hosts, char **why)
{
	AUTO(free_ptr) size_t *own = xcalloc(n_hosts, sizeof(*own));
	int error = read_certs(conf, hosts, n_hosts, &set->certs, own, why);
	size_t names = n_hosts;

	if (!error)
		error = set_read_authorities(set, conf, why);
	if (error)
		return error;
	set->bare = ctx_new(conf, tickets, NULL, why);
	if (!set->bare)
		return -EINVAL;
	set->ctxs = xcalloc(set->certs.n, sizeof(*set->ctxs));
	for (size_t i = 0; i < set->certs.n; i++) {
		names += set->certs.at[i].n_names;
		set->ctxs[i] = ctx_new(conf, tickets, &set->certs.at[i], why);
		if (!set->ctxs[i])
			return -EINVAL;
	}
	for (set->mask = 7; set->mask < 2 * names; set->mask = 2 * set->mask + 1)
		;
	set->named = xcalloc(set->mask + 1, sizeof(*set->named));
	for (size_t i = 0; i < n_hosts; i++)
		put_name(set, hosts[i].host, set->ctxs[own[i]]);
	for (size_t i = 0; i < set->certs.n; i++)
		for (size_t k = 0; k < set->certs.at[i].n_names; k++)
			put_name(set, set->certs.at[i].names[k], set->ctxs[i]);
	return 0;
}

/* Says what an operator should know of certificates that load and yet will not please a client. */
static void set_inspect(const struct tls_set *set)
{
	int64_t now = time(NULL), first = 0;

	for (size_t i = 0; i < set->certs.n; i++) {
		const struct cert *c = &set->certs.at[i];

		if (c->not_after < now)
			log_warning("tls", "certificate has expired", L_STR("file", c->file),
				L_INT("days_ago", (now - c->not_after) / 86400));
		if (c->not_before > now)
			log_warning("tls", "certificate is not valid yet", L_STR("file", c->file));
		if (!first || c->not_after < first)
			first = c->not_after;
	}
	atomic_store_explicit(&first_expiry, first, memory_order_relaxed);
}

struct tls_store *tls_store_new(void)
{
	struct tls_store *st = xcalloc(1, sizeof(*st));

	st->tickets = ticket_keys_new();
	metric_register(&cert_expiry);
	return st;
}

void tls_store_free(struct tls_store *st)
{
	if (!st)
		return;
	set_free(rcu_get(st->set));
	ticket_keys_free(st->tickets);
	free(st);
}

struct tls_change {
	struct tls_store *store;
	struct tls_set *set;
	int64_t ticket_lifetime_ms;
};

int tls_store_prepare(struct tls_store *st, const struct tls_conf *conf,
	const struct tls_host_files *hosts, size_t n_hosts, struct tls_change **out, char **why)
{
	struct tls_set *set = xcalloc(1, sizeof(*set));
	int error = set_build(set, st->tickets, conf, hosts, n_hosts, why);

	if (error) {
		set_free(set);
		return error;
	}
	*out = xmalloc(sizeof(**out));
	**out = (struct tls_change){ st, set, conf->ticket_lifetime_ms };
	return 0;
}

void tls_store_commit(struct tls_change *c)
{
	struct tls_set *old;

	set_inspect(c->set);
	ticket_keys_set_lifetime(c->store->tickets, c->ticket_lifetime_ms);
	old = rcu_swap(c->store->set, c->set);
	if (old)
		rcu_later(&old->rcu, set_free_later);
	free(c);
}

void tls_store_abandon(struct tls_change *c)
{
	if (!c)
		return;
	set_free(c->set);
	free(c);
}

int tls_store_load(struct tls_store *st, const struct tls_conf *conf,
	const struct tls_host_files *hosts, size_t n_hosts, char **why)
{
	struct tls_change *c;
	int error = tls_store_prepare(st, conf, hosts, n_hosts, &c, why);

	if (!error)
		tls_store_commit(c);
	return error;
}

bool tls_store_ready(struct tls_store *st)
{
	const struct tls_set *set = rcu_get(st->set);

	return set && set->certs.n;
}

bool tls_store_names(struct tls_store *st, const char *host)
{
	const struct tls_set *set = rcu_get(st->set);
	char domain[JID_PART_MAX + 1];

	return set && jid_prep_domain(host, strlen(host), domain) > 0 && find_ctx(set, domain);
}

static void digest_text(const X509 *leaf, char text[2 * EVP_MAX_MD_SIZE + 1])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	if (!X509_digest(leaf, EVP_sha256(), digest, &len))
		len = 0;
	for (unsigned i = 0; i < len; i++)
		snprintf(text + 2 * i, 3, "%02x", digest[i]);
	text[2 * len] = '\0';
}

static void set_each(
	const struct tls_set *set, void (*fn)(const struct tls_cert_info *ci, void *arg), void *arg)
{
	for (size_t i = 0; set && i < set->certs.n; i++) {
		const struct cert *c = &set->certs.at[i];
		AUTO(free_ptr) char *names = xstrdup("");
		char digest[2 * EVP_MAX_MD_SIZE + 1];

		for (size_t k = 0; k < c->n_names; k++) {
			char *more = xprintf("%s%s%s", names, k ? ", " : "", c->names[k]);

			free(names);
			names = more;
		}
		digest_text(c->leaf, digest);
		fn(&(struct tls_cert_info){ .file = c->file,
			   .names = names,
			   .not_before = c->not_before,
			   .not_after = c->not_after,
			   .digest = digest },
			arg);
	}
}

void tls_store_each(
	struct tls_store *st, void (*fn)(const struct tls_cert_info *ci, void *arg), void *arg)
{
	set_each(rcu_get(st->set), fn, arg);
}

void tls_change_each(const struct tls_change *c,
	void (*fn)(const struct tls_cert_info *ci, void *arg), void *arg)
{
	set_each(c->set, fn, arg);
}

SSL_CTX *tls_store_find(struct tls_store *st, const char *domain)
{
	const struct tls_set *set = rcu_get(st->set);

	return set ? find_ctx(set, domain) : NULL;
}

SSL_CTX *tls_store_default(struct tls_store *st)
{
	const struct tls_set *set = rcu_get(st->set);

	return set && set->certs.n ? set->ctxs[0] : NULL;
}

SSL_CTX *tls_store_bare(struct tls_store *st)
{
	const struct tls_set *set = rcu_get(st->set);

	return set ? set->bare : NULL;
}

X509_STORE *tls_store_authorities(struct tls_store *st, const char *ca_file)
{
	const struct tls_set *set = rcu_get(st->set);

	for (size_t i = 0; set && i < set->n_authorities; i++)
		if (!strcmp(set->authorities[i].file, ca_file ? ca_file : ""))
			return set->authorities[i].store;
	return NULL;
}
