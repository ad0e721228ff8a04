/* net/c2s_sasl2.c - what XEP-0388 adds to SASL: after the mechanism a client's tasks (XEP-0480),
 * its token (XEP-0484), its old session (XEP-0198 §9) or a resource (XEP-0386), and then one answer
 * for all of it. The way of a login:
 *
 *   <authenticate/>  c2s_sasl2()        read, and the mechanism begins: net/c2s_sasl.c
 *   through          c2s_sasl2_done()   then one of the asked-for verifiers after the other
 *                    note()             the client is written down, with the token it will get
 *                    finish()           its old session: <success/>, and this stream is gone
 *                    establish()        or else a resource, <success/>, features
 *
 * TLS early data, which XEP-0484 §3.1 would allow with a count, is not taken: net/tls.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/mem.h"
#include "core/metric.h"
#include "net/base64.h"
#include "net/c2s.h"
#include "net/c2s_csi.h"
#include "net/c2s_sm.h"
#include "net/hashed_token.h"
#include "net/sasl2.h"
#include "router/bind.h"
#include "router/directory.h"

#define UPGRADE_SALT 16 /* bytes */

/* What it waits for. */
enum sasl2_phase {
	PHASE_MECHANISM, /* net/c2s_sasl.c's */
	PHASE_FIND, /* the account's verifiers */
	PHASE_OFFERED, /* <next/> */
	PHASE_HASH, /* <task-data/> with the salted password */
	PHASE_STORE, /* that it is stored */
	PHASE_NOTE, /* that the client and its token are written down */
	PHASE_RESUME, /* what its old session says */
	PHASE_PREPARE, /* what modules look up for its resource */
};

struct sasl2_login {
	struct sasl2_request request; /* its texts lie in c->login->request */
	enum sasl2_phase phase;
	char *said; /* owned: the mechanism's last word, until it was sent */
	/* Upgrade tasks. */
	bool account_known;
	struct auth_account account;
	uint32_t upgrades; /* left to do: bits of enum scram_hash */
	struct scram_verifier verifier; /* of the one under way */
	/* Tokens. */
	struct token used; /* .expires 0: it logged in by password */
	int64_t seen; /* when it was last written down; 0: not known */
	struct token fresh; /* .expires 0: none will be given */
	char token[TOKEN_TEXT + 1]; /* its text */
	unsigned waits; /* of PHASE_PREPARE */
	struct stanza *prepared; /* owned: what they found, as children; NULL: nothing yet */
	struct sm_answer resume; /* .error 0: it was not asked for, or is granted */
};

static struct metric logins_metric =
	METRIC_COUNTER("sasl2_logins_total", "Logins by XEP-0388, those by token included.");
static struct metric token_logins_metric =
	METRIC_COUNTER("token_logins_total", "Logins with a token in place of the password.");
static struct metric tokens_metric =
	METRIC_COUNTER("tokens_issued_total", "Tokens that were given to clients.");
static struct metric upgrades_metric =
	METRIC_COUNTER("scram_upgrades_total", "Verifiers that clients brought while logging in.");

void c2s_sasl2_free(struct sasl2_login *two)
{
	if (!two)
		return;
	free(two->said);
	stanza_unref(two->prepared);
	wipe(two, sizeof(*two));
	free(two);
}

/* --- what is offered ----------------------------------------------------------------------- */

/* Accounts that can have clients. */
static bool keeps_clients(const struct c2s *c)
{
	return db_main() && c->login->offered & ~(uint32_t)SASL_ANONYMOUS;
}

ON_SHARD static void offer_tokens(struct c2s *c, struct builder *b)
{
	struct tls_channel channel;

	c->login->tokens = 0;
	if (c->conf->token_lifetime_ms < 1000 || !keeps_clients(c))
		return;
	tls_channel_kinds(c->stream.conn.tls, &channel);
	c->login->tokens = ht_mechanisms(&channel);
	build_open(b, "fast", NS_FAST);
	for (unsigned i = 0; i < HT_MECHANISMS; i++)
		if (c->login->tokens & 1u << i)
			build_text(b, "mechanism", ht_name(i));
	build_close(b);
}

ON_SHARD static void offer_bind(struct c2s *c, struct builder *b)
{
	struct bind_offer offer = { .host = c->session.host, .features = b };

	build_open(b, "bind", NS_BIND2);
	bind_offer(&offer, NS_SM);
	bind_offer(&offer, NS_CSI);
	hook_run(c->session.host->hooks, &bind_offer_hook, &offer);
	build_close(b); /* of the features: there is always one */
	build_close(b);
}

/* §2.1: under TLS; ANONYMOUS is no way to become somebody in particular. */
void c2s_sasl2_offer(struct c2s *c, struct builder *b)
{
	struct c2s_login *l = c->login;

	l->offered2 = 0;
	if (!c->conf->sasl2 || !c2s_is_secure(c))
		return;
	l->offered2 = l->from ? l->offered & ~(uint32_t)SASL_ANONYMOUS : l->offered;
	if (!l->offered2)
		return;
	build_open(b, "authentication", NS_SASL2);
	for (unsigned i = 0; i < SASL_MECHANISMS; i++)
		if (l->offered2 & 1u << i)
			build_text(b, "mechanism", sasl_mechanism_name(i));
	build_open(b, "inline", NULL);
	offer_tokens(c, b);
	offer_bind(c, b);
	build_open(b, "sm", NS_SM);
	build_close(b);
	build_close(b);
	for (int hash = 0; keeps_clients(c) && hash < SCRAM_HASHES; hash++) {
		if (!(c->conf->scram_upgrades & 1u << hash))
			continue;
		build_open(b, "upgrade", NS_UPGRADE);
		build_cdata(b, sasl2_upgrade_name(hash), strlen(sasl2_upgrade_name(hash)));
		build_close(b);
	}
	build_close(b);
}

/* --- <authenticate/> ----------------------------------------------------------------------- */

ON_SHARD static struct next begin(struct c2s *c)
{
	struct c2s_login *l = c->login;
	const struct sasl2_request *r = &l->sasl2->request;

	l->sasl = c2s_new_sasl(c, r->mechanism, r->fast ? SASL_HT(l->tokens) : l->offered2);
	return c2s_sasl_verdict(c,
		sasl_start(l->sasl, r->mechanism, r->initial, r->initial ? strlen(r->initial) : 0));
}

struct next c2s_sasl2(struct c2s *c, struct stanza *s)
{
	struct c2s_login *l = c->login;
	int fails;

	if (c2s_login_blocked(c))
		return c2s_fail(c, STREAM_POLICY_VIOLATION, "Too many failed logins.");
	l->sasl2 = xcalloc(1, sizeof(*l->sasl2));
	l->request = stanza_ref(s);
	if (!c2s_is_secure(c)) /* §3 */
		return c2s_sasl_failed(c, SASL_ENCRYPTION_REQUIRED);
	if (c2s_logins_refused())
		return c2s_sasl_failed(c, SASL_TEMPORARY_AUTH_FAILURE);
	fails = sasl2_read(s->root, &s->arena, &l->sasl2->request);
	return fails ? c2s_sasl_failed(c, (enum sasl_condition)(fails - 1)) : begin(c);
}

bool c2s_sasl2_is_done(const struct c2s *c)
{
	return c->login->sasl2 && c->login->sasl2->phase != PHASE_MECHANISM;
}

/* --- a token ------------------------------------------------------------------------------- */

struct auth_request *c2s_sasl2_token_question(struct c2s *c)
{
	struct c2s_login *l = c->login;
	struct auth_request *r = c2s_question(c, AUTH_ASK_TOKEN, l->sasl->user, NULL);

	strcpy(r->agent.id, l->sasl2->request.agent.id);
	return r;
}

struct next c2s_sasl2_token(struct c2s *c, const struct auth_request *r)
{
	struct c2s_login *l = c->login;
	const struct sasl_token t = {
		.tokens = r->result == 0 ? r->agent.tokens : NULL,
		.disabled = r->account.disabled,
		.now = (int64_t)time(NULL),
		.count = l->sasl2->request.fast_count,
	};
	int verdict = sasl_token(l->sasl, &t);

	if (verdict == SASL_DONE) {
		l->sasl2->used = r->agent.tokens[l->sasl->slot];
		l->sasl2->seen = r->agent.last_seen;
	}
	return c2s_sasl_verdict(c, verdict);
}

/* A token that is old enough is replaced unasked: XEP-0484 §3.5. */
ON_SHARD static bool wants_token(const struct c2s *c, int64_t now)
{
	const struct sasl2_login *two = c->login->sasl2;
	const struct sasl2_request *r = &two->request;

	if (!c->login->tokens || !r->agent.id[0] || c->login->sasl->anonymous)
		return false;
	if (r->token < HT_MECHANISMS && c->login->tokens & 1u << r->token)
		return true;
	return two->used.expires && !r->fast_invalidate &&
		now - two->used.issued >= c->conf->token_refresh_ms / 1000;
}

ON_SHARD static void make_token(struct c2s *c, int64_t now)
{
	struct sasl2_login *two = c->login->sasl2;
	const struct sasl2_request *r = &two->request;
	bool asked = r->token < HT_MECHANISMS && c->login->tokens & 1u << r->token;

	if (!wants_token(c, now) || !token_make(two->token, two->fresh.hash))
		return;
	two->fresh.mechanism = asked ? (uint8_t)r->token : two->used.mechanism;
	two->fresh.issued = now;
	two->fresh.expires = now + c->conf->token_lifetime_ms / 1000;
}

/* --- the resource and the answer ----------------------------------------------------------- */

/* XEP-0386 §3.2.1: the tag, and behind it what is the same at each login of this client and tells
 * nobody its id. out: JID_TEXT_MAX. */
ON_SHARD static void name_resource(struct c2s *c, char *out)
{
	const struct sasl2_request *r = &c->login->sasl2->request;
	char own[17], tag[JID_PART_MAX + 1];
	uint8_t pseudonym[AUTH_PSEUDONYM];

	if (r->agent.id[0] && !c->login->sasl->anonymous) {
		AUTO(free_ptr)
		char *who = xprintf("%s@%s/%s/%s", c->login->sasl->user, c->session.host->name,
			r->agent.id, r->tag ? r->tag : "");

		auth_pseudonym(who, pseudonym);
		for (int i = 0; i < 8; i++)
			sprintf(own + 2 * i, "%02x", pseudonym[i]);
	} else {
		c2s_random_resource(own);
	}
	if (r->tag && jid_prep_resource(r->tag, strlen(r->tag), tag) > 0)
		sprintf(out, "%s/%s", r->tag, own);
	else
		strcpy(out, own);
}

/* XEP-0386 §3.2: sessions that its client has left behind. */
ON_SHARD static void end_older_sessions(const struct c2s *c)
{
	const struct sessions *all = directory_find(c->session.jid);

	for (unsigned i = 0; c->session.user_agent && all && i < all->n; i++)
		if (all->at[i].session->user_agent == c->session.user_agent &&
			all->at[i].id.v != c->session.id.v)
			c2s_kick(all->at[i].id, STREAM_CONFLICT, "Replaced by new connection");
}

/* XEP-0198 §9.1 */
ON_SHARD static void add_enabled(struct c2s *c, struct builder *b)
{
	const struct elem *enable = elem_child(c->login->sasl2->request.bind, "enable", NS_SM);
	int error = enable ? c2s_sm_enable(c, enable) : 0;

	if (error)
		c2s_sm_failed(b, error);
	else if (enable)
		c2s_sm_enabled(c, b);
}

ON_SHARD static void add_bound(struct c2s *c, struct builder *b)
{
	struct bind_inline subject = {
		.session = &c->session,
		.request = c->login->sasl2->request.bind,
		.bound = b,
	};

	build_open(b, "bound", NS_BIND2);
	add_enabled(c, b);
	if (c->login->sasl2->prepared)
		elem_each_child (c->login->sasl2->prepared->root, e)
			build_copy(b, e);
	if (elem_child(subject.request, "inactive", NS_CSI))
		c2s_csi_inactive(c);
	hook_run(c->session.host->hooks, &bind_inline_hook, &subject);
	build_close(b);
}

static void add_token(struct builder *b, const struct sasl2_login *two)
{
	time_t expires = (time_t)two->fresh.expires;
	struct tm parts;
	char text[32];

	gmtime_r(&expires, &parts);
	strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &parts); /* XEP-0082 */
	build_open(b, "token", NS_FAST);
	build_attr(b, "expiry", text);
	build_attr(b, "token", two->token);
	build_close(b);
	metric_add(&tokens_metric, 1);
}

static void add_said(struct builder *b, struct sasl2_login *two)
{
	if (two->said)
		build_text(b, "additional-data", two->said);
	free(two->said);
	two->said = NULL;
}

ON_SHARD static void begin_success(struct c2s *c, struct builder *b)
{
	char address[JID_TEXT_MAX];

	if (c->bound)
		jid_write(c->session.jid, address);
	else
		snprintf(address, sizeof(address), "%s@%s", c->user, c->session.host->name);
	build_begin(b, "success", NS_SASL2);
	add_said(b, c->login->sasl2);
	build_text(b, "authorization-identifier", address);
}

/* bind_error: 0, or why there is no resource. */
ON_SHARD static void send_success(struct c2s *c, int bind_error)
{
	struct sasl2_login *two = c->login->sasl2;
	struct builder b;

	begin_success(c, &b);
	if (two->resume.error)
		c2s_sm_resumed(&b, &two->resume);
	if (c->bound)
		add_bound(c, &b);
	if (bind_error) {
		build_open(&b, "failed", NS_BIND2);
		build_open(&b, stanza_error_name(bind_error), NS_STANZAS);
		build_close(&b);
		build_close(&b);
	}
	if (two->fresh.expires)
		add_token(&b, two);
	stream_send_element(&c->stream, &b);
	c2s_send_features(c); /* §2.6.1: the stream goes on as it is */
}

ON_SHARD static void end_exchange(struct c2s *c)
{
	sasl_free(c->login->sasl);
	c->login->sasl = NULL;
	c2s_sasl2_free(c->login->sasl2);
	c->login->sasl2 = NULL;
	stanza_unref(c->login->request);
	c->login->request = NULL;
}

ON_SHARD static struct next inline_bound(struct c2s *c, int error)
{
	if (!error)
		end_older_sessions(c);
	send_success(c, error);
	end_exchange(c);
	return fsm_next(error ? WAIT_FOR_BIND : WAIT_FOR_SESSION);
}

struct next c2s_sasl2_prepared(struct c2s *c)
{
	char resource[SASL2_TAG_MAX + 18];

	name_resource(c, resource);
	return c2s_bind(c, resource, inline_bound);
}

/* One more element for <bound/>. */
static void keep_prepared(struct sasl2_login *two, struct stanza *element)
{
	struct builder b;

	build_begin(&b, "bound", NS_BIND2);
	if (two->prepared)
		elem_each_child (two->prepared->root, e)
			build_copy(&b, e);
	build_copy(&b, element->root);
	stanza_unref(two->prepared);
	two->prepared = build_end(&b);
}

/* A module has looked up what it was about. */
static void ready(struct actor_id stream, struct stanza *element)
{
	struct actor *a;
	struct c2s *c;

	shard_check(NULL);
	a = actor_find(stream);
	c = a ? container_of(a, struct c2s, fsm.gen.actor) : NULL;
	if (c && !stream_closing(&c->stream)) {
		if (element)
			keep_prepared(c->login->sasl2, element);
		if (--c->login->sasl2->waits == 0) {
			fsm_event_now(&c->fsm, &(struct term){ .kind = C2S_PREPARED });
			if (!stream_closing(&c->stream))
				stream_go_on(&c->stream);
		}
	}
	stanza_unref(element);
}

/* XEP-0386 §3.2: the resource, with what modules have to look up for it. */
ON_SHARD static struct next begin_bind(struct c2s *c)
{
	struct sasl2_login *two = c->login->sasl2;
	struct bind_prepare subject = {
		.host = c->session.host,
		.stream = c->session.id,
		.request = two->request.bind,
		.ready = ready,
	};
	struct jid *account;

	if (jid_make(c->user, c->session.host->name, NULL, NULL, &account))
		return c2s_sasl2_prepared(c);
	subject.account = account;
	hook_run(c->session.host->hooks, &bind_prepare_hook, &subject);
	jid_free(account);
	if (!subject.waits)
		return c2s_sasl2_prepared(c);
	two->phase = PHASE_PREPARE;
	two->waits = subject.waits;
	stream_wait(&c->stream);
	return fsm_next(WAIT_FOR_SASL_RESPONSE);
}

/* A session of its own. */
ON_SHARD static struct next establish(struct c2s *c)
{
	if (c->login->sasl2->request.bind)
		return begin_bind(c);
	send_success(c, 0);
	end_exchange(c);
	return fsm_next(WAIT_FOR_BIND);
}

/* XEP-0198 §9.2: with its old session no features follow, and nothing is bound. */
static void resume_answered(struct c2s *c, const struct sm_answer *a)
{
	struct builder b;

	shard_check(NULL);
	if (a->error) {
		c->login->sasl2->resume = *a;
		fsm_event_now(&c->fsm, &(struct term){ .kind = C2S_NOT_RESUMED });
		return;
	}
	begin_success(c, &b);
	c2s_sm_resumed(&b, a);
	if (c->login->sasl2->fresh.expires)
		add_token(&b, c->login->sasl2);
	stream_send_element(&c->stream, &b);
}

struct next c2s_sasl2_not_resumed(struct c2s *c)
{
	return establish(c);
}

ON_SHARD static struct next finish(struct c2s *c)
{
	struct c2s_login *l = c->login;

	c2s_logged_in(c, xstrdup(l->sasl->user));
	if (!l->sasl->anonymous)
		c->session.user_agent = user_agent_key(l->sasl2->request.agent.id);
	metric_add(&logins_metric, 1);
	metric_add(&token_logins_metric, l->sasl2->used.expires != 0);
	if (!l->sasl2->request.resume)
		return establish(c);
	l->sasl2->phase = PHASE_RESUME;
	c2s_sm_resume(c, l->sasl2->request.resume, resume_answered);
	return fsm_next(WAIT_FOR_SASL_RESPONSE);
}

/* --- the client is written down ------------------------------------------------------------ */

/* The stream may be gone when it is done, so it is named by id. */
static void noted(struct user_agent_visit *v)
{
	struct actor *a;

	shard_check(NULL);
	a = actor_find(v->stream);
	if (a) {
		struct c2s *c = container_of(a, struct c2s, fsm.gen.actor);
		bool waits = c->login && c->login->sasl2 && c->login->sasl2->phase == PHASE_NOTE;

		if (waits)
			fsm_event_now(&c->fsm, &(struct term){ .kind = C2S_NOTED, .data = v });
		else if (v->result == -ENOENT) /* revoked while it logged in */
			c2s_fail(c, STREAM_NOT_AUTHORIZED, "Access was revoked.");
		if (waits && !stream_closing(&c->stream))
			stream_go_on(&c->stream);
	}
}

/* What must be so before the client may be told: that its token is gone, or was used for the first
 * time, which ends the one before it. A new one that could not be stored is not given. */
ON_SHARD static bool must_be_noted(const struct c2s *c)
{
	const struct sasl2_login *two = c->login->sasl2;

	return two->used.expires &&
		(two->request.fast_invalidate || c->login->sasl->slot == TOKEN_FRESH);
}

ON_SHARD static struct next not_noted(struct c2s *c, int error)
{
	struct sasl2_login *two = c->login->sasl2;

	if (error == -ENOENT) /* taken away since it was looked at */
		return c2s_sasl_failed(c, SASL_NOT_AUTHORIZED);
	if (must_be_noted(c))
		return c2s_sasl_failed(c, SASL_TEMPORARY_AUTH_FAILURE);
	two->fresh.expires = 0;
	return finish(c);
}

/* Nothing has happened that the row does not say already. */
ON_SHARD static bool is_noted(const struct c2s *c, int64_t now)
{
	const struct sasl2_login *two = c->login->sasl2;

	return two->used.expires && !must_be_noted(c) && !two->fresh.expires &&
		!two->request.fast_count && now - two->seen < USER_AGENT_SEEN_S;
}

ON_SHARD static struct next note(struct c2s *c)
{
	struct c2s_login *l = c->login;
	struct sasl2_login *two = l->sasl2;
	int64_t now = (int64_t)time(NULL);
	struct user_agent_visit *v;
	bool wait;
	int error;

	if (!two->request.agent.id[0] || l->sasl->anonymous)
		return finish(c);
	make_token(c, now);
	if (is_noted(c, now))
		return finish(c);
	wait = must_be_noted(c) || two->fresh.expires;
	v = user_agent_visit_new(c->session.host, l->sasl->user, &two->request.agent);
	v->by_token = two->used.expires != 0;
	memcpy(v->used, two->used.hash, TOKEN_HASH);
	v->count = two->request.fast_count;
	v->invalidate = two->request.fast_invalidate;
	v->fresh = two->fresh;
	v->stream = c->session.id;
	v->done = noted;
	error = user_agent_note(v);
	if (error) {
		user_agent_visit_free(v);
		return not_noted(c, error);
	}
	if (!wait)
		return finish(c);
	two->phase = PHASE_NOTE;
	stream_wait(&c->stream);
	return fsm_next(WAIT_FOR_SASL_RESPONSE);
}

struct next c2s_sasl2_noted(struct c2s *c, const struct user_agent_visit *v)
{
	return v->result ? not_noted(c, v->result) : finish(c);
}

/* --- tasks: XEP-0480 ----------------------------------------------------------------------- */

/* The next one, or on with the login. */
ON_SHARD static struct next next_task(struct c2s *c)
{
	struct sasl2_login *two = c->login->sasl2;
	struct builder b;

	if (!two->upgrades)
		return note(c);
	build_begin(&b, "continue", NS_SASL2);
	add_said(&b, two);
	build_open(&b, "tasks", NULL);
	build_text(&b, "task", sasl2_upgrade_name((enum scram_hash)__builtin_ctz(two->upgrades)));
	build_close(&b);
	stream_send_element(&c->stream, &b);
	two->phase = PHASE_OFFERED;
	return fsm_next(WAIT_FOR_SASL_RESPONSE);
}

/* Those of the client's wishes that bring the account something. */
ON_SHARD static struct next begin_tasks(struct c2s *c)
{
	struct sasl2_login *two = c->login->sasl2;

	two->upgrades =
		two->account.takes_verifiers ? two->request.upgrades & c->conf->scram_upgrades : 0;
	for (int hash = 0; hash < SCRAM_HASHES; hash++)
		if (two->account.scram[hash].iterations >= c->conf->scram_iterations)
			two->upgrades &= ~(1u << hash);
	return next_task(c);
}

/* §3.1: salt and rounds. */
ON_SHARD static struct next begin_upgrade(struct c2s *c)
{
	struct sasl2_login *two = c->login->sasl2;
	char salt[BASE64_LEN(UPGRADE_SALT) + 1];
	struct builder b;

	two->verifier = (struct scram_verifier){
		.salt_len = UPGRADE_SALT,
		.iterations = (uint32_t)c->conf->scram_iterations,
	};
	if (!scram_salt(&two->verifier))
		return c2s_sasl_failed(c, SASL_TEMPORARY_AUTH_FAILURE);
	base64_encode(two->verifier.salt, UPGRADE_SALT, salt);
	build_begin(&b, "task-data", NS_SASL2);
	build_open(&b, "salt", NS_SCRAM_UPGRADE);
	build_attr_int(&b, "iterations", two->verifier.iterations);
	build_cdata(&b, salt, strlen(salt));
	build_close(&b);
	stream_send_element(&c->stream, &b);
	two->phase = PHASE_HASH;
	return fsm_same();
}

ON_SHARD static struct next store_upgrade(struct c2s *c)
{
	struct sasl2_login *two = c->login->sasl2;
	struct auth_request *r = c2s_question(c, AUTH_ASK_UPGRADE, c->login->sasl->user, NULL);

	r->account = two->account;
	r->hash = (enum scram_hash)__builtin_ctz(two->upgrades);
	r->verifier = two->verifier;
	two->phase = PHASE_STORE;
	if (!c2s_ask(c, r))
		return c2s_sasl_failed(c, SASL_TEMPORARY_AUTH_FAILURE);
	return fsm_same();
}

struct next c2s_sasl2_element(struct c2s *c, struct stanza *s)
{
	struct sasl2_login *two = c->login->sasl2;
	enum scram_hash hash = (enum scram_hash)__builtin_ctz(two->upgrades);
	const char *task = elem_attr(s->root, "task");

	if (two->phase == PHASE_OFFERED && elem_is(s->root, "next", NS_SASL2)) {
		if (!task || sasl2_upgrade(task) != (int)hash)
			return c2s_sasl_failed(c, SASL_MALFORMED_REQUEST);
		return begin_upgrade(c);
	}
	if (two->phase == PHASE_HASH && elem_is(s->root, "task-data", NS_SASL2)) {
		if (!sasl2_read_hash(s->root, &s->arena, hash, &two->verifier))
			return c2s_sasl_failed(c, SASL_MALFORMED_REQUEST);
		return store_upgrade(c);
	}
	return c2s_fail(c, STREAM_NOT_AUTHORIZED, NULL); /* §2.4, §4.8 */
}

ON_SHARD static struct next upgrade_stored(struct c2s *c, const struct auth_request *r)
{
	struct sasl2_login *two = c->login->sasl2;

	if (r->result == AUTH_WRONG) /* another password meanwhile: this one was right no more */
		return c2s_sasl_failed(c, SASL_NOT_AUTHORIZED);
	if (r->result)
		return c2s_sasl_failed(c, SASL_TEMPORARY_AUTH_FAILURE);
	two->account.scram[r->hash] = two->verifier; /* as the next one will find it */
	two->upgrades &= ~(1u << r->hash);
	metric_add(&upgrades_metric, 1);
	return next_task(c);
}

struct next c2s_sasl2_answered(struct c2s *c, const struct auth_request *r)
{
	if (r->ask == AUTH_ASK_UPGRADE)
		return upgrade_stored(c, r);
	if (r->result)
		return note(c); /* an account without verifiers: there is nothing to upgrade */
	c2s_sasl2_account(c, r);
	return begin_tasks(c);
}

void c2s_sasl2_account(struct c2s *c, const struct auth_request *r)
{
	c->login->sasl2->account_known = true;
	c->login->sasl2->account = r->account;
}

/* --- the mechanism is through -------------------------------------------------------------- */

/* §2.3: who the stream header said it would be. */
ON_SHARD static bool from_is_right(const struct c2s *c)
{
	const struct jid *from = c->login->from;

	return !from || !strcmp(jid_local(from), c->login->sasl->user);
}

/* Who shows a token or a certificate alone may not have the password, and sets no other: §4 of
 * XEP-0480. */
ON_SHARD static bool may_upgrade(const struct c2s *c)
{
	const struct sasl2_login *two = c->login->sasl2;

	return two->request.upgrades & c->conf->scram_upgrades && !two->request.fast &&
		!(c->login->sasl->mechanism & (SASL_ANONYMOUS | SASL_EXTERNAL));
}

struct next c2s_sasl2_done(struct c2s *c)
{
	struct c2s_login *l = c->login;
	struct sasl2_login *two = l->sasl2;

	if (!from_is_right(c))
		return c2s_sasl_failed(c, SASL_INVALID_AUTHZID);
	two->said = l->sasl->out;
	l->sasl->out = NULL;
	if (!may_upgrade(c))
		return note(c);
	if (two->account_known)
		return begin_tasks(c);
	two->phase = PHASE_FIND;
	if (!c2s_ask(c, c2s_question(c, AUTH_ASK_FIND, l->sasl->user, NULL)))
		return c2s_sasl_failed(c, SASL_TEMPORARY_AUTH_FAILURE);
	return fsm_next(WAIT_FOR_SASL_RESPONSE);
}
