/* modules/register.c - accounts made, changed and removed by their owners: XEP-0077 (In-Band
 * Registration). Three doors: a stream before login (access, ip_access), somebody logged in or
 * from elsewhere who wants an account here (access_from), and the owner of an account (new
 * password, access_remove). The first two are closed unless the settings open them.
 * Before login the request is judged on the stream's shard and the account made on a job thread;
 * after it the whole handler is a job. Errors never carry the request back: it holds a password. */
#include <errno.h>
#include <stdlib.h>

#include "core/clock.h"
#include "core/job.h"
#include "modules/module.h"
#include "modules/recent.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/prelogin.h"
#include "xml/conf_jid.h"

#define NS_OOB "jabber:x:oob"
#define PASSWORD_BYTES_MAX 1023 /* RFC 4616 and RFC 5802 prepare it; this bounds the work */
#define ADDRESSES_MAX 65536 /* remembered at once, 64 bytes each */
#define TRIES_MAX 10 /* refused names and passwords per address and registration_timeout */
#define WAITING_MAX 256 /* accounts being made at once */

struct register_message {
	const char *subject;
	const char *body;
};
struct register_conf {
	const char *access;
	const char *access_from;
	const char *access_remove;
	const char *ip_access;
	int64_t registration_timeout; /* ms; 0: no limit */
	int64_t password_min_length; /* characters */
	const char *instructions;
	const char *redirect_url;
	struct register_message welcome_message;
	struct conf_list registration_watchers; /* of const char *, JIDs */
};

static const struct conf_item message_items[] = {
	{ "subject", CONF_STRING, FIELD(struct register_message, subject, const char *),
		.help = "Its subject." },
	{ "body", CONF_STRING, FIELD(struct register_message, body, const char *),
		.help = "Its text; without one, no message is sent." },
	{ 0 }
};
static const struct conf_item watcher_item[] = {
	{ "jid", CONF_JID, 0, .check = conf_check_jid, .help = "An address." }, { 0 }
};
static const struct conf_item register_items[] = {
	{ "access", CONF_ACCESS, FIELD(struct register_conf, access, const char *),
		.preset = "none",
		.help = "Which accounts may be registered in band, asked with the new account's "
			"address. "
			"With none, only owners of accounts are served: new password, removal." },
	{ "access_from", CONF_ACCESS, FIELD(struct register_conf, access_from, const char *),
		.preset = "none",
		.help = "Who may register a further account while logged in, or from another "
			"server." },
	{ "access_remove", CONF_ACCESS, FIELD(struct register_conf, access_remove, const char *),
		.preset = "all", .help = "Who may remove the own account." },
	{ "ip_access", CONF_ACCESS, FIELD(struct register_conf, ip_access, const char *),
		.preset = "all", .help = "From which addresses one may register before login." },
	{ "registration_timeout", CONF_TIME,
		FIELD(struct register_conf, registration_timeout, int64_t), .preset = "10 min",
		.max = 365 * 24 * 3600000LL,
		.help = "One address (of IPv6, one /64) may register one account in this time, and "
			"try "
			"a few more times when a name is taken; 0 sets no limit." },
	{ "password_min_length", CONF_INT,
		FIELD(struct register_conf, password_min_length, int64_t), .preset = "8", .min = 1,
		.max = 256, .unit = "characters", .help = "Shorter passwords are refused." },
	{ "instructions", CONF_STRING, FIELD(struct register_conf, instructions, const char *),
		.preset = TR("Choose a username and password for use with this server."),
		.help = "What the client shows above the form. The preset text comes in the "
			"client's "
			"language." },
	{ "redirect_url", CONF_STRING, FIELD(struct register_conf, redirect_url, const char *),
		.help = "A web page to register at, for those who may not do it in band." },
	{ "welcome_message", CONF_GROUP,
		FIELD(struct register_conf, welcome_message, struct register_message),
		.rows = message_items, .help = "A message sent to each new account." },
	{ "registration_watchers", CONF_LIST,
		FIELD(struct register_conf, registration_watchers, struct conf_list),
		.item = watcher_item, .item_size = sizeof(const char *),
		.help = "Who is told by message of each new account." },
	{ 0 }
};

/* Of one host. */
struct registrar {
	struct carrier *carrier; /* owned; makes accounts, equal names one after the other */
	struct recent *recent; /* owned; who has registered lately */
};

static struct metric registered_metric =
	METRIC_COUNTER("accounts_registered_total", "Accounts registered in band.");
static struct metric refused_metric = METRIC_COUNTER(
	"registrations_refused_total", "Registrations refused, for whatever reason.");

/* ---- Answers */

/* Why not; cond 0: it may be. */
struct refusal {
	int cond; /* enum stanza_error */
	const char *text; /* for people; NULL: the condition says all */
};
#define GRANTED ((struct refusal){ 0 })

/* §9 still asks for the codes of XEP-0086. */
static const char *error_code(int cond)
{
	static const char *const codes[ERR_COUNT] = { [ERR_BAD_REQUEST] = "400",
		[ERR_CONFLICT] = "409",
		[ERR_FORBIDDEN] = "403",
		[ERR_INTERNAL_SERVER_ERROR] = "500",
		[ERR_JID_MALFORMED] = "400",
		[ERR_NOT_ACCEPTABLE] = "406",
		[ERR_NOT_ALLOWED] = "405",
		[ERR_NOT_AUTHORIZED] = "401",
		[ERR_REGISTRATION_REQUIRED] = "407",
		[ERR_RESOURCE_CONSTRAINT] = "500",
		[ERR_SERVICE_UNAVAILABLE] = "503",
		[ERR_UNEXPECTED_REQUEST] = "400" };

	return codes[cond];
}

/* §3.3: without the request, which holds a password. */
static struct stanza *build_refusal(const struct stanza *request, struct refusal r)
{
	struct builder b;

	build_answer(&b, request, "error");
	build_error_open(&b, request, r.cond, r.text);
	build_attr(&b, "code", error_code(r.cond));
	build_close(&b);
	metric_add(&refused_metric, 1);
	return build_end(&b);
}

static void build_form(
	struct builder *b, const struct register_conf *conf, const struct stanza *request)
{
	build_open(b, "query", NS_REGISTER);
	build_text(b, "instructions", tr(stanza_lang(request), conf->instructions));
	build_text(b, "username", NULL);
	build_text(b, "password", NULL);
	build_close(b);
}

/* §3.1.1: for the owner of an account. */
static void build_registered(struct builder *b, const struct jid *owner)
{
	build_open(b, "query", NS_REGISTER);
	build_text(b, "registered", NULL);
	build_text(b, "username", jid_local(owner));
	build_text(b, "password", NULL);
	build_close(b);
}

/* §5 */
static void build_redirect(struct builder *b, const char *url, const struct stanza *request)
{
	AUTO(free_ptr) char *text = xprintf(tr(stanza_lang(request), "To register, visit %s"), url);

	build_open(b, "query", NS_REGISTER);
	build_text(b, "instructions", text);
	build_open(b, "x", NS_OOB);
	build_text(b, "url", url);
	build_close(b);
	build_close(b);
}

/* ---- What is asked, and whether it may be */

struct request {
	const char *username; /* NULL: no such element */
	const char *password;
	bool remove;
	bool remove_alone;
};

static struct request request_read(const struct elem *query, struct arena *a)
{
	struct request r = { 0 };
	const struct elem *first = elem_first(query);

	r.username = elem_child_text(query, "username", NS_REGISTER, a);
	r.password = elem_child_text(query, "password", NS_REGISTER, a);
	r.remove = elem_child(query, "remove", NS_REGISTER);
	r.remove_alone = r.remove && !elem_next(first);
	return r;
}

static bool rule_is_none(const char *rule)
{
	return strcmp(rule, "none") == 0;
}

static int64_t count_characters(const char *utf8)
{
	int64_t n = 0;

	for (; *utf8; utf8++)
		n += ((unsigned char)*utf8 & 0xc0) != 0x80;
	return n;
}

static struct refusal judge_password(const struct register_conf *conf, const char *password)
{
	if (count_characters(password) < conf->password_min_length)
		return (struct refusal){ ERR_NOT_ACCEPTABLE, TR("This password is too short.") };
	if (strlen(password) > PASSWORD_BYTES_MAX)
		return (struct refusal){ ERR_NOT_ACCEPTABLE, TR("This password is too long.") };
	return GRANTED;
}

/* A new account. out_account is in the arena. address: NULL when not known. */
static struct refusal judge_account(const struct register_conf *conf, const struct host *h,
	const struct request *r, const struct conf_prefix *address, struct arena *a,
	struct jid **out_account)
{
	struct access_subject subject = { .address = address };

	if (!r->username || !*r->username || !r->password || !*r->password)
		return (struct refusal){ ERR_NOT_ACCEPTABLE, NULL }; /* §3.1 */
	if (jid_make(r->username, h->name, NULL, a, out_account) != JID_OK)
		return (struct refusal){ ERR_JID_MALFORMED, TR("This is not a valid username.") };
	subject.jid = *out_account;
	if (!access_allowed(conf->access, h->name, &subject))
		return (struct refusal){ ERR_FORBIDDEN,
			TR("This username may not be registered.") };
	return judge_password(conf, r->password);
}

static struct refusal judge_frequency(
	struct registrar *g, const struct register_conf *conf, struct recent_key key)
{
	uint64_t window = (uint64_t)conf->registration_timeout;

	if (!window || recent_take(g->recent, key, clock_ms(), window, TRIES_MAX))
		return GRANTED;
	return (struct refusal){ ERR_RESOURCE_CONSTRAINT,
		TR("Accounts are registered too quickly from here; try again later.") };
}

/* ---- Making an account */

ON_JOB static struct refusal make_account(
	struct host *h, const struct jid *account, const char *password)
{
	int error = auth_create(h, jid_local(account), password);

	if (error == AUTH_EXISTS)
		return (struct refusal){ ERR_CONFLICT, NULL };
	if (error == AUTH_READ_ONLY)
		return (struct refusal){ ERR_NOT_ALLOWED, NULL };
	if (error == -EINVAL)
		return (struct refusal){ ERR_NOT_ACCEPTABLE, TR("This password is not allowed.") };
	if (error)
		return (struct refusal){ ERR_INTERNAL_SERVER_ERROR, NULL };
	return GRANTED;
}

static void post_message(
	const struct host *h, const char *to, const char *subject, const char *body)
{
	struct builder b;

	build_begin(&b, "message", NS_CLIENT);
	build_attr(&b, "from", h->name);
	build_attr(&b, "to", to);
	if (subject)
		build_text(&b, "subject", subject);
	build_text(&b, "body", body);
	route_post(build_end(&b));
}

/* The account is there: tells the log, its owner and who watches. where: the address it came
 * from, or the account that asked for it. */
static void announce(struct host *h, const struct register_conf *conf, const struct jid *account,
	const char *where)
{
	const char *const *watchers = conf->registration_watchers.at;
	char buffer[JID_TEXT_MAX];
	const char *name = buffer;
	AUTO(free_ptr) char *news = NULL;

	jid_write(account, buffer);
	metric_add(&registered_metric, 1);
	log_info("register", "account registered", L_STR("jid", name), L_STR("from", where));
	if (conf->welcome_message.body)
		post_message(h, name, conf->welcome_message.subject, conf->welcome_message.body);
	news = xprintf(tr(host_lang(h), "The account %s was registered from %s."), name, where);
	for (size_t i = 0; i < conf->registration_watchers.n; i++)
		post_message(h, watchers[i], NULL, news);
}

/* ---- Before login */

/* An account being made for a stream. */
struct signup {
	struct job job;
	struct registrar *registrar; /* until work() has returned */
	const struct register_conf *conf; /* held */
	struct host *host; /* counted */
	struct stanza *iq; /* counted */
	struct actor_id stream;
	struct conf_prefix address;
	struct jid *account; /* owned */
	char *password; /* owned */
	struct refusal refusal;
};

static void signup_free(struct signup *u)
{
	module_conf_drop(u->conf);
	host_unref(u->host);
	stanza_unref(u->iq);
	jid_free(u->account);
	wipe(u->password, strlen(u->password));
	free(u->password);
	free(u);
}

static void answer_stream(struct actor_id stream, struct stanza *answer)
{
	deliver_to(stream, answer);
	stanza_unref(answer);
}

static void refuse_stream(const struct prelogin_iq *p, struct refusal r)
{
	answer_stream(p->stream, build_refusal(p->iq, r));
}

static void signup_work(struct job *job)
{
	struct signup *u = container_of(job, struct signup, job);

	job_check();
	u->refusal = make_account(u->host, u->account, u->password);
	if (!u->refusal.cond)
		recent_exhaust(u->registrar->recent, recent_key_of_address(&u->address));
}

static void signup_done(struct job *job)
{
	struct signup *u = container_of(job, struct signup, job);
	char where[CONF_ADDRESS_TEXT_MAX];
	struct builder b;

	if (u->refusal.cond) {
		answer_stream(u->stream, build_refusal(u->iq, u->refusal));
	} else {
		build_iq_result(&b, u->iq);
		answer_stream(u->stream, build_end(&b));
		conf_address_write(&u->address, where);
		announce(u->host, u->conf, u->account, where);
	}
	signup_free(u);
}

static void signup_submit(struct module_instance *mi, const struct prelogin_iq *p,
	const struct jid *account, const char *password)
{
	struct registrar *g = mi->data;
	struct signup *u = xcalloc(1, sizeof(*u));

	u->job.work = signup_work;
	u->job.done = signup_done;
	u->registrar = g;
	u->conf = module_conf_hold(mi);
	u->host = host_ref(mi->host);
	u->iq = stanza_ref(p->iq);
	u->stream = p->stream;
	u->address = *p->address;
	u->account = jid_dup(account, NULL);
	u->password = xstrdup(password);
	if (carrier_submit(g->carrier, account->bare_hash, &u->job) == 0)
		return;
	refuse_stream(p, (struct refusal){ ERR_RESOURCE_CONSTRAINT, NULL });
	signup_free(u);
}

/* Whether this address may try to register. */
static bool open_to(
	const struct register_conf *conf, const struct host *h, const struct conf_prefix *address)
{
	struct access_subject subject = { .address = address };

	return !rule_is_none(conf->access) && access_allowed(conf->ip_access, h->name, &subject);
}

static void prelogin_get(const struct register_conf *conf, const struct prelogin_iq *p)
{
	struct builder b;

	build_iq_result(&b, p->iq);
	if (open_to(conf, p->host, p->address)) {
		build_form(&b, conf, p->iq);
	} else if (conf->redirect_url) {
		build_redirect(&b, conf->redirect_url, p->iq);
	} else {
		build_drop(&b);
		refuse_stream(p, (struct refusal){ ERR_SERVICE_UNAVAILABLE, NULL });
		return;
	}
	answer_stream(p->stream, build_end(&b));
}

static void prelogin_set(
	struct module_instance *mi, const struct register_conf *conf, const struct prelogin_iq *p)
{
	char first[1024];
	struct arena arena;
	struct request r;
	struct refusal refusal;
	struct jid *account = NULL;

	arena_init(&arena, first, sizeof(first));
	r = request_read(stanza_iq_child(p->iq), &arena);
	if (r.remove) /* §3.2: there is no account to remove */
		refusal = (struct refusal){ ERR_UNEXPECTED_REQUEST, NULL };
	else if (!open_to(conf, p->host, p->address))
		refusal = (struct refusal){ ERR_SERVICE_UNAVAILABLE, NULL };
	else
		refusal = judge_account(conf, p->host, &r, p->address, &arena, &account);
	if (!refusal.cond)
		refusal = judge_frequency(mi->data, conf, recent_key_of_address(p->address));
	if (refusal.cond)
		refuse_stream(p, refusal);
	else
		signup_submit(mi, p, account, r.password);
	arena_fini(&arena);
}

static enum hook_next register_prelogin(void *subject, void *arg)
{
	const struct prelogin_iq *p = subject;
	struct module_instance *mi = arg;
	const struct elem *query = stanza_iq_child(p->iq);

	if (!query || !elem_is(query, "query", NS_REGISTER))
		return HOOK_GO_ON;
	if (p->iq->type == IQ_GET)
		prelogin_get(module_conf(mi), p);
	else
		prelogin_set(mi, module_conf(mi), p);
	return HOOK_STOP;
}

/* §8 */
static enum hook_next register_feature(void *subject, void *arg)
{
	const struct stream_features *f = subject;
	const struct register_conf *conf = module_conf(arg);

	if (f->authenticated)
		return HOOK_GO_ON;
	if (!open_to(conf, f->host, f->address) && !conf->redirect_url)
		return HOOK_GO_ON;
	build_open(f->features, "register", NS_FEATURE_REGISTER);
	build_close(f->features);
	return HOOK_GO_ON;
}

/* ---- After login */

static bool owns_account_here(const struct iq *iq)
{
	return iq->from->local_len && strcmp(jid_domain(iq->from), iq->host->name) == 0;
}

static bool may_add_accounts(const struct register_conf *conf, const struct iq *iq)
{
	struct access_subject who = { .jid = iq->from };

	return !rule_is_none(conf->access) &&
		access_allowed(conf->access_from, iq->host->name, &who);
}

static int register_get(const struct iq *iq, struct builder *answer)
{
	const struct register_conf *conf = iq_conf(iq);

	if (owns_account_here(iq))
		build_registered(answer, iq->from);
	else if (may_add_accounts(conf, iq))
		build_form(answer, conf, iq->stanza);
	else if (conf->redirect_url)
		build_redirect(answer, conf->redirect_url, iq->stanza);
	else
		return ERR_SERVICE_UNAVAILABLE;
	return 0;
}

/* §3.2: the result goes out before the sessions are closed, which account_removed_hook brings about
 * before auth_remove() returns. So the request is noted here for the same hook, in the same thread.
 */
static _Thread_local const struct iq *removing;

static enum hook_next register_removed(void *subject, void *arg UNUSED)
{
	const struct session_entry *owner;
	struct stanza *result;
	struct builder b;

	if (!removing || !jid_equal_bare(subject, removing->from))
		return HOOK_GO_ON;
	owner = directory_find_full(removing->from);
	if (owner) {
		build_iq_result(&b, removing->stanza);
		result = build_end(&b);
		deliver_to(owner->id, result);
		stanza_unref(result);
	}
	return HOOK_GO_ON;
}

/* Granted: it has been answered already. */
ON_JOB static struct refusal remove_own(
	const struct register_conf *conf, const struct iq *iq, const struct request *r)
{
	struct access_subject who = { .jid = iq->from };
	int error;

	if (!r->remove_alone)
		return (struct refusal){ ERR_BAD_REQUEST, NULL };
	if (!owns_account_here(iq))
		return (struct refusal){ ERR_REGISTRATION_REQUIRED, NULL };
	if (rule_is_none(conf->access_remove))
		return (struct refusal){ ERR_NOT_ALLOWED, NULL };
	if (!access_allowed(conf->access_remove, iq->host->name, &who))
		return (struct refusal){ ERR_FORBIDDEN, NULL };
	removing = iq;
	error = auth_remove(iq->host, jid_local(iq->from));
	removing = NULL;
	if (error == AUTH_NO_SUCH_USER)
		return (struct refusal){ ERR_REGISTRATION_REQUIRED, NULL };
	if (error == AUTH_READ_ONLY)
		return (struct refusal){ ERR_NOT_ALLOWED, NULL };
	if (error)
		return (struct refusal){ ERR_INTERNAL_SERVER_ERROR, NULL };
	return GRANTED;
}

/* §3.3 */
ON_JOB static struct refusal change_password(
	const struct register_conf *conf, const struct iq *iq, const struct request *r)
{
	struct refusal refusal;
	int error;

	if (!r->password || !*r->password)
		return (struct refusal){ ERR_BAD_REQUEST, NULL };
	refusal = judge_password(conf, r->password);
	if (refusal.cond)
		return refusal;
	error = auth_set_password(iq->host, jid_local(iq->from), r->password);
	if (error == AUTH_NO_SUCH_USER || error == AUTH_READ_ONLY)
		return (struct refusal){ ERR_NOT_ALLOWED, NULL };
	if (error == -EINVAL)
		return (struct refusal){ ERR_NOT_ACCEPTABLE, TR("This password is not allowed.") };
	if (error)
		return (struct refusal){ ERR_INTERNAL_SERVER_ERROR, NULL };
	return GRANTED;
}

/* A further account, for whoever access_from allows. */
ON_JOB static struct refusal add_account(struct registrar *g, const struct register_conf *conf,
	const struct iq *iq, const struct request *r, struct arena *a)
{
	struct recent_key key = recent_key_of_account(iq->from);
	struct jid *account;
	struct refusal refusal;
	char asker[JID_TEXT_MAX];

	if (!may_add_accounts(conf, iq))
		return (struct refusal){ ERR_NOT_ALLOWED, NULL };
	refusal = judge_account(conf, iq->host, r, NULL, a, &account);
	if (!refusal.cond)
		refusal = judge_frequency(g, conf, key);
	if (!refusal.cond)
		refusal = make_account(iq->host, account, r->password);
	if (refusal.cond)
		return refusal;
	recent_exhaust(g->recent, key);
	jid_write_bare(iq->from, asker);
	announce(iq->host, conf, account, asker);
	return GRANTED;
}

/* Whether the username in a request is the sender's own. */
static bool names_self(const struct iq *iq, const struct request *r)
{
	char prepared[JID_PART_MAX + 1];

	return owns_account_here(iq) && r->username &&
		jid_prep_local(r->username, strlen(r->username), prepared) > 0 &&
		strcmp(prepared, jid_local(iq->from)) == 0;
}

static int register_set(const struct iq *iq, struct builder *answer UNUSED)
{
	struct module_instance *mi = iq->arg;
	const struct register_conf *conf = iq_conf(iq);
	char first[1024];
	struct arena arena;
	struct request r;
	struct refusal refusal;

	job_check();
	arena_init(&arena, first, sizeof(first));
	r = request_read(iq->payload, &arena);
	if (r.remove)
		refusal = remove_own(conf, iq, &r);
	else if (names_self(iq, &r))
		refusal = change_password(conf, iq, &r);
	else if (!r.username)
		refusal = (struct refusal){ ERR_BAD_REQUEST, NULL };
	else
		refusal = add_account(mi->data, conf, iq, &r, &arena);
	arena_fini(&arena);
	if (!refusal.cond)
		return r.remove ? IQ_LATER : 0;
	route_post(build_refusal(iq->stanza, refusal));
	return IQ_LATER;
}

/* To the server, or without `to`: then it is to the sender's own account. */
static int register_iq(const struct iq *iq, struct builder *answer)
{
	if (!elem_is(iq->payload, "query", NS_REGISTER))
		return ERR_BAD_REQUEST;
	if (!jid_is_domain(iq->to) && !jid_equal_bare(iq->to, iq->from))
		return ERR_SERVICE_UNAVAILABLE;
	return iq->set ? register_set(iq, answer) : register_get(iq, answer);
}

static int register_start(struct module_instance *mi)
{
	struct registrar *g = xcalloc(1, sizeof(*g));

	metric_register(&registered_metric);
	metric_register(&refused_metric);
	g->carrier = carrier_new(CARRIER_LANES, 2, WAITING_MAX, "register");
	g->recent = recent_new(ADDRESSES_MAX);
	mi->data = g;
	return 0;
}

static void register_stop(struct module_instance *mi)
{
	struct registrar *g = mi->data;

	carrier_free(g->carrier); /* waits for accounts being made */
	recent_free(g->recent);
	free(g);
}

const struct module module_register = {
	.abi = LINNET_MODULE_ABI,
	.name = "register",
	.help = "Lets people register accounts, change their passwords and remove their accounts. "
		"New "
		"accounts are refused until `access` allows some.",
	.xeps = (const char *const[]){ "XEP-0077 2.4", NULL },
	.features = (const char *const[]){ NS_REGISTER, NULL },
	.conf = register_items,
	.conf_size = sizeof(struct register_conf),
	.iq = (const struct iq_row[]){ { IQ_FOR_BOTH, IQ_LOCAL, NS_REGISTER, IQ_QUEUES, register_iq,
					       .blocks = true },
		{ IQ_FOR_BOTH, IQ_SM, NS_REGISTER, IQ_QUEUES, register_iq, .blocks = true },
		{ 0 } },
	.hooks = (const struct hook_row[]){ { &stream_features_hook, 50, register_feature },
		{ &prelogin_iq_hook, 50, register_prelogin },
		{ &account_removed_hook, 10, register_removed }, { 0 } },
	.start = register_start,
	.stop = register_stop,
};
LINNET_MODULE(module_register);
