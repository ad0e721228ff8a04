/* router/auth_walk.c - whose an account is: the first source that says yes, unless one before it
 * does not answer. */
#include "router/auth_walk.h"

#include <errno.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "router/auth_cache.h"
#include "xml/jid.h"

bool auth_is_name(const char *user)
{
	return *user && strnlen(user, JID_PART_MAX + 1) <= JID_PART_MAX;
}

static void walk_end(struct auth_walk *w, int result)
{
	w->done = true;
	w->result = result;
}

void auth_walk_begin(
	struct auth_walk *w, enum auth_purpose purpose, struct host *h, const char *user)
{
	struct host_conf *conf = host_conf_hold(h);

	*w = (struct auth_walk){ .purpose = purpose, .host = h, .user = user };
	for (unsigned i = 0; i < conf->n_sources; i++)
		if (!conf->sources_unsaid || rcu_get(h->auth[conf->sources[i]]))
			w->order[w->n++] = conf->sources[i];
	w->anonymous = conf->anonymous;
	host_conf_drop(conf);
	if (!auth_is_name(user))
		walk_end(w, purpose == TO_LOG_IN_BY_PASSWORD ? AUTH_WRONG : AUTH_NO_SUCH_USER);
}

void auth_walk_fini(struct auth_walk *w)
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
bool auth_walk_on(struct auth_walk *w)
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

void auth_walk_told(struct auth_walk *w, int result, const struct auth_account *found)
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
bool auth_walk_must_call(const struct auth_walk *w)
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
void auth_walk_step(struct auth_walk *w, const char *password)
{
	struct auth_account found;
	int result;

	job_check();
	if (may_be_recalled(w)) { /* else it is the next step to call */
		recall(w, password);
		return;
	}
	result = auth_source_do(w->source, w->deed, w->host, w->user, password, &found);
	auth_walk_told(w, result, &found);
	wipe(&found, sizeof(found));
}

int auth_walk_through(struct auth_walk *w, const char *password)
{
	job_check();
	while (auth_walk_on(w))
		auth_walk_step(w, password);
	return w->result;
}
