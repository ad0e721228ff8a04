/* modules/people.c - a directory of people with a domain of its own, over what their vCards say:
 * XEP-0055 (Jabber Search), with the four old fields and with a form (XEP-0004, XEP-0068). Who
 * wants to be found registers with it (XEP-0077 §3.1, as XEP-0055 has it).
 * What it is, is answered at once on the sender's shard; what asks the database in lanes by who
 * asks, so that nobody's searches hold up another's. */
#include <errno.h>
#include <stdlib.h>

#include "core/job.h"
#include "core/lang.h"
#include "modules/disco.h"
#include "modules/vcard.h"
#include "modules/vcard_store.h"
#include "xml/form.h"

#define LANES 4
#define WAITING_MAX 256 /* searches waiting or running at once */

struct people {
	struct module_instance *mi;
	struct carrier *carrier; /* owned */
};

/* In the order of enum vcard_field. */
static const struct form_row fields[VCARD_FIELDS] = {
	{ "user", FORM_TEXT_SINGLE, TR("User") },
	{ "fn", FORM_TEXT_SINGLE, TR("Full name") },
	{ "first", FORM_TEXT_SINGLE, TR("Given name") },
	{ "middle", FORM_TEXT_SINGLE, TR("Middle name") },
	{ "last", FORM_TEXT_SINGLE, TR("Family name") },
	{ "nick", FORM_TEXT_SINGLE, TR("Nickname") },
	{ "bday", FORM_TEXT_SINGLE, TR("Birthday") },
	{ "ctry", FORM_TEXT_SINGLE, TR("Country") },
	{ "locality", FORM_TEXT_SINGLE, TR("City") },
	{ "email", FORM_TEXT_SINGLE, TR("Email") },
	{ "orgname", FORM_TEXT_SINGLE, TR("Organization") },
	{ "orgunit", FORM_TEXT_SINGLE, TR("Organizational unit") },
};
static const struct form_row address_field = { "jid", FORM_JID_SINGLE, TR("Address") };
/* XEP-0055 §7: what there is without a form. */
static const enum vcard_field legacy[] = { VCARD_FIRST, VCARD_LAST, VCARD_NICK, VCARD_EMAIL };

static const char instructions[] = TR("Fill in one or more fields to find people. A * at the end "
				      "of a field stands for anything.");

static struct metric searched_metric =
	METRIC_COUNTER("people_searches_total", "Searches of the directory of people.");
static struct metric found_metric =
	METRIC_SPREAD("people_found", "How many a search of the directory of people found.");
static struct metric full_metric = METRIC_COUNTER("people_refused_total",
	"Searches of the directory of people refused because too many were waiting.");

void people_register_metrics(void)
{
	metric_register(&searched_metric);
	metric_register(&found_metric);
	metric_register(&full_metric);
}

/* ---- Searching */

/* §2.1 and §3: both kinds of fields, for the client to choose. */
static void build_search_form(struct builder *b, const char *lang)
{
	build_open(b, "query", NS_SEARCH);
	build_text(b, "instructions", tr(lang, instructions));
	for (size_t i = 0; i < ARRAY_LEN(legacy); i++)
		build_text(b, fields[legacy[i]].var, NULL);
	form_open_titled(b, "form", NS_SEARCH, lang, TR("Search for people"), instructions);
	for (int f = 0; f < VCARD_FIELDS; f++)
		form_result(b, lang, &fields[f], NULL);
	build_close(b);
	build_close(b);
}

/* False: the form is none of a search. */
static bool read_query(
	const struct elem *query, const struct elem *form, struct arena *a, struct vcard_query *out)
{
	const char *type = form ? form_text(form, "FORM_TYPE", a) : NULL;

	if (type && strcmp(type, NS_SEARCH) != 0)
		return false;
	for (int f = 0; f < VCARD_FIELDS; f++)
		out->field[f] = form ? form_text(form, fields[f].var, a)
				     : elem_child_text(query, fields[f].var, NS_SEARCH, a);
	return true;
}

struct finding {
	struct builder *b;
	const char *host;
};

static char *address_of(const struct finding *f, const struct vcard_found *found)
{
	return xprintf("%s@%s", found->user, f->host);
}

static void add_legacy(const struct vcard_found *found, void *arg)
{
	const struct finding *f = arg;
	AUTO(free_ptr) char *address = address_of(f, found);

	build_open(f->b, "item", NULL);
	build_attr(f->b, "jid", address);
	for (size_t i = 0; i < ARRAY_LEN(legacy); i++)
		build_text(f->b, fields[legacy[i]].var, found->field[legacy[i]]);
	build_close(f->b);
}

/* Its var and value; <reported/> has the rest. */
static void build_cell(struct builder *b, const char *var, const char *value)
{
	build_open(b, "field", NULL);
	build_attr(b, "var", var);
	form_value(b, value);
	build_close(b);
}

static void add_row(const struct vcard_found *found, void *arg)
{
	const struct finding *f = arg;
	AUTO(free_ptr) char *address = address_of(f, found);

	build_open(f->b, "item", NULL);
	build_cell(f->b, address_field.var, address);
	for (int i = 0; i < VCARD_FIELDS; i++)
		build_cell(f->b, fields[i].var, found->field[i]);
	build_close(f->b);
}

static void build_reported(struct builder *b, const char *lang)
{
	build_open(b, "reported", NULL);
	form_result(b, lang, &address_field, NULL);
	for (int f = 0; f < VCARD_FIELDS; f++)
		form_result(b, lang, &fields[f], NULL);
	build_close(b);
}

/* 0, or the error to answer. */
ON_JOB static int answer_search(const struct vcard_conf *conf, const char *host,
	const struct stanza *s, const struct elem *query, struct builder *b)
{
	const struct elem *form = form_in(query);
	struct vcard_query q = { .only_wanted = conf->listing == VCARD_LIST_WANTED,
		.everybody = conf->allow_return_all,
		.max = (unsigned)conf->matches };
	struct finding finding = { .b = b, .host = host };
	char first[2048];
	struct arena a;
	bool more;
	int found;

	if (form_is(form, "cancel"))
		return 0; /* XEP-0004 §3.1 */
	arena_init(&a, first, sizeof(first));
	if (!read_query(query, form, &a, &q)) {
		arena_fini(&a);
		return ERR_BAD_REQUEST;
	}
	build_open(b, "query", NS_SEARCH);
	if (form) {
		form_open(b, "result", NS_SEARCH);
		build_reported(b, stanza_lang(s));
	}
	found = vcard_search(host, &q, form ? add_row : add_legacy, &finding, &more);
	if (form)
		build_close(b);
	build_close(b);
	arena_fini(&a);
	metric_add(&searched_metric, 1);
	if (found < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	metric_spread(&found_metric, (uint64_t)found);
	return 0;
}

/* ---- Registering */

static bool has_account_here(const struct host *h, const struct jid *j)
{
	return j->local_len && strcmp(jid_domain(j), h->name) == 0;
}

ON_JOB static int answer_register(
	const struct host *h, const struct stanza *s, const struct elem *query, struct builder *b)
{
	const char *user = jid_local(s->from);
	int wanted;

	if (!has_account_here(h, s->from))
		return ERR_NOT_ALLOWED;
	if (s->type == IQ_SET) {
		wanted = !elem_child(query, "remove", NS_REGISTER);
		return vcard_set_wanted(h->name, user, wanted) < 0 ? ERR_INTERNAL_SERVER_ERROR : 0;
	}
	wanted = vcard_is_wanted(h->name, user);
	if (wanted < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	build_open(b, "query", NS_REGISTER);
	build_text(b, "instructions",
		tr(stanza_lang(s),
			"Register to be found in this directory by what your vCard says."));
	if (wanted)
		build_text(b, "registered", NULL);
	build_close(b);
	return 0;
}

/* ---- What asks the database */

struct question {
	struct job job;
	const struct vcard_conf *conf; /* held */
	struct host *host; /* counted */
	struct stanza *stanza; /* counted */
};

static void question_free(struct job *job)
{
	struct question *q = container_of(job, struct question, job);

	module_conf_drop(q->conf);
	host_unref(q->host);
	stanza_unref(q->stanza);
	free(q);
}

static struct stanza *refusal(const struct stanza *s, int error)
{
	struct builder b;

	build_error(&b, s, error, NULL);
	return build_end(&b);
}

ON_JOB static struct stanza *answer_question(const struct question *q)
{
	const struct elem *query = stanza_iq_child(q->stanza);
	struct access_subject who = { .jid = q->stanza->from };
	struct builder b;
	int error;

	if (!access_allowed(q->conf->access_search, q->host->name, &who))
		return refusal(q->stanza, ERR_FORBIDDEN);
	build_iq_result(&b, q->stanza);
	if (strcmp(query->ns, NS_REGISTER) == 0)
		error = answer_register(q->host, q->stanza, query, &b);
	else
		error = answer_search(q->conf, q->host->name, q->stanza, query, &b);
	if (!error)
		return build_end(&b);
	build_drop(&b);
	return refusal(q->stanza, error);
}

static void question_work(struct job *job)
{
	struct question *q = container_of(job, struct question, job);

	job_check();
	route_post(answer_question(q));
}

ON_SHARD static void question_ask(struct people *p, struct stanza *s)
{
	struct question *q = xcalloc(1, sizeof(*q));

	q->job.work = question_work;
	q->job.done = question_free;
	q->conf = module_conf_hold(p->mi);
	q->host = host_ref(p->mi->host);
	q->stanza = stanza_ref(s);
	if (carrier_submit(p->carrier, s->from->bare_hash, &q->job) == 0)
		return;
	metric_add(&full_metric, 1);
	route_error(s, ERR_RESOURCE_CONSTRAINT, NULL);
	question_free(&q->job);
}

/* ---- The domain */

/* XEP-0030. */
static void build_info(struct builder *b, const struct vcard_conf *conf)
{
	static const char *const features[] = { NS_DISCO_INFO, NS_DISCO_ITEMS, NS_SEARCH,
		NS_REGISTER, NS_VCARD };

	build_open(b, "query", NS_DISCO_INFO);
	disco_identity(b, "directory", "user", conf->name);
	for (size_t i = 0; i < ARRAY_LEN(features); i++)
		disco_feature(b, features[i]);
	build_close(b);
}

static void build_card(struct builder *b, const struct vcard_conf *conf)
{
	struct vcard_own own = conf->vcard;

	own.fn = conf->name;
	vcard_build_own(b, &own);
}

/* True: there is something in the builder to answer. */
static bool answer_at_once(const struct vcard_conf *conf, const struct stanza *s,
	const struct elem *query, struct builder *b)
{
	if (s->type != IQ_GET || elem_attr(query, "node"))
		return false;
	if (elem_is(query, "query", NS_DISCO_INFO)) {
		build_info(b, conf);
	} else if (elem_is(query, "query", NS_DISCO_ITEMS)) {
		build_open(b, "query", NS_DISCO_ITEMS);
		build_close(b);
	} else if (elem_is(query, "vCard", NS_VCARD)) {
		build_card(b, conf);
	} else if (elem_is(query, "query", NS_SEARCH)) {
		build_search_form(b, stanza_lang(s));
	} else {
		return false;
	}
	return true;
}

static bool asks_database(const struct stanza *s, const struct elem *query)
{
	return elem_is(query, "query", NS_REGISTER) ||
		(s->type == IQ_SET && elem_is(query, "query", NS_SEARCH));
}

ON_SHARD static void answer_request(struct people *p, struct stanza *s)
{
	const struct elem *query = stanza_iq_child(s);
	struct builder b;

	if (!query) {
		route_error(s, ERR_BAD_REQUEST, NULL);
		return;
	}
	if (asks_database(s, query)) {
		question_ask(p, s);
		return;
	}
	build_iq_result(&b, s);
	if (answer_at_once(module_conf(p->mi), s, query, &b)) {
		route(build_end(&b));
		return;
	}
	build_drop(&b);
	route_error(s, ERR_SERVICE_UNAVAILABLE, NULL);
}

static void people_stanza(void *arg, struct stanza *s)
{
	shard_check(NULL);
	if (s->to->local_len && s->kind != STANZA_PRESENCE)
		route_error(s, ERR_ITEM_NOT_FOUND, NULL); /* nobody lives here */
	else if (s->type == IQ_GET || s->type == IQ_SET)
		answer_request(arg, s);
	else if (s->kind == STANZA_MESSAGE)
		route_error(s, ERR_SERVICE_UNAVAILABLE, NULL);
}

int people_start(struct module_instance *mi, struct people **out)
{
	const struct vcard_conf *conf = module_conf(mi);
	struct people *p = xcalloc(1, sizeof(*p));
	int result;

	p->mi = mi;
	p->carrier = carrier_new(CARRIER_LANES, LANES, WAITING_MAX, "people");
	result = module_serve(mi, conf->host, conf->name, people_stanza, p);
	if (result)
		people_stop(p);
	else
		*out = p;
	return result;
}

void people_stop(struct people *p)
{
	if (!p)
		return;
	carrier_free(p->carrier); /* waits for searches that run */
	free(p);
}
