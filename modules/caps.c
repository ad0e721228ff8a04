/* modules/caps.c - entity capabilities: XEP-0115, and XEP-0390 where clients have it.
 * A client's presence says a hash. If what it stands for is neither in memory nor in the database,
 * the client is asked by disco#info; when the hash of its answer is the one it said, everybody who
 * says it is known from then on, else only this client. What is known of a session is read under
 * RCU by any shard (modules/caps.h); the rest is its own shard's.
 * The server says its own hashes in the stream's features, and answers for them by disco#info. */
#include "modules/caps.h"

#include <errno.h>
#include <stdlib.h>
#include <urcu/rculfhash.h>

#include "core/clock.h"
#include "core/db.h"
#include "core/job.h"
#include "modules/caps_hash.h"
#include "modules/disco.h"
#include "modules/module.h"
#include "router/account.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/prelogin.h"

HOOK(caps_change);

#define ID_PREFIX "caps-" /* of the server's questions */
#define NODE_2 "urn:xmpp:caps#" /* XEP-0390 §4.3 */
#define NODE_BYTES_MAX 500
#define ALGORITHM_2 "sha-256"
#define OWN_MS 1000 /* the server's own hashes are made anew after so long */
#define CATCH_UP_MS 3600000 /* how long sessions from before the module are looked at */

struct caps_conf {
	const char *node;
};
static const struct conf_item caps_items[] = {
	{ "node", CONF_STRING, FIELD(struct caps_conf, node, const char *),
		.preset = "urn:linnet:server",
		.help = "The URI that stands for the server's software." },
	{ 0 }
};

static struct metric asked_metric =
	METRIC_COUNTER("caps_asked_total", "Clients asked for what they can.");
static struct metric verified_metric = METRIC_COUNTER(
	"caps_verified_total", "Answers whose hash was right, so that it stands for all.");
static struct metric own_metric = METRIC_COUNTER("caps_single_total",
	"Answers that are good for the one client alone: another hash, one of an unknown kind, or "
	"one that can be read in several ways.");
static struct metric bad_metric =
	METRIC_COUNTER("caps_refused_total", "Answers that cannot be: ill-formed or too large.");

/* ---- What sessions say */

struct holder {
	struct cds_lfht_node node;
	struct rcu_head rcu;
	struct actor_id session;
	const struct host *host; /* to be compared only */
	/* Read under RCU by any thread, written by the session's shard. */
	RCU_PTR(struct caps_features) features; /* counted; NULL: not known */
	/* The session's shard only. */
	char *key; /* owned: "1:sha-1:HASH"; NULL: none was said */
	char *disco_node; /* owned: what to ask for; NULL once the features are known */
	uint32_t question; /* number of the last one; 0: none is open */
};

static struct {
	pthread_once_t made;
	struct cds_lfht *holders;
	_Atomic uint32_t questions;
} known = { .made = PTHREAD_ONCE_INIT };

static void make_table(void)
{
	known.holders = cds_lfht_new(1024, 1024, 0, CDS_LFHT_AUTO_RESIZE, NULL);
	REQUIRE(known.holders);
}

static unsigned long hash_of(struct actor_id id)
{
	return (unsigned long)(id.v * 0x9e3779b97f4a7c15u >> 16);
}

static int holder_matches(struct cds_lfht_node *node, const void *key)
{
	struct holder *h = caa_container_of(node, struct holder, node);

	tsan_acquire(h);
	return actor_id_equal(h->session, *(const struct actor_id *)key);
}

static struct holder *holder_find(struct actor_id session)
{
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	pthread_once(&known.made, make_table);
	cds_lfht_lookup(known.holders, hash_of(session), holder_matches, &session, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? caa_container_of(node, struct holder, node) : NULL;
}

static struct holder *holder_of(const struct session *ss)
{
	struct holder *h = holder_find(ss->id);

	if (h)
		return h;
	h = xcalloc(1, sizeof(*h));
	h->session = ss->id;
	h->host = ss->host;
	cds_lfht_node_init(&h->node);
	tsan_release(h);
	cds_lfht_add(known.holders, hash_of(ss->id), &h->node);
	return h;
}

static void holder_free(struct rcu_head *head)
{
	struct holder *h = container_of(head, struct holder, rcu);

	caps_features_unref(rcu_get(h->features));
	free(h->key);
	free(h->disco_node);
	free(h);
}

static void drop(struct holder *h)
{
	if (cds_lfht_del(known.holders, &h->node) == 0)
		rcu_later(&h->rcu, holder_free);
}

static void forget(const struct session *ss)
{
	struct holder *h = holder_find(ss->id);

	if (h)
		drop(h);
}

const struct caps_features *caps_features(const struct jid *full)
{
	const struct session_entry *e = directory_find_full(full);
	struct holder *h = e ? holder_find(e->id) : NULL;

	return h ? rcu_get(h->features) : NULL;
}

bool caps_wants(const struct jid *full, const char *node)
{
	const struct caps_features *f = caps_features(full);
	char feature[NODE_BYTES_MAX];

	if (!f || snprintf(feature, sizeof(feature), "%s+notify", node) >= (int)sizeof(feature))
		return false;
	return caps_features_have(f, feature);
}

/* Takes f. */
ON_SHARD static void learned(struct session *ss, struct holder *h, struct caps_features *f)
{
	struct caps_features *before = rcu_swap(h->features, f);
	struct caps_change change = { .session = ss, .before = before, .now = f };

	free(h->disco_node);
	h->disco_node = NULL;
	hook_run(ss->host->hooks, &caps_change_hook, &change);
	caps_features_unref(before);
}

/* ---- Asking the client */

ON_SHARD static void ask_client(struct session *ss, struct holder *h)
{
	struct stanza *question;
	struct builder b;
	char id[32];

	h->question = atomic_fetch_add(&known.questions, 1) | 1u << 31; /* never 0 */
	snprintf(id, sizeof(id), ID_PREFIX "%u", h->question);
	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", "get");
	build_attr(&b, "from", ss->host->name);
	build_attr_jid(&b, "to", ss->jid);
	build_attr(&b, "id", id);
	build_open(&b, "query", NS_DISCO_INFO);
	build_attr(&b, "node", h->disco_node);
	build_close(&b);
	question = build_end(&b);
	deliver(ss->id, question, DELIVER_COPY);
	stanza_unref(question);
	metric_add(&asked_metric, 1);
}

/* "1:sha-1:HASH" apart; all in buffer. */
static void split_key(const char *key, char *buffer, enum caps_version *version,
	const char **algorithm, const char **hash)
{
	char *colon;

	strcpy(buffer, key);
	*version = buffer[0] == '1' ? CAPS_1 : CAPS_2;
	*algorithm = buffer + 2;
	colon = strchr(buffer + 2, ':');
	*colon = '\0';
	*hash = colon + 1;
}

/* XEP-0115 §5.4 3.1-3.9 */
ON_SHARD static void judge(struct session *ss, struct holder *h, const struct stanza *s)
{
	const struct elem *query = stanza_iq_child(s);
	char buffer[CAPS_KEY_MAX], real[CAPS_HASH_MAX] = "";
	const char *algorithm, *hash;
	enum caps_outcome outcome;
	enum caps_version version;
	struct caps_features *f;

	if (!query || !elem_is(query, "query", NS_DISCO_INFO)) {
		metric_add(&bad_metric, 1);
		return;
	}
	split_key(h->key, buffer, &version, &algorithm, &hash);
	outcome = caps_hash(version, algorithm, query, s->lang, real);
	f = outcome == CAPS_ILL_FORMED || outcome == CAPS_TOO_MUCH ? NULL
								   : caps_features_read(query);
	if (!f) {
		metric_add(&bad_metric, 1);
		return;
	}
	if (outcome == CAPS_GOOD && strcmp(real, hash) == 0) {
		metric_add(&verified_metric, 1);
		caps_cache_add(h->key, f);
	} else {
		metric_add(&own_metric, 1);
	}
	learned(ss, h, f);
}

/* The number of a question of ours, 0 for another stanza. */
static uint32_t question_of(const struct session_packet *p)
{
	const struct stanza *s = p->stanza;

	if (s->kind != STANZA_IQ || (s->type != IQ_RESULT && s->type != IQ_ERROR) || !s->id ||
		strncmp(s->id, ID_PREFIX, sizeof(ID_PREFIX) - 1) != 0)
		return 0;
	if (!s->to || !jid_is_domain(s->to) ||
		strcmp(jid_domain(s->to), p->session->host->name) != 0)
		return 0;
	return (uint32_t)strtoul(s->id + sizeof(ID_PREFIX) - 1, NULL, 10);
}

/* ---- Asking the database */

struct lookup {
	struct job job;
	struct actor_id session;
	char key[CAPS_KEY_MAX];
	struct caps_features *found; /* one reference */
};

static void lookup_work(struct job *job)
{
	struct lookup *l = container_of(job, struct lookup, job);

	job_check();
	if (caps_cache_load(l->key, &l->found))
		l->found = NULL; /* the client knows, too */
}

/* Of an actor of the running shard; NULL: it is gone. */
ON_SHARD static struct session *session_of(struct actor *a)
{
	const struct recipient *r = a ? a->class->recipient : NULL;

	return r && r->session ? r->session(a) : NULL;
}

static void lookup_done(struct job *job)
{
	struct lookup *l = container_of(job, struct lookup, job);
	struct session *ss;
	struct holder *h;

	shard_check(NULL);
	ss = session_of(actor_find(l->session));
	h = ss ? holder_find(ss->id) : NULL;
	if (!h || !h->key || strcmp(h->key, l->key) != 0 || rcu_get(h->features))
		caps_features_unref(l->found);
	else if (l->found)
		learned(ss, h, l->found);
	else
		ask_client(ss, h);
	free(l);
}

ON_SHARD static void look_up(struct session *ss, struct holder *h)
{
	struct lookup *l = xcalloc(1, sizeof(*l));

	l->job.work = lookup_work;
	l->job.done = lookup_done;
	l->session = ss->id;
	strcpy(l->key, h->key);
	if (account_work(ss->jid, &l->job) == 0)
		return;
	free(l);
	ask_client(ss, h);
}

/* ---- Presence */

/* What a presence says. */
struct claim {
	char key[CAPS_KEY_MAX];
	char disco_node[NODE_BYTES_MAX + CAPS_KEY_MAX];
	bool can_be_verified;
};

static bool write_key(struct claim *c, char version, const char *algorithm, const char *hash)
{
	int n = snprintf(c->key, sizeof(c->key), "%c:%s:%s", version, algorithm, hash);

	c->can_be_verified = caps_algorithm_known(algorithm);
	return *algorithm && *hash && !strchr(algorithm, ':') && n < (int)sizeof(c->key);
}

/* XEP-0390 §5.1: of several hashes the first that we can make. */
static bool read_claim_2(const struct elem *presence, struct claim *c)
{
	const struct elem *caps = elem_child(presence, "c", NS_CAPS_2);
	char first[256];
	struct arena a;
	bool found = false;

	if (!caps)
		return false;
	arena_init(&a, first, sizeof(first));
	elem_each_child (caps, e) {
		const char *algorithm = elem_attr(e, "algo");
		const char *hash = elem_text(e, &a);

		if (!found && elem_is(e, "hash", NS_HASHES) && algorithm &&
			caps_algorithm_known(algorithm) && write_key(c, '2', algorithm, hash)) {
			snprintf(c->disco_node, sizeof(c->disco_node), NODE_2 "%s.%s", algorithm,
				hash);
			found = true;
		}
	}
	arena_fini(&a);
	return found;
}

/* §5.4 1: without a hash's name it is of another, old kind, which nobody can verify. */
static bool read_claim_1(const struct elem *presence, struct claim *c)
{
	const struct elem *caps = elem_child(presence, "c", NS_CAPS);
	const char *algorithm = caps ? elem_attr(caps, "hash") : NULL;
	const char *node = caps ? elem_attr(caps, "node") : NULL;
	const char *ver = caps ? elem_attr(caps, "ver") : NULL;

	if (!algorithm || !node || !ver || strlen(node) > NODE_BYTES_MAX)
		return false;
	if (!write_key(c, '1', algorithm, ver))
		return false;
	snprintf(c->disco_node, sizeof(c->disco_node), "%s#%s", node, ver);
	return true;
}

ON_SHARD static void listen_to(struct session *ss, const struct stanza *s)
{
	struct claim claim;
	struct caps_features *f;
	struct holder *h;

	if (!read_claim_2(s->root, &claim) && !read_claim_1(s->root, &claim))
		return; /* §8.4 of XEP-0115: what was said before holds */
	h = holder_of(ss);
	if (h->key && strcmp(h->key, claim.key) == 0)
		return;
	free(h->key);
	h->key = xstrdup(claim.key);
	h->question = 0;
	f = claim.can_be_verified ? caps_cache_find(h->key) : NULL;
	if (f) {
		learned(ss, h, caps_features_ref(f));
		return;
	}
	caps_features_unref(rcu_swap(h->features, NULL));
	free(h->disco_node);
	h->disco_node = xstrdup(claim.disco_node);
	if (claim.can_be_verified)
		look_up(ss, h);
	else
		ask_client(ss, h);
}

/* Of one host. */
struct caps {
	uint64_t started_ms; /* wall clock */
	uint64_t caught_up_ms; /* on the other clock */
	RCU_PTR(struct own_caps) own; /* the server's; NULL: not made yet */
};

static enum hook_next caps_presence(void *subject, void *arg UNUSED)
{
	const struct session_presence *p = subject;

	shard_check(NULL);
	if (p->stanza->type == PRES_AVAILABLE)
		listen_to(p->session, p->stanza);
	else
		forget(p->session);
	return HOOK_GO_ON;
}

static enum hook_next caps_closed(void *subject, void *arg UNUSED)
{
	forget(subject);
	return HOOK_GO_ON;
}

/* A session that was there before the module (one that another process had, too), whose presence
 * has not been looked at. */
ON_SHARD static void catch_up(struct session *ss)
{
	if (!ss->presence || holder_find(ss->id))
		return;
	holder_of(ss);
	listen_to(ss, ss->presence);
}

/* What a client sends: its answer among it. */
static enum hook_next caps_sending(void *subject, void *arg)
{
	const struct session_packet *p = subject;
	struct module_instance *mi = arg;
	const struct caps *caps = mi->data;
	uint32_t number = question_of(p);
	struct holder *h;

	shard_check(NULL);
	if (shard_now_ms() < caps->caught_up_ms && p->session->since_ms <= caps->started_ms)
		catch_up(p->session);
	h = number ? holder_find(p->session->id) : NULL;
	if (!h || h->question != number)
		return HOOK_GO_ON;
	h->question = 0;
	if (p->stanza->type == IQ_RESULT)
		judge(p->session, h, p->stanza);
	return HOOK_STOP;
}

/* ---- The server's own */

struct own_caps {
	uint64_t made_ms;
	char hash_1[CAPS_HASH_MAX], hash_2[CAPS_HASH_MAX];
};

/* Anew when it is old, so that a reload shows; NULL: mod_disco does not run. */
static const struct own_caps *own_caps(struct module_instance *mi)
{
	struct caps *caps = mi->data;
	struct own_caps *own = rcu_get(caps->own), *now;
	uint64_t ms = clock_ms();
	struct builder b;

	if (own && ms - own->made_ms < OWN_MS)
		return own;
	build_begin(&b, "iq", NS_CLIENT);
	if (!disco_server_info(mi->host, &b)) {
		build_drop(&b);
		return NULL;
	}
	now = xcalloc(1, sizeof(*now));
	now->made_ms = ms;
	caps_hash(CAPS_1, "sha-1", elem_first(b.stanza->root), NULL, now->hash_1);
	caps_hash(CAPS_2, ALGORITHM_2, elem_first(b.stanza->root), NULL, now->hash_2);
	build_drop(&b);
	own = rcu_swap(caps->own, now);
	if (own)
		rcu_free_later(own);
	return now;
}

/* XEP-0115 §6.3, XEP-0390 §5.3 */
static enum hook_next caps_features_of_stream(void *subject, void *arg)
{
	const struct stream_features *f = subject;
	struct module_instance *mi = arg;
	const struct caps_conf *conf = module_conf(mi);
	const struct own_caps *own = f->authenticated ? own_caps(mi) : NULL;

	if (!own || !*own->hash_1 || !*own->hash_2)
		return HOOK_GO_ON;
	build_open(f->features, "c", NS_CAPS);
	build_attr(f->features, "hash", "sha-1");
	build_attr(f->features, "node", conf->node);
	build_attr(f->features, "ver", own->hash_1);
	build_close(f->features);
	build_open(f->features, "c", NS_CAPS_2);
	build_open(f->features, "hash", NS_HASHES);
	build_attr(f->features, "algo", ALGORITHM_2);
	build_cdata(f->features, own->hash_2, strlen(own->hash_2));
	build_close(f->features);
	build_close(f->features);
	return HOOK_GO_ON;
}

static bool is_own_node(const char *node, const char *own)
{
	size_t len = strlen(own);

	return (strncmp(node, own, len) == 0 && node[len] == '#') ||
		strncmp(node, NODE_2, sizeof(NODE_2) - 1) == 0;
}

/* XEP-0115 §6.2: what the server says without a node. Whoever asks for an old hash sees that it is
 * another now. */
static enum hook_next caps_node(void *subject, void *arg)
{
	struct disco_query *q = subject;
	struct module_instance *mi = arg;
	const struct caps_conf *conf = module_conf(mi);
	struct builder b;

	if (q->scope != IQ_LOCAL || !q->node || !is_own_node(q->node, conf->node))
		return HOOK_GO_ON;
	q->known = true;
	if (q->part != DISCO_IDENTITIES)
		return HOOK_STOP;
	build_begin(&b, "iq", NS_CLIENT);
	if (disco_server_info(mi->host, &b))
		elem_each_child (elem_first(b.stanza->root), e)
			build_copy(q->answer, e);
	build_drop(&b);
	return HOOK_STOP;
}

/* ---- Life */

static int caps_start(struct module_instance *mi)
{
	struct caps *caps;
	int result;

	job_check();
	metric_register(&asked_metric);
	metric_register(&verified_metric);
	metric_register(&own_metric);
	metric_register(&bad_metric);
	if (!db_main()) {
		log_error("caps", "needs a database", L_STR("host", mi->host->name));
		return -ENODEV;
	}
	result = caps_cache_start();
	if (result)
		return result;
	caps = xcalloc(1, sizeof(*caps));
	caps->started_ms = clock_wall_ms();
	caps->caught_up_ms = clock_ms() + CATCH_UP_MS;
	mi->data = caps;
	return 0;
}

static void caps_stop(struct module_instance *mi)
{
	struct caps *caps = mi->data;
	struct cds_lfht_iter iter;
	struct cds_lfht_node *node;

	pthread_once(&known.made, make_table);
	cds_lfht_for_each (known.holders, &iter, node) {
		struct holder *h = caa_container_of(node, struct holder, node);

		tsan_acquire(h);
		if (h->host == mi->host)
			drop(h);
	}
	if (rcu_get(caps->own))
		rcu_free_later(rcu_get(caps->own));
	free(caps);
	caps_cache_stop();
}

const struct module module_caps = {
	.abi = LINNET_MODULE_ABI,
	.name = "caps",
	.help = "Knows what clients say that they can, by the hash in their presence, for modules "
		"that tell some clients what others have not asked for; and says the server's own "
		"hash.",
	.xeps = (const char *const[]){ "XEP-0115 1.6.0", "XEP-0390 0.3.2", NULL },
	.features = (const char *const[]){ NS_CAPS, NS_CAPS_2, NULL },
	.conf = caps_items,
	.conf_size = sizeof(struct caps_conf),
	.hooks = (const struct hook_row[]){ { &user_send_hook, 30, caps_sending },
		{ &session_presence_hook, 30, caps_presence },
		{ &session_closed_hook, 50, caps_closed },
		{ &stream_features_hook, 50, caps_features_of_stream },
		{ &disco_info_hook, 50, caps_node }, { 0 } },
	.start = caps_start,
	.stop = caps_stop,
};
LINNET_MODULE(module_caps);
