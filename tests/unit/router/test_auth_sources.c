/* Several sources of accounts on one host: whose an account is, and what one that does not answer
 * costs the others. */
#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "router/auth_cache.h"
#include "router/auth_source.h"

/* --- two sources: "near" answers at once, "far" has threads of its own and can be held up --------
 */

struct source {
	const char *users[4], *password; /* of all of them */
	int failure; /* it is away: this errno */
	bool vague; /* says AUTH_REFUSED */
	_Atomic unsigned finds, checks, freed;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool held; /* its answers wait */
	unsigned inside;
};
static struct source near, far;
static struct host *host;
static struct host_conf *conf;

static void wait_inside(struct source *s)
{
	bool reading = rcu_offline();

	pthread_mutex_lock(&s->lock);
	s->inside++;
	pthread_cond_broadcast(&s->changed);
	while (s->held)
		pthread_cond_wait(&s->changed, &s->lock);
	s->inside--;
	pthread_mutex_unlock(&s->lock);
	rcu_online(reading);
}

static void hold(struct source *s)
{
	pthread_mutex_lock(&s->lock);
	s->held = true;
	pthread_mutex_unlock(&s->lock);
}

static void await_inside(struct source *s, unsigned n)
{
	pthread_mutex_lock(&s->lock);
	while (s->inside < n)
		pthread_cond_wait(&s->changed, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

static void let_go(struct source *s)
{
	pthread_mutex_lock(&s->lock);
	s->held = false;
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static bool knows(const struct source *s, const char *user)
{
	for (size_t i = 0; i < ARRAY_LEN(s->users) && s->users[i]; i++)
		if (strcmp(s->users[i], user) == 0)
			return true;
	return false;
}

static int find(void *arg, struct host *h UNUSED, const char *user, struct auth_account *out UNUSED)
{
	struct source *s = arg;

	s->finds++;
	wait_inside(s);
	return s->failure ? s->failure : knows(s, user) ? 0 : AUTH_NO_SUCH_USER;
}

static int check(void *arg, struct host *h UNUSED, const char *user, const char *password)
{
	struct source *s = arg;

	s->checks++;
	wait_inside(s);
	if (s->failure)
		return s->failure;
	if (knows(s, user) && strcmp(password, s->password) == 0)
		return 0;
	if (s->vague)
		return AUTH_REFUSED;
	return knows(s, user) ? AUTH_WRONG : AUTH_NO_SUCH_USER;
}

static int list(void *arg, struct host *h UNUSED, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	struct source *s = arg;

	for (size_t i = 0; i < ARRAY_LEN(s->users) && s->users[i] && max; i++) {
		if (strcmp(s->users[i], after) <= 0)
			continue;
		fn(s->users[i], fn_arg);
		max--;
	}
	return s->failure;
}

static int count(void *arg, struct host *h UNUSED, uint64_t *out)
{
	struct source *s = arg;

	while (*out < ARRAY_LEN(s->users) && s->users[*out])
		++*out;
	return s->failure;
}

static int create(void *arg, struct host *h UNUSED, const char *user UNUSED, const char *password)
{
	struct source *s = arg;

	s->users[0] = "made";
	s->password = strcmp(password, "made") == 0 ? "made" : NULL;
	return s->failure;
}

static void freed(void *arg)
{
	((struct source *)arg)->freed++;
}

static const struct auth_backend near_backend = { .name = "near",
	.method = AUTH_BY_INTERNAL,
	.find = find,
	.check = check,
	.list = list,
	.count = count,
	.create = create };
static const struct auth_backend far_backend = { .name = "far",
	.method = AUTH_BY_EXTERNAL,
	.raw_passwords = true,
	.find = find,
	.check = check,
	.list = list,
	.count = count };
static const struct auth_source_conf near_conf = { .sasl = SASL_SCRAM_ALL | SASL_PLAIN };

static void add_far(unsigned threads, unsigned max_waiting, uint64_t timeout_ms)
{
	auth_source_add(host, &far_backend, &far,
		&(struct auth_source_conf){ .threads = threads,
			.max_waiting = max_waiting,
			.timeout_ms = timeout_ms,
			.free = freed });
}

static void order(enum auth_method first, enum auth_method second)
{
	conf->sources_unsaid = false;
	conf->sources[0] = (uint8_t)first;
	conf->sources[1] = (uint8_t)second;
	conf->n_sources = 2;
}

static void setup(void)
{
	rcu_thread_begin();
	atomic_store(&log_level, LOG_LEVEL_NONE);
	near = (struct source){ .users = { "both", "juliet" }, .password = "near" };
	far = (struct source){ .users = { "both", "romeo" }, .password = "far" };
	pthread_mutex_init(&near.lock, NULL);
	pthread_mutex_init(&far.lock, NULL);
	pthread_cond_init(&near.changed, NULL);
	pthread_cond_init(&far.changed, NULL);
	conf = host_conf_new();
	conf->scram_iterations = 4096;
	conf->use_auth_cache = conf->auth_cache_missed = true;
	conf->auth_cache_size = 64;
	conf->auth_cache_life_ms = 3600000;
	host = host_new("example.org", conf);
	order(AUTH_BY_INTERNAL, AUTH_BY_EXTERNAL);
	auth_source_add(host, &near_backend, &near, &near_conf);
	cr_assert_eq(jobs_start(2), 0);
	cr_assert_eq(shards_start(1), 0);
	cr_assert_eq(auth_start(NULL), 0);
}

static void teardown(void)
{
	let_go(&far);
	auth_source_remove(host, &far_backend, &far);
	auth_source_remove(host, &near_backend, &near);
	auth_stop();
	shards_stop();
	jobs_stop();
	host_unref(host);
	rcu_thread_end();
	rcu_wait_later();
}

TestSuite(auth_sources, .init = setup, .fini = teardown, .timeout = 60);

/* --- whose an account is --------------------------------------------------------------------- */

Test(auth_sources, an_account_belongs_to_the_first_that_knows_it)
{
	struct auth_account found;

	add_far(2, 0, 0);
	cr_expect_eq(auth_check(host, "both", "near"), 0);
	cr_expect_eq(auth_check(host, "both", "far"), AUTH_WRONG, "it is not asked there");
	cr_expect_eq(auth_check(host, "romeo", "far"), 0);
	cr_expect_eq(auth_check(host, "nobody", "far"), AUTH_NO_SUCH_USER);
	cr_expect_eq(auth_find(host, "both", &found), 0);
	cr_expect_eq(found.source, AUTH_BY_INTERNAL);
	cr_expect_eq(auth_find(host, "romeo", &found), 0);
	cr_expect_eq(found.source, AUTH_BY_EXTERNAL);
	order(AUTH_BY_EXTERNAL, AUTH_BY_INTERNAL);
	cr_expect_eq(auth_check(host, "both", "near"), AUTH_WRONG);
	cr_expect_eq(auth_check(host, "both", "far"), 0);
	cr_expect_eq(auth_check(host, "juliet", "near"), 0);
}

/* What cannot tell a wrong password from an unknown name is asked for the name, too. */
Test(auth_sources, a_vague_source_keeps_its_accounts)
{
	add_far(2, 0, 0);
	far.vague = true;
	cr_expect_eq(auth_check(host, "romeo", "wrong"), AUTH_WRONG);
	cr_expect_eq(far.finds, 0, "nobody comes behind it");
	order(AUTH_BY_EXTERNAL, AUTH_BY_INTERNAL);
	cr_expect_eq(auth_check(host, "both", "near"), AUTH_WRONG);
	cr_expect_eq(auth_check(host, "juliet", "near"), 0);
}

Test(auth_sources, one_that_is_away_decides_for_nobody_before_it)
{
	add_far(2, 0, 0);
	far.failure = -ECONNREFUSED;
	cr_expect_eq(auth_check(host, "juliet", "near"), 0);
	cr_expect_eq(auth_check(host, "juliet", "wrong"), AUTH_WRONG);
	cr_expect_eq(auth_check(host, "romeo", "far"), -ECONNREFUSED);
	order(AUTH_BY_EXTERNAL, AUTH_BY_INTERNAL);
	cr_expect_eq(auth_check(host, "juliet", "near"), -ECONNREFUSED, "whose is she?");
	far.failure = 0;
	cr_expect_eq(auth_check(host, "juliet", "near"), 0);
	far.failure = -ECONNREFUSED;
	cr_expect_eq(auth_check(host, "juliet", "near"), 0, "not far's, as it said itself");
}

Test(auth_sources, a_source_that_is_named_and_not_there_is_away)
{
	cr_expect_eq(auth_check(host, "juliet", "near"), 0);
	cr_expect_eq(auth_check(host, "romeo", "far"), -ENOSYS);
}

Test(auth_sources, passwords_are_prepared_where_they_are_ours)
{
	add_far(2, 0, 0);
	near.password = "IX";
	far.password = "\xe2\x85\xa8"; /* as it was sent: U+2168 */
	cr_expect_eq(auth_check(host, "juliet", "\xe2\x85\xa8"), 0);
	cr_expect_eq(auth_check(host, "romeo", "\xe2\x85\xa8"), 0);
	far.password = "\x07";
	cr_expect_eq(auth_check(host, "romeo", "\x07"), 0, "no password of ours could be that");
	cr_expect_eq(auth_check(host, "juliet", "\x07"), AUTH_WRONG);
}

static void collect(const char *user, void *arg)
{
	strcat(strcat(arg, user), " ");
}

Test(auth_sources, lists_are_merged)
{
	char names[64] = "";
	uint64_t n = 0;

	add_far(2, 0, 0);
	cr_expect_eq(auth_list(host, "", 10, collect, names), 0);
	cr_expect_str_eq(names, "both juliet romeo ");
	names[0] = 0;
	cr_expect_eq(auth_list(host, "both", 1, collect, names), 0);
	cr_expect_str_eq(names, "juliet ");
	cr_expect_eq(auth_count(host, &n), 0);
	cr_expect_eq(n, 4);
}

Test(auth_sources, accounts_are_made_where_they_can_be_and_nobody_has_them)
{
	add_far(2, 0, 0);
	cr_expect_eq(auth_create(host, "romeo", "made"), AUTH_EXISTS);
	far.failure = -EIO;
	cr_expect_eq(auth_create(host, "made", "made"), -EIO, "it may be far's");
	far.failure = 0;
	cr_expect_eq(auth_create(host, "made", "made"), 0);
	cr_expect_eq(auth_check(host, "made", "made"), 0);
	cr_expect_eq(auth_set_password(host, "romeo", "x"), AUTH_READ_ONLY);
	cr_expect_eq(auth_remove(host, "romeo"), AUTH_READ_ONLY);
	cr_expect_eq(auth_disable(host, "romeo"), AUTH_READ_ONLY);
}

Test(auth_sources, mechanisms_are_what_all_accounts_can_use)
{
	const uint32_t all = SASL_SCRAM_ALL | SASL_PLAIN | SASL_ANONYMOUS;

	order(AUTH_BY_INTERNAL, AUTH_BY_INTERNAL);
	cr_expect_eq(auth_mechanisms(host, conf, all), all);
	order(AUTH_BY_INTERNAL, AUTH_BY_EXTERNAL);
	add_far(2, 0, 0);
	cr_expect_eq(auth_mechanisms(host, conf, all), SASL_PLAIN | SASL_ANONYMOUS);
	cr_expect_eq(auth_mechanisms(host, conf, SASL_SCRAM_SHA_1), 0);
	conf->scram_beside_plain = true;
	cr_expect_eq(auth_mechanisms(host, conf, all), all);
}

/* --- what is remembered ---------------------------------------------------------------------- */

Test(auth_sources, whether_an_account_exists_is_asked_once)
{
	struct auth_account found;

	add_far(2, 0, 0);
	for (int i = 0; i < 3; i++) {
		cr_expect_eq(auth_find(host, "romeo", &found), 0);
		cr_expect_eq(auth_find(host, "nobody", &found), AUTH_NO_SUCH_USER);
	}
	cr_expect_eq(far.finds, 2);
	cr_expect_eq(near.finds, 6, "what answers at once needs no memory");
	cr_expect_eq(auth_check(host, "romeo", "far"), 0);
	cr_expect_eq(auth_check(host, "romeo", "far"), 0);
	cr_expect_eq(far.checks, 2, "logins always ask");
}

Test(auth_sources, what_was_said_serves_while_it_is_away)
{
	struct auth_account found;

	add_far(2, 0, 0);
	conf->auth_cache_life_ms = 0; /* all of it is old */
	cr_expect_eq(auth_find(host, "romeo", &found), 0);
	cr_expect_eq(auth_find(host, "nobody", &found), AUTH_NO_SUCH_USER);
	far.failure = -EIO;
	cr_expect_eq(auth_find(host, "romeo", &found), 0);
	cr_expect_eq(auth_find(host, "nobody", &found), AUTH_NO_SUCH_USER);
	cr_expect_eq(auth_find(host, "somebody", &found), -EIO);
	cr_expect_eq(auth_check(host, "romeo", "far"), -EIO, "but nobody logs in by that");
}

Test(auth_sources, the_cache_is_bounded_and_can_be_off)
{
	struct auth_account found;
	char user[16];

	add_far(2, 0, 0);
	for (int i = 0; i < 200; i++) {
		snprintf(user, sizeof(user), "user%d", i);
		auth_cache_note(host, AUTH_BY_EXTERNAL, user, true);
	}
	cr_expect_eq(auth_cache_ask(host, AUTH_BY_EXTERNAL, "user199", false), AUTH_KNOWN_YES);
	cr_expect_eq(auth_cache_ask(host, AUTH_BY_EXTERNAL, "user0", true), AUTH_UNKNOWN);
	cr_expect_eq(auth_cache_ask(host, AUTH_BY_LDAP, "user199", true), AUTH_UNKNOWN);
	auth_cache_forget(host, "user199");
	cr_expect_eq(auth_cache_ask(host, AUTH_BY_EXTERNAL, "user199", true), AUTH_UNKNOWN);
	conf->auth_cache_missed = false;
	for (int i = 0; i < 2; i++)
		cr_expect_eq(auth_find(host, "nobody", &found), AUTH_NO_SUCH_USER);
	cr_expect_eq(far.finds, 2);
	conf->use_auth_cache = false;
	for (int i = 0; i < 2; i++)
		cr_expect_eq(auth_find(host, "romeo", &found), 0);
	cr_expect_eq(far.finds, 4);
}

/* --- one that hangs -------------------------------------------------------------------------- */

struct asker {
	struct msg msg;
	struct auth_request request;
	int asked;
	sem_t done;
};

static void asker_done(struct auth_request *r)
{
	struct asker *a = container_of(r, struct asker, request);

	cr_expect_eq(shard_self(), shard_at(0));
	cr_expect_null(r->password);
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
}

/* What came of it; -EAGAIN: it was not taken. */
static int answer(struct asker *a)
{
	int result;

	sem_wait(&a->done);
	result = a->asked ? a->asked : a->request.result;
	auth_request_fini(&a->request);
	return result;
}

static unsigned how_many_inside(struct source *s)
{
	unsigned n;

	pthread_mutex_lock(&s->lock);
	n = s->inside;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* However short the time-out is. */
static void ask_until_inside(struct asker *a)
{
	for (;;) {
		bool over = false;

		ask(a, AUTH_ASK_CHECK, "romeo", "far");
		while (!how_many_inside(&far) && !over) {
			sched_yield();
			over = sem_trywait(&a->done) == 0;
		}
		if (!over)
			return;
		sem_post(&a->done);
		if (how_many_inside(&far))
			return;
		answer(a);
	}
}

Test(auth_sources, requests_walk_the_same_way)
{
	struct asker a;

	add_far(1, 0, 0);
	ask(&a, AUTH_ASK_CHECK, "romeo", "far");
	cr_expect_eq(answer(&a), 0);
	ask(&a, AUTH_ASK_CHECK, "romeo", "near");
	cr_expect_eq(answer(&a), AUTH_WRONG);
	ask(&a, AUTH_ASK_CHECK, "juliet", "near");
	cr_expect_eq(answer(&a), 0);
	ask(&a, AUTH_ASK_CHECK, "", "near");
	cr_expect_eq(answer(&a), AUTH_WRONG);
	ask(&a, AUTH_ASK_FIND, "romeo", NULL);
	cr_expect_eq(answer(&a), 0);
	ask(&a, AUTH_ASK_FIND, "nobody", NULL);
	cr_expect_eq(answer(&a), AUTH_NO_SUCH_USER);
	ask(&a, AUTH_ASK_TOKEN, "romeo", NULL);
	cr_expect_eq(answer(&a), 0);
	ask(&a, AUTH_ASK_TOKEN, "nobody", NULL);
	cr_expect_eq(answer(&a), AUTH_NO_SUCH_USER);
	order(AUTH_BY_EXTERNAL, AUTH_BY_INTERNAL);
	far.vague = true;
	ask(&a, AUTH_ASK_CHECK, "juliet", "near");
	cr_expect_eq(answer(&a), 0);
	ask(&a, AUTH_ASK_CHECK, "both", "near");
	cr_expect_eq(answer(&a), AUTH_WRONG);
}

Test(auth_sources, one_that_hangs_costs_its_own_logins_alone)
{
	struct asker hung[3], refused, other;

	add_far(2, 1, 3600000);
	hold(&far);
	ask(&hung[0], AUTH_ASK_CHECK, "romeo", "far");
	await_inside(&far, 1); /* only one may wait */
	ask(&hung[1], AUTH_ASK_CHECK, "romeo", "wrong");
	await_inside(&far, 2);
	ask(&hung[2], AUTH_ASK_CHECK, "romeo", "far"); /* waits for a thread */
	ask(&other, AUTH_ASK_CHECK, "juliet", "near");
	cr_expect_eq(answer(&other), 0);
	ask(&refused, AUTH_ASK_CHECK, "romeo", "far");
	cr_expect_eq(answer(&refused), -EAGAIN);
	for (int i = 0; i < 20; i++) {
		ask(&other, i % 2 ? AUTH_ASK_CHECK : AUTH_ASK_FIND, "juliet",
			i % 2 ? "near" : NULL);
		cr_expect_eq(answer(&other), 0);
	}
	let_go(&far);
	cr_expect_eq(answer(&hung[0]), 0);
	cr_expect_eq(answer(&hung[1]), AUTH_WRONG);
	cr_expect_eq(answer(&hung[2]), 0);
}

Test(auth_sources, nobody_waits_longer_than_the_timeout)
{
	struct asker first, second, third;
	int result;

	add_far(1, 0, 30);
	hold(&far);
	ask(&first, AUTH_ASK_CHECK, "romeo", "far");
	ask(&second, AUTH_ASK_CHECK, "romeo", "far");
	cr_expect_eq(answer(&first), -ETIMEDOUT);
	cr_expect_eq(answer(&second), -ETIMEDOUT);
	cr_expect_eq(auth_check(host, "romeo", "far"), -ETIMEDOUT);
	cr_expect_leq(far.checks, 1, "the others still waited for its thread");
	let_go(&far);
	do { /* behind what hung */
		ask(&third, AUTH_ASK_CHECK, "romeo", "wrong");
		result = answer(&third);
	} while (result == -ETIMEDOUT);
	cr_expect_eq(result, AUTH_WRONG);
}

Test(auth_sources, one_goes_while_it_hangs)
{
	struct asker under_way, waiting;

	add_far(1, 0, 30);
	hold(&far);
	ask_until_inside(&under_way);
	ask(&waiting, AUTH_ASK_CHECK, "romeo", "far");
	auth_source_remove(host, &far_backend, &far); /* waits as long as a call may take */
	cr_expect_eq(far.freed, 0, "a call is in it");
	cr_expect_lt(answer(&under_way), 0);
	cr_expect_lt(answer(&waiting), 0);
	cr_expect_eq(auth_check(host, "romeo", "far"), -ENOSYS);
	let_go(&far);
	while (!far.freed)
		sched_yield();
	add_far(1, 0, 0);
	cr_expect_eq(auth_check(host, "romeo", "far"), 0);
}
