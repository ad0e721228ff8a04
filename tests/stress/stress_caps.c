/* Clients come, say what they can, answer what they are asked and go, on several shards, while
 * other threads read what is known of them. What is read is always the features of one version and
 * whole, and ThreadSanitizer must find nothing. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/db.h"
#include "core/job.h"
#include "core/mem.h"
#include "modules/caps.h"
#include "modules/caps_hash.h"
#include "modules/registry.h"
#include "router/account.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "tests/support/on_shard.h"

#define SHARDS 3
#define CLIENTS 40 /* on each */
#define VERSIONS 7
#define ROUNDS 150
#define READERS 2

struct client {
	struct actor actor;
	struct session session;
	struct jid *jid;
	unsigned seed, version;
	bool here;
};

static struct host *host;
static struct client clients[SHARDS][CLIENTS];
static char hashes[VERSIONS][CAPS_HASH_MAX];
static _Atomic bool over;
static _Atomic uint64_t reads, knew;

/* ---- Clients */

static struct stanza *info_of(unsigned version, const char *id)
{
	char feature[32];
	struct builder b;

	build_begin(&b, "iq", NS_CLIENT);
	build_attr(&b, "type", "result");
	build_attr(&b, "id", id);
	build_attr(&b, "to", host->name);
	build_open(&b, "query", NS_DISCO_INFO);
	build_open(&b, "identity", NULL);
	build_attr(&b, "category", "client");
	build_attr(&b, "type", "pc");
	build_close(&b);
	for (unsigned i = 0; i <= version; i++) {
		snprintf(feature, sizeof(feature), "urn:%u:%u", version, i);
		build_open(&b, "feature", NULL);
		build_attr(&b, "var", feature);
		build_close(&b);
	}
	build_close(&b);
	REQUIRE(stanza_read_head(b.stanza) == STANZA_OK);
	return b.stanza;
}

static bool client_receive(struct actor *a, struct stanza *s, enum deliver_copies copies UNUSED)
{
	struct client *c = container_of(a, struct client, actor);
	struct session_packet packet = { &c->session, NULL };

	REQUIRE(s->type == IQ_GET);
	packet.stanza = info_of(c->version, s->id);
	hook_run(host->hooks, &user_send_hook, &packet);
	stanza_unref(packet.stanza);
	return true;
}

static struct session *client_session(struct actor *a)
{
	return &container_of(a, struct client, actor)->session;
}

static const struct recipient recipient = { .receive = client_receive, .session = client_session };
static const struct actor_class client_class = { .name = "client", .recipient = &recipient };

ON_SHARD static void come(struct client *c)
{
	struct session_presence presence = { &c->session, NULL, true };
	struct actor_id holder;
	struct builder b;

	actor_begin(&c->actor, &client_class);
	c->session.id = c->actor.id;
	REQUIRE(directory_enter(&c->session, 1000, &holder) == 0);
	build_begin(&b, "presence", NS_CLIENT);
	build_open(&b, "c", NS_CAPS);
	build_attr(&b, "hash", "sha-1");
	build_attr(&b, "node", "n");
	build_attr(&b, "ver", hashes[c->version]);
	build_close(&b);
	presence.stanza = build_end(&b);
	hook_run(host->hooks, &session_presence_hook, &presence);
	stanza_unref(presence.stanza);
	c->here = true;
}

ON_SHARD static void go(struct client *c)
{
	directory_leave(&c->session);
	hook_run(host->hooks, &session_closed_hook, &c->session);
	actor_end(&c->actor);
	c->here = false;
}

static void round_here(void *arg)
{
	struct client *all = arg;

	shard_check(NULL);
	for (unsigned i = 0; i < CLIENTS; i++) {
		if (all[i].here)
			go(&all[i]);
		else if (rand_r(&all[i].seed) % 2)
			continue;
		all[i].version = (unsigned)rand_r(&all[i].seed) % VERSIONS;
		come(&all[i]);
	}
}

static void all_go(void *arg)
{
	struct client *all = arg;

	shard_check(NULL);
	for (unsigned i = 0; i < CLIENTS; i++)
		if (all[i].here)
			go(&all[i]);
}

/* ---- Readers */

static void read_one(const struct jid *jid)
{
	const struct caps_features *f = caps_features(jid);
	char feature[32];

	atomic_fetch_add(&reads, 1);
	if (!f)
		return;
	atomic_fetch_add(&knew, 1);
	REQUIRE(f->n >= 1 && f->n <= VERSIONS);
	for (uint32_t i = 0; i < f->n; i++) {
		snprintf(feature, sizeof(feature), "urn:%u:%u", f->n - 1, i);
		REQUIRE(caps_features_have(f, feature));
	}
	REQUIRE(!caps_features_have(f, "urn:other") && !caps_wants(jid, "urn:0:0"));
}

static void *read_all(void *arg UNUSED)
{
	rcu_thread_begin();
	while (!atomic_load(&over)) {
		for (unsigned s = 0; s < SHARDS; s++)
			for (unsigned i = 0; i < CLIENTS; i++)
				read_one(clients[s][i].jid);
		rcu_quiescent();
	}
	rcu_thread_end();
	return NULL;
}

/* ---- The world */

static void make_clients(void)
{
	char name[32];

	for (unsigned s = 0; s < SHARDS; s++)
		for (unsigned i = 0; i < CLIENTS; i++) {
			struct client *c = &clients[s][i];

			snprintf(name, sizeof(name), "u%u-%u", s, i);
			REQUIRE(jid_make(name, host->name, "r", NULL, &c->jid) == 0);
			session_set_jid(&c->session, jid_dup(c->jid, NULL));
			c->session.host = host;
			c->session.since_ms = UINT64_MAX;
			c->seed = s * CLIENTS + i;
		}
	for (unsigned v = 0; v < VERSIONS; v++) {
		struct stanza *s = info_of(v, "x");

		REQUIRE(caps_hash(CAPS_1, "sha-1", elem_first(s->root), NULL, hashes[v]) ==
			CAPS_GOOD);
		stanza_unref(s);
	}
}

static void start_module(void)
{
	static const char yaml[] = "mod_caps: {}\n";
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("stress", yaml, sizeof(yaml) - 1, e);

	REQUIRE(f && registry_start_host(host, conf_root(f), e) == 0);
	conf_file_free(f);
	conf_errors_free(e);
}

static void open_database(char *folder, struct db **db)
{
	AUTO(free_ptr) char *path = NULL;
	struct db_conf conf = { .driver = "sqlite",
		.cache_bytes = 1 << 20,
		.max_queue = 10000,
		.synchronous = DB_SYNC_OFF };

	REQUIRE(mkdtemp(folder));
	path = xprintf("%s/db", folder);
	conf.path = path;
	REQUIRE(db_open(&conf, db) == 0);
	db_main_set(*db);
}

static void remove_database(const char *folder)
{
	static const char *const endings[] = { "", "-wal", "-shm", "-lock" };

	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		AUTO(free_ptr) char *path = xprintf("%s/db%s", folder, endings[i]);

		unlink(path);
	}
	rmdir(folder);
}

int main(void)
{
	char folder[] = "/tmp/linnet-stress-caps-XXXXXX";
	pthread_t readers[READERS];
	struct db *db;

	rcu_thread_begin();
	directory_init();
	REQUIRE(jobs_start(2) == 0);
	accounts_start();
	REQUIRE(shards_start(SHARDS) == 0);
	open_database(folder, &db);
	host = host_new("stress.example", host_conf_new());
	REQUIRE(route_register_host(host) == 0);
	make_clients();
	start_module();
	for (unsigned i = 0; i < READERS; i++)
		REQUIRE(pthread_create(&readers[i], NULL, read_all, NULL) == 0);
	for (unsigned r = 0; r < ROUNDS; r++) {
		for (unsigned s = 0; s < SHARDS; s++)
			on_shard(s, round_here, clients[s]);
		rcu_quiescent();
	}
	while (!atomic_load(&knew))
		rcu_quiescent();
	registry_stop_host(host); /* in the midst of it */
	for (unsigned s = 0; s < SHARDS; s++)
		on_shard(s, all_go, clients[s]);
	atomic_store(&over, true);
	rcu_thread_end();
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	rcu_thread_begin();
	accounts_stop();
	db_main_set(NULL);
	db_close(db); /* before the shards, which its writer posts to */
	shards_stop();
	jobs_stop();
	route_unregister("stress.example");
	host_unref(host);
	rcu_wait_later();
	rcu_wait_later();
	directory_fini();
	for (unsigned s = 0; s < SHARDS; s++)
		for (unsigned i = 0; i < CLIENTS; i++) {
			jid_free(clients[s][i].jid);
			session_set_jid(&clients[s][i].session, NULL);
		}
	rcu_thread_end();
	remove_database(folder);
	printf("%llu reads, %llu of what is known\n", (unsigned long long)atomic_load(&reads),
		(unsigned long long)atomic_load(&knew));
	return 0;
}
