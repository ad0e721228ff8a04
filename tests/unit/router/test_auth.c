/* What all account backends share, and how a shard asks. */
#include "router/auth.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/db.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "xml/jid.h"

/* --- what backends share --------------------------------------------------------------------- */

static struct {
	char user[64], password[64];
	struct auth_account account;
	int failure; /* of the backend; 0: none */
} kept;

static int kept_find(void *arg, struct host *h, const char *user, struct auth_account *out)
{
	(void)arg, (void)h;
	if (kept.failure)
		return kept.failure;
	if (strcmp(user, kept.user) != 0)
		return AUTH_NO_SUCH_USER;
	*out = kept.account;
	return 0;
}

static int kept_create(void *arg, struct host *h, const char *user, const char *password)
{
	(void)arg, (void)h;
	snprintf(kept.user, sizeof(kept.user), "%s", user);
	snprintf(kept.password, sizeof(kept.password), "%s", password);
	return scram_make(SCRAM_SHA_256, password, 0, &kept.account.scram[SCRAM_SHA_256]);
}

static int kept_remove(void *arg, struct host *h, const char *user)
{
	(void)arg, (void)h;
	if (strcmp(user, kept.user) != 0)
		return AUTH_NO_SUCH_USER;
	kept.user[0] = 0;
	return 0;
}

static const struct auth_backend keeping = {
	.name = "test", .find = kept_find, .create = kept_create, .remove = kept_remove
};

static struct host *host;

static void setup(void)
{
	struct host_conf *conf = host_conf_new();

	rcu_thread_begin();
	atomic_store(&log_level, LOG_LEVEL_NONE);
	conf->scram_iterations = 4096;
	host = host_new("example.org", conf);
	auth_source_add(host, &keeping, NULL, NULL);
}

static void teardown(void)
{
	auth_stop();
	host_unref(host);
	rcu_thread_end();
	rcu_wait_later();
}

TestSuite(auth, .init = setup, .fini = teardown);

Test(auth, a_host_without_backend_says_so)
{
	struct auth_account account;
	uint64_t n;

	auth_source_remove(host, &keeping, NULL);
	cr_expect_eq(auth_find(host, "a", &account), -ENOSYS);
	cr_expect_eq(auth_check(host, "a", "p"), -ENOSYS);
	cr_expect_eq(auth_create(host, "a", "p"), -ENOSYS);
	cr_expect_eq(auth_set_password(host, "a", "p"), -ENOSYS);
	cr_expect_eq(auth_remove(host, "a"), -ENOSYS);
	cr_expect_eq(auth_count(host, &n), -ENOSYS);
	cr_expect_eq(auth_disable(host, "a"), -ENOSYS);
}

Test(auth, what_a_backend_cannot_do_is_read_only)
{
	auth_create(host, "a", "p");
	cr_expect_eq(auth_set_password(host, "a", "p"), AUTH_READ_ONLY);
	cr_expect_eq(auth_enable(host, "a"), AUTH_READ_ONLY);
}

Test(auth, passwords_are_prepared_and_compared)
{
	cr_expect_eq(auth_create(host, "juliet", "R\xc2\xad\xe2\x85\xa8"), 0);
	cr_expect_str_eq(kept.password, "RIX");
	cr_expect_eq(auth_check(host, "juliet", "RIX"), 0);
	cr_expect_eq(auth_check(host, "juliet", "R\xe2\x85\xa8"), 0);
	cr_expect_eq(auth_check(host, "juliet", "rix"), AUTH_WRONG);
	cr_expect_eq(auth_check(host, "juliet", ""), AUTH_WRONG);
	cr_expect_eq(auth_check(host, "juliet", "\x07"), AUTH_WRONG);
	cr_expect_eq(auth_check(host, "romeo", "RIX"), AUTH_NO_SUCH_USER);
	cr_expect_eq(auth_create(host, "romeo", ""), -EINVAL);
	cr_expect_eq(auth_create(host, "romeo", "\x07"), -EINVAL);
	cr_expect_eq(auth_create(host, "", "p"), -EINVAL);
	cr_expect_str_eq(kept.user, "juliet");
}

Test(auth, disabled_is_told_only_to_who_has_the_password)
{
	auth_create(host, "juliet", "secret");
	kept.account.disabled = true;
	cr_expect_eq(auth_check(host, "juliet", "secret"), AUTH_DISABLED);
	cr_expect_eq(auth_check(host, "juliet", "wrong"), AUTH_WRONG);
}

Test(auth, a_backend_that_is_away_is_not_a_wrong_password)
{
	auth_create(host, "juliet", "secret");
	kept.failure = -ECONNREFUSED;
	cr_expect_eq(auth_check(host, "juliet", "secret"), -ECONNREFUSED);
	cr_expect_eq(auth_check(host, "juliet", "wrong"), -ECONNREFUSED);
}

static enum hook_next note_removed(void *subject, void *arg)
{
	jid_write(subject, arg);
	return HOOK_GO_ON;
}

Test(auth, removing_runs_the_hook)
{
	char removed[JID_TEXT_MAX] = "";

	hook_add(host->hooks, &account_removed_hook, 50, note_removed, removed);
	auth_create(host, "juliet", "secret");
	cr_expect_eq(auth_remove(host, "romeo"), AUTH_NO_SUCH_USER);
	cr_expect_str_eq(removed, "");
	cr_expect_eq(auth_remove(host, "juliet"), 0);
	cr_expect_str_eq(removed, "juliet@example.org");
}

/* --- strangers ------------------------------------------------------------------------------- */

Test(auth, a_stranger_is_the_same_after_a_restart)
{
	char folder[] = "/tmp/linnet-auth-XXXXXX", path[64];
	struct db_conf conf = {
		.driver = "sqlite", .path = path, .cache_bytes = 1 << 20, .max_queue = 100
	};
	struct scram_verifier first[SCRAM_HASHES], again[SCRAM_HASHES], other[SCRAM_HASHES];
	struct db *db = NULL;

	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/db", folder);
	cr_assert_eq(jobs_start(1), 0);
	for (int run = 0; run < 2; run++) {
		cr_assert_eq(db_open(&conf, &db), 0);
		cr_assert_eq(auth_start(db), 0);
		for (int hash = 0; hash < SCRAM_HASHES; hash++) {
			auth_fake_verifier(host, "nobody", (enum scram_hash)hash,
				run ? &again[hash] : &first[hash]);
			auth_fake_verifier(host, "nobody2", (enum scram_hash)hash, &other[hash]);
		}
		auth_stop();
		db_close(db);
	}
	cr_assert_eq(auth_start(NULL), 0);
	for (int hash = 0; hash < SCRAM_HASHES; hash++) {
		cr_expect_eq(first[hash].iterations, 4096);
		cr_expect_eq(first[hash].salt_len, 16);
		cr_expect_arr_eq(first[hash].salt, again[hash].salt, 16);
		cr_expect_neq(memcmp(first[hash].salt, other[hash].salt, 16), 0);
		cr_expect_neq(memcmp(first[hash].salt, first[!hash].salt, 16), 0);
	}
	auth_fake_verifier(host, "nobody", SCRAM_SHA_1, &other[0]);
	cr_expect_neq(memcmp(first[0].salt, other[0].salt, 16), 0, "another secret");
	auth_stop();
	jobs_stop();
	unlink(path);
	rmdir(folder);
}

/* --- from a shard ---------------------------------------------------------------------------- */

struct asker {
	struct msg msg;
	struct auth_request request;
	int asked;
	struct shard *answered_on;
	sem_t done;
};

static void asker_done(struct auth_request *r)
{
	struct asker *a = container_of(r, struct asker, request);

	a->answered_on = shard_self();
	sem_post(&a->done);
}

static void asker_ask(struct msg *m)
{
	struct asker *a = container_of(m, struct asker, msg);

	a->asked = auth_ask(&a->request);
	if (a->asked)
		sem_post(&a->done);
}

static void ask(struct asker *a, enum auth_ask what, const char *user, const char *password)
{
	*a = (struct asker){ .msg.run = asker_ask };
	sem_init(&a->done, 0, 0);
	auth_request_init(&a->request, what, host, user, password, asker_done);
	shard_post(shard_at(0), &a->msg);
	sem_wait(&a->done);
	cr_expect_eq(a->asked, 0);
	cr_expect_eq(a->answered_on, shard_at(0));
	cr_expect_null(a->request.password, "wiped as soon as it was checked");
}

Test(auth, a_shard_asks_and_gets_the_answer_at_home)
{
	struct asker a;

	cr_assert_eq(shards_start(1), 0);
	cr_assert_eq(jobs_start(2), 0);
	cr_assert_eq(auth_start(NULL), 0);
	auth_create(host, "juliet", "secret");
	ask(&a, AUTH_ASK_FIND, "juliet", NULL);
	cr_expect_eq(a.request.result, 0);
	cr_expect_eq(a.request.account.scram[SCRAM_SHA_256].iterations, 4096);
	auth_request_fini(&a.request);
	ask(&a, AUTH_ASK_FIND, "romeo", NULL);
	cr_expect_eq(a.request.result, AUTH_NO_SUCH_USER);
	auth_request_fini(&a.request);
	ask(&a, AUTH_ASK_CHECK, "juliet", "secret");
	cr_expect_eq(a.request.result, 0);
	auth_request_fini(&a.request);
	ask(&a, AUTH_ASK_CHECK, "juliet", "wrong");
	cr_expect_eq(a.request.result, AUTH_WRONG);
	auth_request_fini(&a.request);
	auth_stop();
	jobs_stop();
	shards_stop();
}

/* Checks wait behind a gate until no more are taken. */
static sem_t gate;

static int gated_check(void *arg, struct host *h, const char *user, const char *password)
{
	(void)arg, (void)h, (void)user, (void)password;
	sem_wait(&gate);
	sem_post(&gate);
	return 0;
}

static _Atomic unsigned checked;

static void count_checked(struct auth_request *r)
{
	if (r->result == 0)
		checked++;
	auth_request_fini(r);
	free(r);
}

Test(auth, a_flood_of_checks_is_refused_and_finds_go_on)
{
	static const struct auth_backend gated = {
		.name = "gated", .find = kept_find, .check = gated_check
	};
	struct auth_request *r;
	struct asker a;
	unsigned taken = 0;

	sem_init(&gate, 0, 0);
	auth_source_add(host, &gated, NULL, NULL);
	cr_assert_eq(shards_start(1), 0);
	cr_assert_eq(jobs_start(4), 0);
	cr_assert_eq(auth_start(NULL), 0);
	for (;;) {
		char user[16];

		snprintf(user, sizeof(user), "user%u", taken);
		r = xmalloc(sizeof(*r));
		auth_request_init(r, AUTH_ASK_CHECK, host, user, "secret", count_checked);
		if (auth_ask(r))
			break;
		cr_assert_lt(++taken, 100000);
	}
	cr_expect_eq(auth_ask(r), -EAGAIN);
	auth_request_fini(r);
	free(r);
	ask(&a, AUTH_ASK_FIND, "romeo", NULL); /* answered while all checks wait */
	cr_expect_eq(a.request.result, AUTH_NO_SUCH_USER);
	auth_request_fini(&a.request);
	sem_post(&gate);
	auth_stop();
	cr_expect_eq(checked, taken);
	jobs_stop();
	shards_stop();
}
