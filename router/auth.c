/* router/auth.c - asks a host's sources of accounts in their order, for those who wait and for
 * shards, and hides from strangers which accounts there are. */
#include "router/auth.h"

#include <errno.h>
#include <openssl/rand.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/db.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "core/timer.h"
#include "router/auth_cache.h"
#include "router/auth_source.h"
#include "router/host_conf.h"
#include "xml/jid.h"

/* Lanes share the job pool. A password check burns milliseconds of a core, so few run at once, and
 * a flood of them leaves the pool to the rest. */
#define FIND_LANES 16
#define FIND_QUEUE 8192
#define CHECK_LANES 2
#define CHECK_QUEUE 1024
#define SECRET_BYTES 32
#define FAKE_SALT_BYTES 16

HOOK(account_removed);

static struct carrier *finders, *checkers;
static uint8_t secret[SECRET_BYTES]; /* constant after auth_start() */
static struct metric refused =
	METRIC_COUNTER("auth_refused_total", "Logins refused because too many were being checked");
static struct metric check_time =
	METRIC_TIME("auth_check_seconds", "Time a password check took on its thread");

/* --- the sources, one after the other -------------------------------------------------------- */

enum purpose {
	TO_KNOW, /* whether there is such an account */
	TO_LOG_IN_BY_VERIFIER,
	TO_LOG_IN_BY_PASSWORD,
	TO_LOG_IN_BY_TOKEN,
};

/* One question on its way through the sources. The same for those who wait (walk_through()) and for
 * requests, which come back between its steps. */
struct auth_walk {
	enum purpose purpose;
	struct host *host; /* the caller's */
	const char *user;
	uint8_t order[AUTH_SOURCES];
	unsigned n, at;
	bool anonymous; /* nobody is asked about those who come without a name */
	bool recalled; /* whether it is remembered that the password is right has been looked up */
	bool doubt; /* its password was refused: is it an account of this source? */
	bool done;
	int result; /* done */
	struct auth_account account; /* done, and 0 */
	/* The step that is to be taken, when it is ready. */
	bool ready;
	struct auth_source *source; /* counted */
	enum auth_deed deed;
	/* Of a request. */
	bool agent_asked;
	struct auth_call *call; /* under way */
	struct timer deadline;
};

static bool is_name(const char *user)
{
	return *user && strnlen(user, JID_PART_MAX + 1) <= JID_PART_MAX;
}

static void walk_end(struct auth_walk *w, int result)
{
	w->done = true;
	w->result = result;
}

static void walk_begin(struct auth_walk *w, enum purpose purpose, struct host *h, const char *user)
{
	struct host_conf *conf = host_conf_hold(h);

	*w = (struct auth_walk){ .purpose = purpose, .host = h, .user = user };
	for (unsigned i = 0; i < conf->n_sources; i++)
		if (!conf->sources_unsaid || rcu_get(h->auth[conf->sources[i]]))
			w->order[w->n++] = conf->sources[i];
	w->anonymous = conf->anonymous;
	host_conf_drop(conf);
	if (!is_name(user))
		walk_end(w, purpose == TO_LOG_IN_BY_PASSWORD ? AUTH_WRONG : AUTH_NO_SUCH_USER);
}

static void walk_fini(struct auth_walk *w)
{
	auth_source_drop(w->source);
	w->source = NULL;
	wipe(&w->account, sizeof(w->account));
}

static enum auth_deed deed_for(const struct auth_walk *w)
{
	const struct auth_source_part *p = auth_source_part(w->source);

	if (w->doubt || w->purpose == TO_KNOW)
		return AUTH_DO_EXISTS;
	if (w->purpose == TO_LOG_IN_BY_PASSWORD)
		return AUTH_DO_CHECK;
	return p->backend->find ? AUTH_DO_FIND : AUTH_DO_EXISTS;
}

static void walk_take(struct auth_walk *w, int result, const struct auth_account *found);

/* From memory, where it serves: whoever logs in has the source's own word. */
static bool remembered(struct auth_walk *w)
{
	const struct auth_account exists = {
		.source = (enum auth_method)w->order[w->at],
	};
	enum auth_known known;

	if ((w->purpose != TO_KNOW && !w->doubt) || !auth_source_is_slow(w->source))
		return false;
	known = auth_cache_ask(w->host, exists.source, w->user, false);
	if (known)
		walk_take(w, known == AUTH_KNOWN_YES ? 0 : AUTH_NO_SUCH_USER, &exists);
	return known != AUTH_UNKNOWN;
}

/* Whether there is one more step, which then stands in w->source and w->deed. */
static bool walk_on(struct auth_walk *w)
{
	while (!w->done && !w->ready) {
		auth_source_drop(w->source);
		w->source = NULL;
		if (w->at == w->n) {
			walk_end(w, w->n || w->anonymous ? AUTH_NO_SUCH_USER : -ENOSYS);
			break;
		}
		w->source = auth_source_hold(w->host, (enum auth_method)w->order[w->at]);
		if (!w->source) {
			walk_end(w, -ENOSYS);
			break;
		}
		w->deed = deed_for(w);
		w->ready = !remembered(w);
	}
	return !w->done;
}

static void not_here(struct auth_walk *w)
{
	w->at++;
	w->recalled = false;
	w->doubt = false;
}

/* The source does not answer; what it said some time ago may help. Nobody logs in by that. */
static void is_away(struct auth_walk *w, int error)
{
	const enum auth_method m = (enum auth_method)w->order[w->at];
	enum auth_known known = auth_source_is_slow(w->source)
		? auth_cache_ask(w->host, m, w->user, true)
		: AUTH_UNKNOWN;

	if (known == AUTH_KNOWN_NO) {
		not_here(w);
	} else if (known == AUTH_KNOWN_YES && w->purpose == TO_KNOW) {
		w->account.source = m;
		walk_end(w, 0);
	} else {
		walk_end(w, error);
	}
}

static void note_known(const struct auth_walk *w, int result)
{
	if (auth_source_is_slow(w->source) && result >= 0 && result != AUTH_REFUSED)
		auth_cache_note(w->host, (enum auth_method)w->order[w->at], w->user,
			result != AUTH_NO_SUCH_USER);
}

/* What the step came to. */
static void walk_take(struct auth_walk *w, int result, const struct auth_account *found)
{
	if (result < 0) {
		is_away(w, result);
	} else if (result == AUTH_NO_SUCH_USER) {
		not_here(w);
	} else if (result == AUTH_REFUSED) {
		w->doubt = w->at + 1 < w->n;
		if (!w->doubt)
			walk_end(w, AUTH_WRONG);
	} else {
		w->account = *found;
		walk_end(w, w->doubt ? AUTH_WRONG : result);
	}
}

static void walk_told(struct auth_walk *w, int result, const struct auth_account *found)
{
	w->ready = false;
	note_known(w, result);
	walk_take(w, result, found);
}

/* A password that was right a short while ago: hashing takes too long for a shard. */
static bool may_be_recalled(const struct auth_walk *w)
{
	return w->deed == AUTH_DO_CHECK && !w->recalled && auth_source_is_slow(w->source) &&
		auth_source_part(w->source)->conf.remember_ms > 0;
}

/* Nobody on a job thread can take the step. */
static bool must_be_called(const struct auth_walk *w)
{
	return auth_source_is_slow(w->source) && !may_be_recalled(w);
}

ON_JOB static bool recall(struct auth_walk *w, const char *password)
{
	const struct auth_account found = { .source = (enum auth_method)w->order[w->at] };
	bool right = auth_cache_recall(w->host, found.source, w->user, password,
		auth_source_part(w->source)->conf.remember_ms);

	w->recalled = true;
	if (right) {
		w->ready = false;
		walk_take(w, 0, &found);
	}
	return right;
}

/* The calling thread waits for it. */
ON_JOB static void walk_step(struct auth_walk *w, const char *password)
{
	struct auth_account found;
	int result;

	if (may_be_recalled(w)) { /* else it is the next step to call */
		recall(w, password);
		return;
	}
	result = auth_source_do(w->source, w->deed, w->host, w->user, password, &found);
	walk_told(w, result, &found);
	wipe(&found, sizeof(found));
}

ON_JOB static int walk_through(struct auth_walk *w, const char *password)
{
	while (walk_on(w))
		walk_step(w, password);
	return w->result;
}

ON_JOB static int find(
	enum purpose purpose, struct host *h, const char *user, struct auth_account *out)
{
	struct auth_walk w;
	int result;

	walk_begin(&w, purpose, h, user);
	result = walk_through(&w, NULL);
	*out = w.account;
	walk_fini(&w);
	return result;
}

int auth_find(struct host *h, const char *user, struct auth_account *out)
{
	job_check();
	return find(TO_KNOW, h, user, out);
}

int auth_verifiers(struct host *h, const char *user, struct auth_account *out)
{
	job_check();
	return find(TO_LOG_IN_BY_VERIFIER, h, user, out);
}

int auth_check(struct host *h, const char *user, const char *password)
{
	struct auth_walk w;
	int result;

	job_check();
	walk_begin(&w, TO_LOG_IN_BY_PASSWORD, h, user);
	result = walk_through(&w, password);
	walk_fini(&w);
	return result;
}

/* The source that an account belongs to, counted. 0, AUTH_NO_SUCH_USER or a negative errno. */
ON_JOB static int source_of(struct host *h, const char *user, struct auth_source **out)
{
	struct auth_account found;
	int result = auth_find(h, user, &found);

	*out = result ? NULL : auth_source_hold(h, found.source);
	wipe(&found, sizeof(found));
	return result || *out ? result : -ENOSYS;
}

/* A host's sources in order, counted. */
struct sources {
	struct auth_source *at[AUTH_SOURCES];
	unsigned n;
};

static void sources_hold(struct host *h, struct sources *out)
{
	struct host_conf *conf = host_conf_hold(h);

	out->n = 0;
	for (unsigned i = 0; i < conf->n_sources; i++) {
		struct auth_source *s = auth_source_hold(h, (enum auth_method)conf->sources[i]);

		if (s)
			out->at[out->n++] = s;
	}
	host_conf_drop(conf);
}

static void sources_drop(struct sources *all)
{
	for (unsigned i = 0; i < all->n; i++)
		auth_source_drop(all->at[i]);
}

ON_JOB static int do_in(struct auth_source *s, enum auth_deed deed, struct host *h,
	const char *user, const char *password)
{
	int result = auth_source_do(s, deed, h, user, password, NULL);

	auth_cache_forget(h, user);
	return result;
}

int auth_create(struct host *h, const char *user, const char *password)
{
	struct auth_account found;
	struct sources all;
	int result;

	job_check();
	if (!is_name(user))
		return -EINVAL;
	result = auth_find(h, user, &found);
	wipe(&found, sizeof(found));
	if (result != AUTH_NO_SUCH_USER)
		return result ? result : AUTH_EXISTS;
	result = AUTH_READ_ONLY;
	sources_hold(h, &all);
	for (unsigned i = 0; i < all.n && result == AUTH_READ_ONLY; i++)
		if (auth_source_part(all.at[i])->backend->create)
			result = do_in(all.at[i], AUTH_DO_CREATE, h, user, password);
	sources_drop(&all);
	return result;
}

int auth_import(struct host *h, struct auth_import *list, unsigned n)
{
	struct sources all;
	int result = AUTH_READ_ONLY;

	job_check();
	for (unsigned i = 0; i < n; i++) {
		struct auth_account found;
		int known = is_name(list[i].user) ? auth_find(h, list[i].user, &found) : -EINVAL;

		if (known < 0 && known != -EINVAL)
			return known;
		list[i].result = known == AUTH_NO_SUCH_USER ? 0 : known ? known : AUTH_EXISTS;
	}
	sources_hold(h, &all);
	for (unsigned i = 0; i < all.n && result == AUTH_READ_ONLY; i++) {
		const struct auth_source_part *p = auth_source_part(all.at[i]);

		if (p->backend->import)
			result = p->backend->import(p->arg, h, list, n);
	}
	sources_drop(&all);
	return result == AUTH_READ_ONLY ? -ENOSYS : result;
}

/* Who has a token may have it by the old password, so no token outlives that: they go before it
 * changes, and those that were given meanwhile after it. */
int auth_set_password(struct host *h, const char *user, const char *password)
{
	struct auth_source *s;
	int result;

	job_check();
	result = source_of(h, user, &s);
	if (!result && !auth_source_part(s)->backend->set_password)
		result = AUTH_READ_ONLY;
	if (!result)
		result = user_agents_disown(h, user);
	if (!result)
		result = do_in(s, AUTH_DO_SET_PASSWORD, h, user, password);
	if (!result)
		user_agents_disown(h, user);
	auth_source_drop(s);
	return result;
}

int auth_set_verifier(struct host *h, const char *user, const struct auth_account *was,
	enum scram_hash hash, const struct scram_verifier *v)
{
	struct auth_source *s = auth_source_hold(h, was->source);
	const struct auth_source_part *p = s ? auth_source_part(s) : NULL;
	int result;

	job_check();
	if (!p)
		return -ENOSYS;
	result = p->backend->set_verifier ? p->backend->set_verifier(p->arg, h, user, was, hash, v)
					  : AUTH_READ_ONLY;
	auth_source_drop(s);
	return result;
}

static int write_nothing(struct db_tx *tx UNUSED, void *arg UNUSED)
{
	return 0;
}

/* What the hook's functions asked the database to forget is forgotten. */
ON_JOB static void wait_for_writes(void)
{
	if (db_main())
		db_write(db_main(), write_nothing, NULL); /* if it fails, they have said so */
}

/* Whoever keeps something of it is told. */
ON_JOB static void tell_removed(struct host *h, struct jid *jid)
{
	hook_run(h->hooks, &account_removed_hook, jid);
	wait_for_writes();
}

/* password NULL: whatever it is. */
ON_JOB static int remove_account(struct host *h, const char *user, const char *password)
{
	struct auth_source *s = NULL;
	struct jid *jid;
	int result;

	if (!is_name(user) || jid_make(user, h->name, NULL, NULL, &jid))
		return AUTH_NO_SUCH_USER;
	result = source_of(h, user, &s);
	if (!result && !auth_source_part(s)->backend->remove)
		result = AUTH_READ_ONLY;
	if (!result && password)
		result = auth_check(h, user, password);
	if (!result)
		result = user_agents_remove(h, user);
	if (!result)
		result = do_in(s, AUTH_DO_REMOVE, h, user, password);
	if (!result)
		tell_removed(h, jid);
	auth_source_drop(s);
	jid_free(jid);
	return result;
}

int auth_remove(struct host *h, const char *user)
{
	job_check();
	return remove_account(h, user, NULL);
}

int auth_remove_with(struct host *h, const char *user, const char *password)
{
	job_check();
	return remove_account(h, user, password);
}

int auth_forget(struct host *h, const char *user)
{
	struct auth_source *s = NULL;
	struct jid *jid;
	int result;

	job_check();
	if (!is_name(user) || jid_make(user, h->name, NULL, NULL, &jid))
		return AUTH_NO_SUCH_USER;
	auth_cache_forget(h, user);
	result = source_of(h, user, &s);
	if (result == AUTH_NO_SUCH_USER)
		result = 0;
	else if (!result && auth_source_part(s)->backend->remove)
		result = AUTH_EXISTS;
	if (!result)
		result = user_agents_remove(h, user);
	if (!result)
		tell_removed(h, jid);
	auth_source_drop(s);
	jid_free(jid);
	return result;
}

/* --- all of them ----------------------------------------------------------------------------- */

/* The names that several lists have after one name, each list in order. */
struct names {
	char **at;
	size_t n, room;
};

static void add_name(const char *user, void *arg)
{
	struct names *all = arg;

	if (all->n == all->room) {
		all->room = all->room ? 2 * all->room : 64;
		all->at = xrealloc(all->at, all->room * sizeof(*all->at));
	}
	all->at[all->n++] = xstrdup(user);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The first max of them, each once; frees them. */
static void tell_names(
	struct names *all, unsigned max, void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	const char *last = NULL;

	if (all->n)
		qsort(all->at, all->n, sizeof(*all->at), by_name);
	for (size_t i = 0; i < all->n && max; i++) {
		if (last && strcmp(all->at[i], last) == 0)
			continue;
		last = all->at[i];
		fn(last, fn_arg);
		max--;
	}
	for (size_t i = 0; i < all->n; i++)
		free(all->at[i]);
	free(all->at);
}

typedef int list_fn(void *arg, struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg);

static list_fn *lister(const struct auth_source *s, bool disabled)
{
	const struct auth_backend *b = auth_source_part(s)->backend;

	return disabled ? b->list_disabled : b->list;
}

/* Of those sources that can tell; one of them alone is asked without detours. */
ON_JOB static int list_all(struct host *h, bool disabled, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	struct names names = { 0 };
	struct sources all;
	unsigned able = 0;
	int result = -ENOSYS;

	sources_hold(h, &all);
	for (unsigned i = 0; i < all.n; i++)
		able += lister(all.at[i], disabled) != NULL;
	for (unsigned i = 0; i < all.n && (result == 0 || result == -ENOSYS); i++) {
		list_fn *list = lister(all.at[i], disabled);
		void *arg = auth_source_part(all.at[i])->arg;
		int error = -ENOSYS;

		if (list)
			error = able == 1 ? list(arg, h, after, max, fn, fn_arg)
					  : list(arg, h, after, max, add_name, &names);
		if (error != -ENOSYS) /* not for this host, after all */
			result = error;
	}
	sources_drop(&all);
	tell_names(&names, result ? 0 : max, fn, fn_arg);
	return result;
}

int auth_list(struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	job_check();
	return list_all(h, false, after, max, fn, fn_arg);
}

int auth_list_disabled(struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	job_check();
	return list_all(h, true, after, max, fn, fn_arg);
}

int auth_count(struct host *h, uint64_t *out)
{
	struct sources all;
	uint64_t sum = 0;
	int result = -ENOSYS;

	job_check();
	sources_hold(h, &all);
	for (unsigned i = 0; i < all.n && (result == 0 || result == -ENOSYS); i++) {
		const struct auth_source_part *p = auth_source_part(all.at[i]);
		uint64_t n = 0;
		int error = p->backend->count ? p->backend->count(p->arg, h, &n) : -ENOSYS;

		if (error != -ENOSYS)
			result = error;
		sum += n;
	}
	sources_drop(&all);
	if (!result)
		*out = sum;
	return result;
}

ON_JOB static int set_disabled(struct host *h, const char *user, bool disabled)
{
	const struct auth_source_part *p;
	struct auth_source *s;
	int result = source_of(h, user, &s);

	if (result)
		return result;
	p = auth_source_part(s);
	result = p->backend->set_disabled ? p->backend->set_disabled(p->arg, h, user, disabled)
					  : AUTH_READ_ONLY;
	auth_source_drop(s);
	return result;
}

int auth_disable(struct host *h, const char *user)
{
	job_check();
	return set_disabled(h, user, true);
}

int auth_enable(struct host *h, const char *user)
{
	job_check();
	return set_disabled(h, user, false);
}

/* --- for operators --------------------------------------------------------------------------- */

void auth_sources_each(struct host *h, const char *user,
	void (*fn)(const struct auth_source_row *row, void *arg), void *arg)
{
	struct host_conf *conf = host_conf_hold(h);

	job_check();
	for (unsigned i = 0; i < conf->n_sources; i++) {
		enum auth_method m = (enum auth_method)conf->sources[i];
		struct auth_source *s = auth_source_hold(h, m);
		struct auth_source_row row = { .name = auth_method_name(m), .here = s != NULL };
		struct auth_source_state state = { 0 };

		if (s)
			auth_source_state(s, &state);
		if (user)
			row.knows = s ? auth_source_do(s, AUTH_DO_EXISTS, h, user, NULL, NULL)
				      : -ENOSYS;
		row.threads = state.threads;
		row.running = state.running;
		row.waiting = state.waiting;
		row.silent_ms = state.silent_ms;
		fn(&row, arg);
		auth_source_drop(s);
	}
	host_conf_drop(conf);
}

void auth_forget_answers(struct host *h)
{
	auth_cache_clear(h);
}

/* --- asking from a shard --------------------------------------------------------------------- */

/* A request's way: steps at sources that answer at once are taken by jobs, those at slow ones are
 * calls; in between it is on the shard that asked. */

static void forget_password(struct auth_request *r)
{
	if (r->password)
		wipe(r->password, strlen(r->password));
	free(r->password);
	r->password = NULL;
}

static void forget_walk(struct auth_request *r)
{
	if (r->walk)
		walk_fini(r->walk);
	free(r->walk);
	r->walk = NULL;
}

static void request_end(struct auth_request *r)
{
	if (r->walk) {
		r->result = r->walk->result;
		r->account = r->walk->account;
	}
	forget_password(r);
	forget_walk(r);
	r->done(r);
}

/* A client that is not known has no tokens. It is looked for whatever came of the account: it takes
 * as long for names that are none. */
ON_JOB static void find_agent(struct auth_request *r)
{
	struct auth_walk *w = r->walk;
	char id[USER_AGENT_ID + 1];
	int known;

	strcpy(id, r->agent.id);
	known = user_agent_find(r->host, r->user, id, &r->agent);
	if (!w->result && known < 0 && known != -ENOSYS)
		w->result = known;
	w->agent_asked = true;
}

static void request_work(struct job *j)
{
	struct auth_request *r = container_of(j, struct auth_request, job);
	struct auth_walk *w = r->walk;
	uint64_t began_us = clock_us();

	job_check();
	if (r->ask == AUTH_ASK_UPGRADE) {
		r->result = auth_set_verifier(r->host, r->user, &r->account, r->hash, &r->verifier);
		return;
	}
	while (walk_on(w) && !must_be_called(w))
		walk_step(w, r->password);
	if (w->done && r->ask == AUTH_ASK_TOKEN)
		find_agent(r);
	if (r->ask == AUTH_ASK_CHECK)
		metric_time(&check_time, clock_us() - began_us);
}

static int submit_job(struct auth_request *r)
{
	struct carrier *c = r->ask == AUTH_ASK_CHECK ? checkers : finders;
	uint64_t account = jid_hash_domain(r->user, strlen(r->user)) ^ r->host->hash;

	REQUIRE(c); /* auth_start() */
	return carrier_submit(c, account, &r->job);
}

static void request_go_on(struct auth_request *r);

static void call_answered(struct auth_call *c)
{
	struct auth_request *r = c->asker;

	if (r) {
		if (c->home) {
			shard_check(c->home);
			timer_cancel(&r->walk->deadline);
		}
		r->walk->call = NULL;
		walk_told(r->walk, c->result, &c->account);
		auth_call_free(c);
		request_go_on(r);
	} else {
		auth_call_free(c);
	}
}

static void call_is_late(struct timer *t)
{
	struct auth_walk *w = container_of(t, struct auth_walk, deadline);
	struct auth_request *r = w->call->asker;

	shard_check(NULL);
	w->call->asker = NULL;
	auth_call_unwanted(w->call);
	w->call = NULL;
	walk_told(w, -ETIMEDOUT, NULL);
	request_go_on(r);
}

/* Takes the next step: a call, or a job. 0, or it is too much. */
static int request_step(struct auth_request *r)
{
	struct auth_walk *w = r->walk;
	struct auth_call *c;

	if (!walk_on(w) || !must_be_called(w))
		return submit_job(r);
	c = auth_source_ask(w->source, w->deed, r->host, r->user, r->password, call_answered, r);
	if (c && shard_self()) { /* else the answer may have come */
		shard_check(NULL);
		w->call = c;
		timer_set(&w->deadline, auth_source_part(w->source)->conf.timeout_ms);
	}
	return c ? 0 : -EAGAIN;
}

static void request_go_on(struct auth_request *r)
{
	struct auth_walk *w = r->walk;

	while (w && (walk_on(w) || (r->ask == AUTH_ASK_TOKEN && !w->agent_asked))) {
		if (request_step(r) == 0)
			return;
		if (w->done) { /* the client cannot be looked for */
			w->agent_asked = true;
			w->result = -EAGAIN;
		} else {
			walk_told(w, -EAGAIN, NULL);
		}
	}
	request_end(r);
}

static void request_done(struct job *j)
{
	request_go_on(container_of(j, struct auth_request, job));
}

void auth_request_init(struct auth_request *r, enum auth_ask ask, struct host *h, const char *user,
	const char *password, void (*done)(struct auth_request *r))
{
	*r = (struct auth_request){
		.ask = ask,
		.host = host_ref(h),
		.user = xstrdup(user),
		.password = password ? xstrdup(password) : NULL,
		.done = done,
		.job = { .work = request_work, .done = request_done },
	};
	REQUIRE((ask == AUTH_ASK_CHECK) == (password != NULL));
}

void auth_request_fini(struct auth_request *r)
{
	forget_password(r);
	forget_walk(r);
	wipe(&r->account, sizeof(r->account));
	wipe(&r->agent, sizeof(r->agent));
	wipe(&r->verifier, sizeof(r->verifier));
	free(r->user);
	r->user = NULL;
	host_unref(r->host);
	r->host = NULL;
}

static void begin_walk(struct auth_request *r)
{
	static const enum purpose purposes[] = {
		[AUTH_ASK_FIND] = TO_LOG_IN_BY_VERIFIER,
		[AUTH_ASK_CHECK] = TO_LOG_IN_BY_PASSWORD,
		[AUTH_ASK_TOKEN] = TO_LOG_IN_BY_TOKEN,
	};

	r->walk = xmalloc(sizeof(*r->walk));
	walk_begin(r->walk, purposes[r->ask], r->host, r->user);
	timer_init(&r->walk->deadline, call_is_late);
}

int auth_ask(struct auth_request *r)
{
	int error;

	if (r->ask != AUTH_ASK_UPGRADE)
		begin_walk(r);
	error = r->walk ? request_step(r) : submit_job(r);
	if (!error)
		return 0;
	forget_walk(r);
	metric_add(&refused, 1);
	return -EAGAIN;
}

/* --- strangers ------------------------------------------------------------------------------- */

void auth_fake_verifier(
	struct host *h, const char *user, enum scram_hash hash, struct scram_verifier *out)
{
	AUTO(free_ptr) char *whom = xprintf("%d:%s@%s", (int)hash, user, h->name);
	struct host_conf *conf = host_conf_hold(h);
	uint8_t random[SCRAM_KEY_MAX];

	REQUIRE(scram_hmac(SCRAM_SHA_512, secret, sizeof(secret), whom, strlen(whom), random));
	*out = (struct scram_verifier){ .salt_len = FAKE_SALT_BYTES,
		.iterations = (uint32_t)conf->scram_iterations };
	host_conf_drop(conf);
	memcpy(out->salt, random, FAKE_SALT_BYTES);
	/* Half of the HMAC is left for keys, which nobody ever sees: no password is known for them.
	 */
	memcpy(out->stored_key, random + FAKE_SALT_BYTES, SCRAM_KEY_MAX - FAKE_SALT_BYTES);
	memcpy(out->server_key, out->stored_key, SCRAM_KEY_MAX);
}

void auth_pseudonym(const char *text, uint8_t out[AUTH_PSEUDONYM])
{
	AUTO(free_ptr) char *what = xprintf("pseudonym:%s", text);
	uint8_t random[SCRAM_KEY_MAX];

	REQUIRE(scram_hmac(SCRAM_SHA_512, secret, sizeof(secret), what, strlen(what), random));
	memcpy(out, random, AUTH_PSEUDONYM);
}

static const struct db_migration secret_steps[] = {
	{ "auth", 1,
		"CREATE TABLE secrets (name KEYTEXT NOT NULL PRIMARY KEY, bytes BLOB NOT NULL);" },
	{ 0 },
};
static struct db_stmt secret_find =
	DB_STMT("secret_find", "SELECT bytes FROM secrets WHERE name = ?");
static struct db_stmt secret_add =
	DB_STMT("secret_add", "INSERT INTO secrets (name, bytes) VALUES (?, ?)");

static int take_secret(const struct db_row *r, void *arg)
{
	size_t len;
	const void *bytes = db_row_blob(r, 0, &len);

	if (len != SECRET_BYTES)
		return -EIO;
	memcpy(arg, bytes, SECRET_BYTES);
	return 0;
}

/* arg: a fresh secret, replaced by the one that is there. */
static int keep_secret(struct db_tx *tx, void *arg)
{
	struct db_value name = db_text("fake_account");
	int found = db_select(tx, &secret_find, DB_PARAMS(name), take_secret, arg);

	if (found)
		return found;
	return db_run(tx, &secret_add, DB_PARAMS(name, db_blob(arg, SECRET_BYTES)));
}

int auth_start(struct db *db)
{
	int result;

	job_check();
	if (RAND_priv_bytes(secret, sizeof(secret)) != 1)
		return -EIO;
	result = db ? db_migrate(db, secret_steps) : 0;
	if (db && !result)
		result = db_write(db, keep_secret, secret);
	if (db && result >= 0)
		result = user_agents_start(db);
	if (result < 0)
		return result;
	metric_register(&refused);
	metric_register(&check_time);
	finders = carrier_new(CARRIER_LANES, FIND_LANES, FIND_QUEUE, "accounts");
	checkers = carrier_new(CARRIER_LANES, CHECK_LANES, CHECK_QUEUE, "passwords");
	return 0;
}

void auth_stop(void)
{
	if (!finders)
		return;
	carrier_free(finders);
	carrier_free(checkers);
	finders = checkers = NULL;
	wipe(secret, sizeof(secret));
}
