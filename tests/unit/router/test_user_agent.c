/* Clients of accounts and their tokens, in the database. XEP-0388 §2.3, XEP-0484 §3.5, §5.1. */
#include "router/user_agent.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/job.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/shard.h"

#define PHONE "d4565fa7-4d72-4749-b3d3-740edbf87770"
#define LAPTOP "00000000-0000-4000-8000-000000000001"
#define DAY 86400

static char folder[] = "/tmp/linnet-user-agents-XXXXXX";
static char path[64];
static struct db *db;
static struct host *host;
static struct host_conf *conf;

static void setup(void)
{
	struct db_conf how = {
		.driver = "sqlite", .path = path, .cache_bytes = 1 << 20, .max_queue = 100
	};

	rcu_thread_begin();
	atomic_store(&log_level, LOG_LEVEL_NONE);
	job_check();
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/db", folder);
	cr_assert_eq(db_open(&how, &db), 0);
	db_main_set(db);
	cr_assert_eq(user_agents_start(db), 0);
	conf = host_conf_new();
	conf->max_user_agents = 3;
	conf->user_agent_lifetime_ms = 90LL * DAY * 1000;
	host = host_new("example.org", conf);
}

static void teardown(void)
{
	static const char *const endings[] = { "", "-wal", "-shm" };
	char name[80];

	host_unref(host);
	db_main_set(NULL);
	db_close(db);
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		snprintf(name, sizeof(name), "%s%s", path, endings[i]);
		unlink(name);
	}
	rmdir(folder);
	rcu_thread_end();
}
TestSuite(user_agent, .init = setup, .fini = teardown, .timeout = 60);

/* --- one login, waited for; no shard asks, so done() runs on the writer's thread -------------- */

static sem_t told;
static int result;

static void visit_told(struct user_agent_visit *v)
{
	result = v->result;
	sem_post(&told);
}

static struct user_agent_visit *visit(const char *user, const char *id)
{
	struct user_agent ua = { 0 };

	cr_assert(user_agent_read_id(id, ua.id));
	return user_agent_visit_new(host, user, &ua);
}

static int note(struct user_agent_visit *v)
{
	sem_init(&told, 0, 0);
	v->done = visit_told;
	cr_assert_eq(user_agent_note(v), 0);
	sem_wait(&told);
	return result;
}

/* Every byte of its hash is the same. */
static struct token token(uint8_t byte, int64_t expires)
{
	struct token t = { .mechanism = 2, .issued = expires - DAY, .expires = expires };

	memset(t.hash, byte, TOKEN_HASH);
	return t;
}

static int log_in(const char *user, const char *id, uint8_t fresh, int64_t expires)
{
	struct user_agent_visit *v = visit(user, id);

	if (fresh)
		v->fresh = token(fresh, expires);
	return note(v);
}

static struct user_agent_visit *by_token(const char *id, uint8_t used)
{
	struct user_agent_visit *v = visit("juliet", id);

	v->by_token = true;
	memset(v->used, used, TOKEN_HASH);
	return v;
}

static struct user_agent found;
static int find(const char *user, const char *id)
{
	return user_agent_find(host, user, id, &found);
}

/* By the first byte of the hash; 0: none. */
static uint8_t in_slot(enum token_slot slot)
{
	return found.tokens[slot].expires ? found.tokens[slot].hash[0] : 0;
}

static int64_t in_a_day(void)
{
	return (int64_t)time(NULL) + DAY;
}

Test(user_agent, ids)
{
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ PHONE, true },
		{ "D4565FA7-4D72-4749-B3D3-740EDBF87770", true },
		{ "", false },
		{ PHONE "0", false },
		{ "d4565fa7-4d72-4749-b3d3-740edbf8777", false },
		{ "d4565fa7-4d72-4749-b3d3-740edbf8777g", false },
		{ "d4565fa74d724749b3d3740edbf87770----", false },
	};
	char id[USER_AGENT_ID + 1];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		cr_expect_eq(user_agent_read_id(rows[i].text, id), rows[i].good, "RFC 4122 §3: %s",
			rows[i].text);
		if (rows[i].good)
			cr_expect_str_eq(id, PHONE);
	}
	cr_expect_eq(user_agent_key(""), 0u);
	cr_expect_neq(user_agent_key(PHONE), user_agent_key(LAPTOP));
}

Test(user_agent, texts_are_cut_between_characters)
{
	char text[2 * USER_AGENT_TEXT + 10], out[USER_AGENT_TEXT + 1];

	text[0] = 'x';
	for (int i = 0; i < USER_AGENT_TEXT; i++)
		memcpy(text + 1 + 2 * i, "é", 3);
	user_agent_text(text, out);
	cr_expect_eq(strlen(out), USER_AGENT_TEXT - 1, "x and 63 of two bytes");
	user_agent_text("short", out);
	cr_expect_str_eq(out, "short");
}

Test(user_agent, is_remembered)
{
	struct user_agent_visit *v = visit("juliet", PHONE);

	strcpy(v->agent.software, "Aves");
	strcpy(v->agent.device, "Phone");
	cr_expect_eq(find("juliet", PHONE), USER_AGENT_UNKNOWN);
	cr_assert_eq(note(v), 0);
	cr_assert_eq(find("juliet", PHONE), 0);
	cr_expect_str_eq(found.software, "Aves");
	cr_expect_eq(found.ways, USER_AGENT_PASSWORD);
	cr_expect_not(user_agent_has_token(&found, (int64_t)time(NULL)));
	cr_expect(user_agent_has_access(&found, (int64_t)time(NULL)));
	cr_assert_eq(log_in("juliet", PHONE, 0, 0), 0);
	find("juliet", PHONE);
	cr_expect_str_eq(found.device, "Phone", "not told again, not forgotten");
	cr_expect_eq(find("romeo", PHONE), USER_AGENT_UNKNOWN);
}

/* Each row: what the two slots hold, which token is used, what they hold afterwards. */
Test(user_agent, slots)
{
	static const struct {
		const char *section;
		uint8_t fresh, current, used, given;
		bool invalidate;
		int want;
		uint8_t fresh_then, current_then;
	} rows[] = {
		{ "XEP-0484 §5.1 first use", 1, 0, 1, 0, false, 0, 0, 1 },
		{ "XEP-0484 §3.5 ends the one before", 2, 1, 2, 0, false, 0, 0, 2 },
		{ "XEP-0484 §3.5 unused, so the older one holds", 2, 1, 1, 0, false, 0, 2, 1 },
		{ "XEP-0484 §3.5 a new one", 0, 1, 1, 3, false, 0, 3, 1 },
		{ "XEP-0484 §3.5 in place of one never used", 2, 1, 1, 3, false, 0, 3, 1 },
		{ "XEP-0484 §3.5 used and replaced at once", 2, 1, 2, 3, false, 0, 3, 2 },
		{ "XEP-0484 §3.6", 2, 1, 1, 0, true, 0, 0, 0 },
		{ "XEP-0484 §3.6 the fresh one", 2, 1, 2, 0, true, 0, 0, 0 },
		{ "XEP-0484 §3.6 unless asked for", 0, 1, 1, 3, true, 0, 3, 0 },
		{ "taken away meanwhile", 2, 1, 9, 3, false, -ENOENT, 2, 1 },
		{ "no token at all", 0, 0, 1, 3, false, -ENOENT, 0, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct user_agent_visit *v;

		user_agents_remove(host, "juliet");
		cr_assert_eq(log_in("juliet", PHONE, rows[i].current, in_a_day()), 0);
		if (rows[i].current)
			cr_assert_eq(note(by_token(PHONE, rows[i].current)), 0);
		if (rows[i].fresh)
			cr_assert_eq(log_in("juliet", PHONE, rows[i].fresh, in_a_day() + 1), 0);
		v = by_token(PHONE, rows[i].used);
		v->invalidate = rows[i].invalidate;
		if (rows[i].given)
			v->fresh = token(rows[i].given, in_a_day() + 2);
		cr_expect_eq(note(v), rows[i].want, "%s", rows[i].section);
		cr_assert_eq(find("juliet", PHONE), 0);
		cr_expect_eq(in_slot(TOKEN_FRESH), rows[i].fresh_then, "%s", rows[i].section);
		cr_expect_eq(in_slot(TOKEN_CURRENT), rows[i].current_then, "%s", rows[i].section);
	}
	cr_expect_eq(note(by_token(LAPTOP, 1)), -ENOENT, "a client that nobody knows");
}

/* XEP-0484 §3.5: all of an earlier expiry, whatever slot: a lifetime that was made shorter. */
Test(user_agent, earlier_expiry_goes)
{
	log_in("juliet", PHONE, 1, in_a_day() + 100);
	note(by_token(PHONE, 1));
	log_in("juliet", PHONE, 2, in_a_day());
	cr_assert_eq(note(by_token(PHONE, 1)), 0);
	find("juliet", PHONE);
	cr_expect_eq(in_slot(TOKEN_FRESH), 0);
}

Test(user_agent, counts_upwards)
{
	static const uint32_t counts[] = { 5, 0, 3, 7 }, kept[] = { 5, 5, 5, 7 };

	log_in("juliet", PHONE, 1, in_a_day());
	for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
		struct user_agent_visit *v = by_token(PHONE, 1);

		v->count = counts[i];
		cr_assert_eq(note(v), 0);
		find("juliet", PHONE);
		cr_expect_eq(found.tokens[TOKEN_CURRENT].count, kept[i], "XEP-0484 §3.4");
	}
}

static void count_one(const struct user_agent *ua, void *arg)
{
	(void)ua;
	(*(unsigned *)arg)++;
}

static unsigned number(const char *user)
{
	unsigned n = 0;

	cr_assert_eq(user_agent_each(host, user, count_one, &n), 0);
	return n;
}

Test(user_agent, few_of_an_account)
{
	char id[USER_AGENT_ID + 1];

	log_in("romeo", PHONE, 0, 0);
	for (int i = 0; i < 10; i++) {
		snprintf(id, sizeof(id), "00000000-0000-4000-8000-%012d", i);
		cr_assert_eq(log_in("juliet", id, 0, 0), 0);
		cr_expect_eq(number("juliet"), i < 3 ? (unsigned)i + 1 : 3u);
		cr_assert_eq(find("juliet", id), 0, "the newest stays");
	}
	cr_expect_eq(number("romeo"), 1);
}

static int age(struct db_tx *tx, void *arg)
{
	static struct db_stmt stmt = DB_STMT(
		"test_age", "UPDATE user_agents SET last_seen = last_seen - ? WHERE id = ?");
	const char *id = arg;

	return db_run(tx, &stmt, DB_PARAMS(db_int(91LL * DAY), db_text(id)));
}

Test(user_agent, forgotten_in_time)
{
	log_in("juliet", PHONE, 0, 0);
	log_in("romeo", LAPTOP, 1, in_a_day());
	cr_assert_eq(db_write(db, age, (void *)PHONE), 1);
	cr_assert_eq(db_write(db, age, (void *)LAPTOP), 1);
	cr_expect_eq(number("juliet"), 0, "not told of any more");
	cr_expect_eq(number("romeo"), 1, "it has a token");
	log_in("nurse", PHONE, 0, 0);
	cr_expect_eq(find("juliet", PHONE), USER_AGENT_UNKNOWN, "and gone with the next newcomer");
	cr_expect_eq(find("romeo", LAPTOP), 0);
}

Test(user_agent, nothing_is_kept_of_those_without_a_token)
{
	struct user_agent_visit *v;

	conf->user_agent_lifetime_ms = 0;
	log_in("juliet", PHONE, 0, 0);
	cr_expect_eq(find("juliet", PHONE), USER_AGENT_UNKNOWN);
	v = visit("juliet", PHONE);
	strcpy(v->agent.software, "Aves");
	v->fresh = token(1, in_a_day());
	cr_assert_eq(note(v), 0);
	cr_assert_eq(find("juliet", PHONE), 0);
	cr_expect_str_eq(found.software, "");
}

static unsigned revoked;
static uint64_t revoked_key;

static enum hook_next see_revoked(void *subject, void *arg)
{
	const struct user_agent_revoked *r = subject;

	(void)arg;
	cr_expect_str_eq(jid_local(r->account), "juliet");
	revoked_key = r->user_agent;
	revoked++;
	return HOOK_GO_ON;
}

Test(user_agent, taken_away)
{
	hook_add(host->hooks, &user_agent_revoked_hook, 50, see_revoked, NULL);
	log_in("juliet", PHONE, 1, in_a_day());
	log_in("juliet", LAPTOP, 2, in_a_day());
	cr_assert_eq(user_agent_revoke(host, "juliet", PHONE), 0);
	cr_expect_eq(revoked, 1);
	cr_expect_eq(revoked_key, user_agent_key(PHONE));
	cr_expect_eq(find("juliet", PHONE), USER_AGENT_UNKNOWN);
	cr_expect_eq(note(by_token(PHONE, 1)), -ENOENT);
	cr_expect_eq(user_agent_revoke(host, "juliet", PHONE), USER_AGENT_UNKNOWN);
	cr_assert_eq(user_agents_disown(host, "juliet"), 0);
	cr_assert_eq(find("juliet", LAPTOP), 0);
	cr_expect_not(user_agent_has_access(&found, (int64_t)time(NULL)), "another password");
	cr_expect_eq(note(by_token(LAPTOP, 2)), -ENOENT);
	cr_assert_eq(user_agents_remove(host, "juliet"), 0);
	cr_expect_eq(number("juliet"), 0);
	hook_remove(host->hooks, &user_agent_revoked_hook, 50, see_revoked, NULL);
}

Test(user_agent, tokens_taken_away)
{
	static const struct {
		const char *user, *software;
		int want;
	} rows[] = {
		{ "juliet", "Aves", 1 },
		{ "juliet", NULL, 1 },
		{ NULL, "Aves", 2 },
		{ NULL, NULL, 3 },
		{ NULL, "Columba", 0 },
		{ "nurse", NULL, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		static const char *const users[] = { "juliet", "romeo", "tybalt" };

		for (size_t u = 0; u < ARRAY_LEN(users); u++) {
			struct user_agent_visit *v = visit(users[u], PHONE);

			strcpy(v->agent.software, u < 2 ? "Aves" : "Corvus");
			v->fresh = token(1, in_a_day());
			cr_assert_eq(note(v), 0);
		}
		cr_expect_eq(user_agents_revoke_tokens(host, rows[i].user, rows[i].software),
			rows[i].want, "%zu", i);
	}
}

Test(user_agent, without_a_database)
{
	struct user_agent_visit *v = visit("juliet", PHONE);

	db_main_set(NULL);
	cr_expect_eq(user_agent_note(v), -ENOSYS);
	user_agent_visit_free(v);
	cr_expect_eq(find("juliet", PHONE), -ENOSYS);
	cr_expect_eq(user_agents_disown(host, "juliet"), 0);
	cr_expect_eq(user_agents_remove(host, "juliet"), 0);
	db_main_set(db);
}
