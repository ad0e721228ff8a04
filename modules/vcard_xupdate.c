/* modules/vcard_xupdate.c - the hash of an account's picture in the presence of its clients:
 * XEP-0153 (vCard-Based Avatars), put there by the server as XEP-0398 §4 and ejabberd's module of
 * this name have it, so that no client has to fetch its own vCard first.
 * What it needs of an account is a part of the account's snapshot; when the picture changes, each
 * session's last presence goes out anew. */
#include <errno.h>
#include <stdlib.h>
#include <strings.h>

#include "modules/module.h"
#include "modules/vcard.h"
#include "modules/vcard_store.h"
#include "router/account.h"
#include "router/deliver.h"
#include "router/directory.h"
#include "router/session.h"

static struct metric stamped_metric = METRIC_COUNTER(
	"avatar_presences_total", "Presences into which the server put the hash of a picture.");
static struct metric changed_metric = METRIC_COUNTER("avatar_changes_total",
	"Sessions whose presence went out anew because of another picture.");

/* ---- What is known of an account */

/* An account without a vCard has no such part, which most have that only chat. */
struct photo_part {
	struct account_part part;
	char hash[VCARD_HASH_TEXT]; /* "": no picture */
};

static void photo_free(struct account_part *p)
{
	free(container_of(p, struct photo_part, part));
}

static int photo_load(
	void *arg UNUSED, struct host *h, const struct jid *bare, struct account_part **out)
{
	char hash[VCARD_HASH_TEXT];
	struct photo_part *p;
	int found;

	job_check();
	found = vcard_find_hash(h->name, jid_local(bare), hash);
	if (found <= 0)
		return found;
	p = xcalloc(1, sizeof(*p));
	p->part.refs = 1;
	p->part.free = photo_free;
	strcpy(p->hash, hash);
	*out = &p->part;
	return 0;
}

static struct account_kind photo_kind = { .name = "avatar", .load = photo_load };

/* ---- Presence */

static struct elem *find_update(struct stanza *s)
{
	return (struct elem *)elem_child(s->root, "x", NS_VCARD_UPDATE);
}

/* Of a stanza that is not sealed. */
static void remove_child(struct elem *parent, struct elem *child)
{
	struct node *before = NULL, *n = parent->first;

	for (; n != &child->node; n = n->next)
		before = n;
	if (before)
		before->next = n->next;
	else
		parent->first = n->next;
	if (parent->last == n)
		parent->last = before;
}

/* Children other than those that came. */
static void forget_raw(struct stanza *s)
{
	s->raw = NULL;
	s->raw_len = 0;
}

/* What the server says is a text, even an empty one, so that shows_none() tells it from what a
 * client says. */
static void add_update(struct stanza *s, const char *hash)
{
	struct builder b = { .stanza = s, .at = s->root };
	struct text *text = arena_zalloc(&s->arena, sizeof(*text));

	build_open(&b, "x", NS_VCARD_UPDATE);
	build_open(&b, "photo", NULL);
	text->node.kind = NODE_TEXT;
	text->len = (uint32_t)strlen(hash);
	text->data = arena_strdup(&s->arena, hash);
	b.at->first = b.at->last = &text->node;
	build_close(&b);
	build_close(&b);
	forget_raw(s);
}

/* The client says that it shows no picture; XEP-0398 §4: that is left alone. */
static bool shows_none(const struct elem *update)
{
	const struct elem *photo = update ? elem_child(update, "photo", NS_VCARD_UPDATE) : NULL;

	return photo && !photo->first;
}

static bool says_hash(const struct elem *update, const char *hash)
{
	char first[256];
	struct arena a;
	const char *said;
	bool same;

	if (!update)
		return false;
	arena_init(&a, first, sizeof(first));
	said = elem_child_text(update, "photo", NS_VCARD_UPDATE, &a);
	same = said && strcasecmp(said, hash) == 0; /* XEP-0153 §2.1: either case */
	arena_fini(&a);
	return same;
}

/* An available presence, before it is sealed. hash: NULL for no vCard. */
static void stamp(struct stanza *s, const char *hash)
{
	struct elem *update = find_update(s);

	if (shows_none(update) || (!update && !hash))
		return;
	if (hash && *hash && says_hash(update, hash))
		return;
	while (update) {
		remove_child(s->root, update);
		update = find_update(s);
	}
	forget_raw(s);
	if (hash)
		add_update(s, hash);
	metric_add(&stamped_metric, 1);
}

/* NULL: no vCard. */
static const char *hash_of(const struct account *a)
{
	const struct photo_part *photo = account_part(a, &photo_kind);

	return photo ? photo->hash : NULL;
}

static enum hook_next xupdate_sending(void *subject, void *arg UNUSED)
{
	const struct session_packet *p = subject;
	const struct account *a;

	if (p->stanza->kind != STANZA_PRESENCE || p->stanza->type != PRES_AVAILABLE)
		return HOOK_GO_ON;
	a = account_of(p->session);
	if (a)
		stamp(p->stanza, hash_of(a));
	return HOOK_GO_ON;
}

/* ---- Another picture */

/* The last broadcast presence without any hash, not sealed. */
static struct stanza *copy_presence(const struct session *ss)
{
	const struct stanza *last = ss->presence;
	struct builder b;

	build_begin(&b, "presence", NS_CLIENT);
	for (const struct attr *a = last->root->attrs; a; a = a->next)
		if (a->ns || (strcmp(a->name, "to") != 0 && strcmp(a->name, "from") != 0))
			build_attr_ns(&b, a->name, a->ns, a->value);
	elem_each_child (last->root, child)
		if (!elem_is(child, "x", NS_VCARD_UPDATE))
			build_copy(&b, child);
	stanza_read_head(b.stanza);
	stanza_set_from(b.stanza, ss->jid);
	return b.stanza;
}

ON_SHARD static void show_picture(struct session *ss)
{
	const struct account *a = account_of(ss);
	const char *hash = hash_of(a);
	struct stanza *s;

	if (!a || !ss->presence || shows_none(find_update(ss->presence)))
		return;
	if (says_hash(find_update(ss->presence), hash ? hash : ""))
		return;
	s = copy_presence(ss);
	/* Without a vCard, too: the picture that was shown is gone. */
	add_update(s, hash ? hash : "");
	metric_add(&changed_metric, 1);
	session_presence_out(ss, s);
}

static void letter_open(struct actor *a, struct letter *l)
{
	const struct recipient *r = a ? a->class->recipient : NULL;
	struct session *ss = r && r->session ? r->session(a) : NULL;

	shard_check(NULL);
	if (ss)
		show_picture(ss);
	free(l);
}

struct picture_change {
	struct job job;
	struct host *host; /* counted */
	struct jid *account; /* owned, bare */
};

static void change_work(struct job *j)
{
	struct picture_change *c = container_of(j, struct picture_change, job);
	const struct sessions *all;

	job_check();
	if (account_changed(c->host, c->account, &photo_kind))
		return;
	all = directory_find(c->account);
	for (unsigned i = 0; all && i < all->n; i++) {
		struct letter *l = xcalloc(1, sizeof(*l));

		l->to = all->at[i].id;
		l->open = letter_open;
		letter_post(l);
	}
}

static void change_done(struct job *j)
{
	struct picture_change *c = container_of(j, struct picture_change, job);

	host_unref(c->host);
	jid_free(c->account);
	free(c);
}

/* In the account's lane, so that no session begins with what was before. */
static enum hook_next xupdate_changed(void *subject, void *arg UNUSED)
{
	const struct vcard_photo_change *change = subject;
	struct picture_change *c = xcalloc(1, sizeof(*c));

	c->job.work = change_work;
	c->job.done = change_done;
	c->host = host_ref(change->host);
	c->account = jid_bare(change->account, NULL);
	if (account_work(c->account, &c->job) == 0)
		return HOOK_GO_ON;
	log_warning("vcard_xupdate", "too much waits: a picture is shown late",
		L_STR("host", c->host->name), L_STR("name", jid_local(c->account)));
	change_done(&c->job);
	return HOOK_GO_ON;
}

/* ---- Life */

static int xupdate_start(struct module_instance *mi)
{
	int result;

	job_check();
	metric_register(&stamped_metric);
	metric_register(&changed_metric);
	if (!db_main()) {
		log_error("vcard_xupdate", "needs a database", L_STR("host", mi->host->name));
		return -ENODEV;
	}
	result = vcard_migrate();
	if (!result)
		account_kind_add(mi->host, &photo_kind, mi);
	return result;
}

static void xupdate_stop(struct module_instance *mi)
{
	account_kind_remove(mi->host, &photo_kind, mi);
}

const struct module module_vcard_xupdate = {
	.abi = LINNET_MODULE_ABI,
	.name = "vcard_xupdate",
	.help = "Puts the hash of the picture in an account's vCard (mod_vcard) into the presence "
		"of its clients, so that contacts see when it changes.",
	.xeps = (const char *const[]){ "XEP-0153 1.1.1", NULL },
	.hooks = (const struct hook_row[]){ { &user_send_hook, 50, xupdate_sending },
		{ &vcard_photo_hook, 50, xupdate_changed }, { 0 } },
	.start = xupdate_start,
	.stop = xupdate_stop,
};
LINNET_MODULE(module_vcard_xupdate);
