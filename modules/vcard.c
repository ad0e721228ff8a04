/* modules/vcard.c - who people are: XEP-0054 (vcard-temp), for accounts and for the server itself.
 * The requests run in lanes by account and ask the database; what a vCard says goes into an index
 * as it is stored, which modules/people.c searches. */
#include "modules/vcard.h"

#include <errno.h>
#include <stdlib.h>

#include "modules/vcard_store.h"

HOOK(vcard_photo);

static const struct conf_item own_items[] = {
	{ "fn", CONF_STRING, FIELD(struct vcard_own, fn, const char *), .help = "Full name." },
	{ "nickname", CONF_STRING, FIELD(struct vcard_own, nickname, const char *),
		.help = "Short name." },
	{ "orgname", CONF_STRING, FIELD(struct vcard_own, orgname, const char *),
		.help = "Who runs the server." },
	{ "url", CONF_STRING, FIELD(struct vcard_own, url, const char *), .help = "Its web page." },
	{ "email", CONF_STRING, FIELD(struct vcard_own, email, const char *),
		.help = "Where to write to." },
	{ "jabberid", CONF_STRING, FIELD(struct vcard_own, jabberid, const char *),
		.help = "Whom to chat with." },
	{ "desc", CONF_STRING, FIELD(struct vcard_own, desc, const char *),
		.help = "What there is to say." },
	{ 0 }
};
static const char *const listing_words[] = { "wanted", "everybody", NULL };
static const struct conf_item vcard_items[] = {
	{ "max_bytes", CONF_SIZE, FIELD(struct vcard_conf, max_bytes, int64_t), .preset = "128 KB",
		.min = 1024, .max = 16 << 20, .help = "A larger vCard is refused." },
	{ "max_photo_bytes", CONF_SIZE, FIELD(struct vcard_conf, max_photo_bytes, int64_t),
		.preset = "64 KB", .min = 0, .max = 12 << 20,
		.help = "A vCard with a larger picture is refused." },
	{ "access", CONF_ACCESS, FIELD(struct vcard_conf, access, const char *), .preset = "all",
		.help = "Who may read the vCards of other accounts." },
	{ "vcard", CONF_GROUP, FIELD(struct vcard_conf, vcard, struct vcard_own), .rows = own_items,
		.help = "The server's own vCard." },
	{ "search", CONF_BOOL, FIELD(struct vcard_conf, search, bool), .preset = "false",
		.applies = CONF_AT_MODULE_START,
		.help = "Have a directory of people, made of the vCards (XEP-0055)." },
	{ "host", CONF_STRING, FIELD(struct vcard_conf, host, const char *),
		.preset = "vjud.@HOST@", .applies = CONF_AT_MODULE_START,
		.help = "The directory's domain; @HOST@ stands for the virtual host's name." },
	{ "name", CONF_STRING, FIELD(struct vcard_conf, name, const char *),
		.preset = "vCard User Search", .applies = CONF_AT_MODULE_START,
		.help = "The directory's name as clients show it." },
	{ "access_search", CONF_ACCESS, FIELD(struct vcard_conf, access_search, const char *),
		.preset = "all", .help = "Who may search the directory." },
	{ "listing", CONF_ENUM, FIELD(struct vcard_conf, listing, int), .preset = "wanted",
		.words = listing_words,
		.help = "Who is found in the directory: wanted, those who registered with it or "
			"whose vCard's CLASS is PUBLIC; everybody, all who have a vCard whose "
			"CLASS "
			"is not PRIVATE or CONFIDENTIAL." },
	{ "matches", CONF_INT, FIELD(struct vcard_conf, matches, int64_t), .preset = "30", .min = 1,
		.max = 1000, .unit = "people", .help = "The most that one search finds." },
	{ "allow_return_all", CONF_BOOL, FIELD(struct vcard_conf, allow_return_all, bool),
		.preset = "false",
		.help = "A search without any condition finds people, instead of nobody." },
	{ 0 }
};

static struct metric set_metric = METRIC_COUNTER("vcards_set_total", "vCards stored.");
static struct metric get_metric = METRIC_COUNTER("vcards_read_total", "vCards read.");
static struct metric refused_metric =
	METRIC_COUNTER("vcards_refused_total", "vCards not stored because they were too large.");

/* ---- Accounts */

ON_JOB static int card_get(const struct iq *iq, struct builder *answer)
{
	const struct vcard_conf *conf = iq_conf(iq);
	struct access_subject who = { .jid = iq->from };
	bool own = jid_equal_bare(iq->from, iq->to);
	int found;

	if (!own && !access_allowed(conf->access, iq->host->name, &who))
		return ERR_SERVICE_UNAVAILABLE;
	found = vcard_find(iq->host->name, jid_local(iq->to), answer);
	if (found < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	if (!found && !own)
		return ERR_SERVICE_UNAVAILABLE; /* §3.3: as where there is no account */
	if (!found) { /* §3.1: or an error, which some clients take for the end of it all */
		build_open(answer, "vCard", NS_VCARD);
		build_close(answer);
	}
	metric_add(&get_metric, 1);
	return 0;
}

static size_t wire_bytes(const struct elem *card)
{
	struct buf *wire = NULL;
	size_t n;

	elem_wire(card, "", &wire);
	n = wire->len;
	buf_unref(wire);
	return n;
}

static void tell_change(struct host *h, const struct jid *account, const char *hash)
{
	struct vcard_photo_change change = { .host = h, .account = account, .hash = hash };

	hook_run(h->hooks, &vcard_photo_hook, &change);
}

ON_JOB static int card_set(const struct iq *iq)
{
	const struct vcard_conf *conf = iq_conf(iq);
	char hash[VCARD_HASH_TEXT], was_hash[VCARD_HASH_TEXT];
	struct arena a;
	size_t photo;

	if (!jid_equal_bare(iq->from, iq->to))
		return ERR_FORBIDDEN; /* §3.2 */
	arena_init(&a, NULL, 0);
	photo = vcard_photo(iq->payload, &a, hash);
	arena_fini(&a);
	if ((int64_t)photo > conf->max_photo_bytes ||
		(int64_t)wire_bytes(iq->payload) > conf->max_bytes) {
		metric_add(&refused_metric, 1);
		return ERR_NOT_ACCEPTABLE;
	}
	if (vcard_store(iq->host->name, jid_local(iq->from), iq->payload, hash, was_hash) < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	metric_add(&set_metric, 1);
	if (strcmp(hash, was_hash) != 0)
		tell_change(iq->host, iq->from, hash);
	return 0;
}

static int vcard_iq(const struct iq *iq, struct builder *answer)
{
	job_check();
	if (!elem_is(iq->payload, "vCard", NS_VCARD))
		return ERR_BAD_REQUEST;
	return iq->set ? card_set(iq) : card_get(iq, answer);
}

int vcard_remove(struct host *h, const struct jid *account)
{
	int had = vcard_delete(h->name, jid_local(account));

	if (had > 0)
		tell_change(h, account, "");
	return had;
}

/* ---- The server */

static void build_in(struct builder *b, const char *group, const char *name, const char *text)
{
	if (!text)
		return;
	build_open(b, group, NULL);
	build_text(b, name, text);
	build_close(b);
}

static void build_if(struct builder *b, const char *name, const char *text)
{
	if (text)
		build_text(b, name, text);
}

void vcard_build_own(struct builder *answer, const struct vcard_own *own)
{
	build_open(answer, "vCard", NS_VCARD);
	build_if(answer, "FN", own->fn);
	build_if(answer, "NICKNAME", own->nickname);
	build_in(answer, "ORG", "ORGNAME", own->orgname);
	build_if(answer, "URL", own->url);
	build_in(answer, "EMAIL", "USERID", own->email);
	build_if(answer, "JABBERID", own->jabberid);
	build_if(answer, "DESC", own->desc);
	build_close(answer);
}

/* §3.3: "an XMPP server could itself have a vCard". */
static int server_iq(const struct iq *iq, struct builder *answer)
{
	const struct vcard_conf *conf = iq_conf(iq);

	if (!elem_is(iq->payload, "vCard", NS_VCARD))
		return ERR_BAD_REQUEST;
	if (iq->set)
		return ERR_FORBIDDEN;
	vcard_build_own(answer, &conf->vcard);
	return 0;
}

/* ---- Life */

static enum hook_next vcard_removed(void *subject, void *arg UNUSED)
{
	vcard_erase(subject);
	return HOOK_GO_ON;
}

static int vcard_start(struct module_instance *mi)
{
	const struct vcard_conf *conf = module_conf(mi);
	struct people *people = NULL;
	int result;

	job_check();
	metric_register(&set_metric);
	metric_register(&get_metric);
	metric_register(&refused_metric);
	people_register_metrics();
	if (!db_main()) {
		log_error("vcard", "needs a database", L_STR("host", mi->host->name));
		return -ENODEV;
	}
	result = vcard_migrate();
	if (!result && conf->search)
		result = people_start(mi, &people);
	mi->data = people;
	return result;
}

static void vcard_stop(struct module_instance *mi)
{
	people_stop(mi->data);
}

const struct module module_vcard = {
	.abi = LINNET_MODULE_ABI,
	.name = "vcard",
	.help = "Keeps the vCards of accounts for everybody to read, has one of the server itself, "
		"and can have a directory in which people are found by what their vCards say.",
	.xeps = (const char *const[]){ "XEP-0054 1.3.0", "XEP-0055 1.3", NULL },
	.features = (const char *const[]){ NS_VCARD, NULL },
	.account_features = (const char *const[]){ NS_VCARD, NULL },
	.conf = vcard_items,
	.conf_size = sizeof(struct vcard_conf),
	.iq = (const struct iq_row[]){ { IQ_FOR_BOTH, IQ_SM, NS_VCARD, IQ_QUEUES, vcard_iq,
					       .blocks = true },
		{ IQ_FOR_BOTH, IQ_LOCAL, NS_VCARD, IQ_NO_QUEUE, server_iq }, { 0 } },
	.hooks = (const struct hook_row[]){ { &account_removed_hook, 50, vcard_removed }, { 0 } },
	.start = vcard_start,
	.stop = vcard_stop,
};
LINNET_MODULE(module_vcard);
