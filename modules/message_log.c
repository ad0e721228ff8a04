/* modules/message_log.c - a message's way through the log: what it needs before it is sealed, where
 * it is spooled before it is delivered, and what becomes of that. */
#include "modules/message_log.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/log.h"
#include "modules/message_inside.h"
#include "router/acks.h"

#define REMOVE_AT_ONCE 200 /* messages of one write */

HOOK(archive_message);
HOOK(keep_message);

/* ---- Accounts */

struct message_part {
	struct account_part part;
	int64_t no;
};

static void part_free(struct account_part *p)
{
	free(container_of(p, struct message_part, part));
}

static int part_load(
	void *arg UNUSED, struct host *h, const struct jid *bare, struct account_part **out)
{
	struct message_part *p;
	int64_t no;
	int error;

	job_check();
	error = message_db_account(db_main(), h->name, jid_local(bare), &no);
	if (error)
		return error;
	p = xcalloc(1, sizeof(*p));
	atomic_init(&p->part.refs, 1);
	p->part.free = part_free;
	p->no = no;
	*out = &p->part;
	return 0;
}

static struct account_kind part_kind = { .name = "messages", .load = part_load };

int64_t message_account(const struct account *a)
{
	const struct message_part *p = account_part(a, &part_kind);

	return p ? p->no : 0;
}

/* ---- The spool */

struct spool_record *message_spool_row(
	const struct message_row *row, const struct stanza *s, uint32_t state)
{
	struct spool_record *r;
	struct message_spooled *m;

	shard_check(NULL);
	if (row->body_len > SPOOL_RECORD_MAX - sizeof(*m))
		return NULL;
	r = spool_alloc(SPOOL_MESSAGE, row->id, sizeof(*m) + row->body_len);
	if (!r)
		return NULL;
	m = (struct message_spooled *)r->bytes;
	atomic_init(&m->state, state);
	m->body_len = row->body_len;
	m->id = row->id;
	m->ack_session = s->ack_session;
	m->ack_number = s->ack_number;
	m->ack_check = s->ack_check;
	memcpy(m->entries, row->entries, sizeof(m->entries));
	memcpy(m->body, row->body, row->body_len);
	spool_publish(r);
	return r;
}

/* ---- Before it is sealed */

/* XEP-0359 §3: an id in the name of one of our accounts is ours to give, and one in the name of a
 * service here is that service's. */
static bool is_ours(const struct stanza *s, const struct jid *by)
{
	const char *domain = jid_domain(by);

	return route_host(domain) || (route_has(domain) && strcmp(domain, jid_domain(s->from)));
}

/* XEP-0203 §5: nor has a server of ours delayed what has just come. */
static bool is_made_up(struct stanza *s, const struct elem *e)
{
	const bool id = e->name == NAME_STANZA_ID && e->ns == NS_SID;
	const char *who = NULL;
	struct jid *j;

	if (id)
		who = elem_attr(e, "by");
	else if (e->ns == NS_DELAY)
		who = elem_attr(e, "from");
	if (!who || jid_parse(who, strlen(who), &s->arena, &j) != JID_OK)
		return false;
	return id ? is_ours(s, j) : jid_is_domain(j) && route_host(jid_domain(j));
}

static void strip_claims(struct stanza *s)
{
	const struct elem *next;

	for (const struct elem *e = elem_first(s->root); e; e = next) {
		next = elem_next(e);
		if (is_made_up(s, e))
			stanza_drop_child(s, e);
	}
}

static void add_id(struct stanza *s, const struct jid *account)
{
	struct builder b;

	build_more(&b, s);
	build_open(&b, "stanza-id", NS_SID);
	build_attr_jid(&b, "by", account);
	build_attr_int(&b, "id", (int64_t)s->log_id);
	build_close(&b);
}

static bool archives(struct host *h, const struct account *a, const struct stanza *s,
	const struct jid *peer, bool outgoing)
{
	struct message_question q = {
		.host = h, .account = a, .stanza = s, .peer = peer, .outgoing = outgoing
	};

	return message_account(a) && message_worth(s) & MESSAGE_WORTH_ARCHIVE &&
		hook_run(h->hooks, &archive_message_hook, &q) == HOOK_STOP;
}

/* For an account that is not there nobody knows yet; what it would not have is not handed out with
 * an id. */
static bool may_archive(struct host *theirs, const struct stanza *s, const struct jid *to)
{
	const struct account *a;

	if (hook_empty(theirs->hooks, &archive_message_hook))
		return false;
	a = account_online(to);
	return a ? archives(theirs, a, s, s->from, false)
		 : message_worth(s) & MESSAGE_WORTH_ARCHIVE;
}

/* From a client. It is for its own account when it does not say so. */
ON_SHARD static void prepare(struct session *ss, struct stanza *s)
{
	const struct jid *to = s->to ? s->to : jid_bare(ss->jid, &s->arena);
	struct host *theirs = jid_local(to)[0] ? route_host(jid_domain(to)) : NULL;

	s->log_id = message_new_id();
	if (!jid_equal_bare(to, ss->jid) && archives(ss->host, account_of(ss), s, to, true))
		s->log_flags |= MESSAGE_LOG_SENDER;
	if (theirs && may_archive(theirs, s, to))
		add_id(s, jid_bare(to, &s->arena));
}

static enum hook_next sending(void *subject, void *arg UNUSED)
{
	const struct session_packet *p = subject;

	shard_check(NULL);
	if (p->stanza->kind != STANZA_MESSAGE)
		return HOOK_GO_ON;
	strip_claims(p->stanza);
	if (message_worth(p->stanza))
		prepare(p->session, p->stanza);
	return HOOK_GO_ON;
}

/* From another server: there is nobody here whose archive it is for but its receiver's. */
static enum hook_next coming_in(void *subject, void *arg UNUSED)
{
	struct stanza *s = subject;
	struct host *theirs;

	shard_check(NULL);
	if (s->kind != STANZA_MESSAGE)
		return HOOK_GO_ON;
	strip_claims(s);
	if (!message_worth(s))
		return HOOK_GO_ON;
	s->log_id = message_new_id();
	theirs = s->to->local_len ? route_host(jid_domain(s->to)) : NULL;
	if (theirs && may_archive(theirs, s, s->to))
		add_id(s, jid_bare(s->to, &s->arena));
	return HOOK_GO_ON;
}

/* ---- On its way */

/* A message that is delivered while it is being written. */
struct live {
	struct message_keeping keeping;
	struct spool_record *record;
	struct buf *wire;
};

static void live_written(struct message_keeping *k, int error)
{
	struct live *l = container_of(k, struct live, keeping);

	if (!error)
		message_spool_mark(l->record, MESSAGE_SPOOL_WRITTEN);
	buf_unref(l->wire);
	free(l);
}

static void fill_entry(struct message_entry *e, int64_t account, const struct jid *peer,
	const struct stanza *s, uint32_t flags)
{
	e->account = account;
	e->peer = message_peer(peer);
	e->resource = message_resource(peer);
	e->flags = flags | (elem_child(s->root, "body", NS_CLIENT) ? 0 : MESSAGE_NO_BODY);
}

static const struct account *sender_account(const struct stanza *s)
{
	return s->log_flags & MESSAGE_LOG_SENDER ? account_online(s->from) : NULL;
}

void message_fill_sender(struct message_row *row, const struct stanza *s)
{
	int64_t no = message_account(sender_account(s));

	if (no)
		fill_entry(&row->entries[0], no, s->to, s, MESSAGE_OUTGOING);
}

void message_fill_receiver(
	struct message_row *row, int64_t account, const struct stanza *s, uint32_t flags)
{
	fill_entry(&row->entries[1], account, s->from, s, flags);
}

/* An entry for nothing but that it would wait: a record in the spool has it for the case that the
 * process is killed before anybody has the message. It is not written otherwise. */
static bool only_waits(const struct message_entry *e)
{
	return e->flags & MESSAGE_HIDDEN && !(e->flags & MESSAGE_WAITING);
}

/* Spools what is to be written of s, and has it written. taken: MESSAGE_SPOOL_TAKEN when nobody is
 * going to receive it here. False: there is no room, and nothing has happened. */
ON_SHARD static bool put(struct stanza *s, struct message_row *row, uint32_t taken)
{
	struct live *l = xcalloc(1, sizeof(*l));

	l->wire = stanza_wire(s);
	row->id = s->log_id;
	row->body = l->wire->data;
	row->body_len = l->wire->len;
	l->record = message_writing_fails() ? NULL : message_spool_row(row, s, taken);
	if (!l->record) {
		buf_unref(l->wire);
		free(l);
		return false;
	}
	ack_keep(ack_here(), l->record);
	l->keeping.row = *row;
	if (only_waits(&row->entries[1]))
		l->keeping.row.entries[1].account = 0;
	l->keeping.done = live_written;
	s->log_flags |= MESSAGE_LOG_PUT;
	if (!taken)
		atomic_store_explicit(&s->log_record, l->record, memory_order_release);
	message_write(&l->keeping);
	return true;
}

ON_SHARD static enum hook_next refuse(struct stanza *s)
{
	route_error(s, ERR_RESOURCE_CONSTRAINT, "Messages cannot be stored just now.");
	return HOOK_STOP;
}

/* It goes to somebody, or to nobody that keeps it: its sender's archive aside, that is its end. */
ON_SHARD static enum hook_next passes(struct stanza *s)
{
	struct message_row row = { 0 };

	if (s->log_flags & MESSAGE_LOG_PUT) { /* it was underway to somebody before */
		message_taken(s);
		return HOOK_GO_ON;
	}
	message_fill_sender(&row, s);
	if (row.entries[0].account && !put(s, &row, MESSAGE_SPOOL_TAKEN))
		return refuse(s);
	return HOOK_GO_ON;
}

/* No archive has it, but its sender will be told that it is here, and it is on its way still.
 * False: there is no room. */
ON_SHARD static bool hold(struct stanza *s, struct message_row *row)
{
	struct spool_record *r;
	struct buf *wire;

	if (atomic_load_explicit(&s->log_record, memory_order_relaxed))
		return true; /* it was underway to somebody before */
	row->id = s->log_id;
	wire = stanza_wire(s);
	row->body = wire->data;
	row->body_len = wire->len;
	r = message_spool_row(row, s, MESSAGE_SPOOL_WRITTEN);
	buf_unref(wire);
	if (!r)
		return false;
	ack_keep(ack_here(), r);
	atomic_store_explicit(&s->log_record, r, memory_order_release);
	return true;
}

/* NULL: it is being loaded. */
static const struct account *account_of_all(const struct sessions *all)
{
	const struct account *a = NULL;

	for (unsigned i = 0; i < all->n && !a; i++)
		a = account_of(all->at[i].session);
	return a;
}

ON_SHARD static enum hook_next goes_to_session(const struct message_passing *p)
{
	const struct account *a = account_of_all(p->all);
	struct stanza *s = p->stanza;
	struct message_row row = { 0 };
	bool archived;

	if (s->log_flags & MESSAGE_LOG_PUT)
		return HOOK_GO_ON;
	message_fill_sender(&row, s);
	archived = archives(p->host, a, s, s->from, false);
	if (archived)
		message_fill_receiver(&row, message_account(a), s, 0);
	else if (ack_here().session.v && message_account(a) &&
		message_worth(s) & MESSAGE_WORTH_KEEPING)
		message_fill_receiver(&row, message_account(a), s, MESSAGE_HIDDEN);
	if (row.entries[0].account || archived)
		return put(s, &row, 0) ? HOOK_GO_ON : refuse(s);
	return !row.entries[1].account || hold(s, &row) ? HOOK_GO_ON : refuse(s);
}

/* Its receiver's session is known before what the account wants is. */
ON_SHARD static bool comes_early(const struct message_passing *p)
{
	return !(p->stanza->log_flags & MESSAGE_LOG_LATE) &&
		(message_is_loading(p->stanza->to) || !account_of_all(p->all));
}

static enum hook_next passing(void *subject, void *arg UNUSED)
{
	const struct message_passing *p = subject;
	struct stanza *s = p->stanza;
	bool kept = p->host && s->to->local_len &&
		!(hook_empty(p->host->hooks, &keep_message_hook) &&
			hook_empty(p->host->hooks, &archive_message_hook));

	shard_check(NULL);
	if (!s->log_id && message_worth(s))
		s->log_id = message_new_id(); /* ours, or another server's */
	if (!s->log_id)
		return kept && p->verdict == ROUTE_STORE ? HOOK_STOP : HOOK_GO_ON;
	if (kept &&
		(p->verdict == ROUTE_STORE ||
			(p->verdict == ROUTE_DELIVER && message_is_behind(s->to)))) {
		message_for_absent(p->host, s);
		return HOOK_STOP;
	}
	if (kept && p->verdict == ROUTE_DELIVER && comes_early(p)) {
		message_when_loaded(s);
		return HOOK_STOP;
	}
	return p->verdict == ROUTE_DELIVER && p->host ? goes_to_session(p) : passes(s);
}

/* ---- Received */

struct receipt {
	struct message_keeping keeping;
	struct spool_record *record; /* owned */
};

static void receipt_written(struct message_keeping *k, int error UNUSED)
{
	struct receipt *receipt = container_of(k, struct receipt, keeping);

	spool_free(receipt->record);
	free(receipt);
}

static enum hook_next received(void *subject, void *arg UNUSED)
{
	struct message_received *r = subject;
	int64_t account = message_account(account_of(r->session));
	struct receipt *receipt;

	shard_check(NULL);
	if (!account)
		return HOOK_GO_ON;
	receipt = xcalloc(1, sizeof(*receipt));
	receipt->keeping.row.id = r->stanza->log_id;
	receipt->keeping.row.entries[1].account = account;
	receipt->keeping.done = receipt_written;
	receipt->record = r->record;
	r->record = NULL;
	message_write(&receipt->keeping);
	return HOOK_GO_ON;
}

/* ---- After a process that was killed */

struct recovery {
	struct db_tx *tx;
	unsigned n;
	int error;
};

static void recover_one(struct spool_record *r, void *arg)
{
	struct recovery *recovery = arg;
	const struct message_spooled *m = (const struct message_spooled *)r->bytes;
	struct message_row row;
	uint32_t state;
	bool lost;

	if (r->len < sizeof(*m) || m->body_len > r->len - sizeof(*m)) {
		log_error("messages", "one in the spool is damaged");
		return;
	}
	state = atomic_load(&m->state);
	row = (struct message_row){ .id = m->id, .body = m->body, .body_len = m->body_len };
	memcpy(row.entries, m->entries, sizeof(row.entries));
	acks_recover_handled(m->ack_session, m->ack_number, m->ack_check);
	lost = !(state & MESSAGE_SPOOL_TAKEN) && row.entries[1].account &&
		!acks_recovered_message(m->id);
	if (state & MESSAGE_SPOOL_WRITTEN && !lost)
		return;
	if (lost)
		row.entries[1].flags |= MESSAGE_WAITING;
	else if (only_waits(&row.entries[1]))
		row.entries[1].account = 0;
	if (recovery->error >= 0)
		recovery->error = message_db_put(recovery->tx, &row);
	recovery->n++;
}

static int recover(struct db_tx *tx, void *arg)
{
	struct recovery *recovery = arg;

	*recovery = (struct recovery){ .tx = tx };
	recovery->error = message_db_let_go_all(tx);
	spool_each(SPOOL_MESSAGE, recover_one, recovery);
	return recovery->error;
}

/* It is in the database as it should; what it tells of its sender is for the sessions still. */
static void forget_one(struct spool_record *r, void *arg UNUSED)
{
	struct message_spooled *m = (struct message_spooled *)r->bytes;

	if (r->len >= sizeof(*m))
		atomic_store(&m->state, MESSAGE_SPOOL_WRITTEN | MESSAGE_SPOOL_TAKEN);
	acks_recover_free(r);
}

ON_JOB static int begin_log(void)
{
	struct recovery recovery;
	uint64_t last;
	int error = message_db_open(db_main());

	if (!error)
		error = db_write(db_main(), recover, &recovery);
	if (error >= 0)
		error = message_db_last_id(db_main(), &last);
	if (error < 0)
		return error;
	spool_each(SPOOL_MESSAGE, forget_one, NULL);
	if (recovery.n)
		log_warning("messages", "were not stored yet when the server ended, and are now",
			L_INT("messages", recovery.n));
	message_id_floor(last);
	message_scribes_start(db_main());
	hook_add(message_hooks(), &message_hook, 50, passing, NULL);
	return 0;
}

static void end_log(void)
{
	hook_remove(message_hooks(), &message_hook, 50, passing, NULL);
	rcu_wait();
	message_scribes_stop();
}

/* ---- Accounts that are removed */

struct removal {
	struct job job;
	struct jid *account; /* owned */
};

static int remove_some(struct db_tx *tx, void *arg)
{
	const struct removal *r = arg;

	return message_db_remove_account(
		tx, jid_domain(r->account), jid_local(r->account), REMOVE_AT_ONCE);
}

/* Step by step, so that nobody else waits long for the writer. */
static void remove_all(struct job *j)
{
	struct removal *r = container_of(j, struct removal, job);
	int left;

	job_check();
	do
		left = db_write(db_main(), remove_some, r);
	while (left > 0);
	if (left)
		log_error("messages", "of a removed account are left",
			L_STR("host", jid_domain(r->account)),
			L_STR("name", jid_local(r->account)));
}

static void removed(struct job *j)
{
	struct removal *r = container_of(j, struct removal, job);

	jid_free(r->account);
	free(r);
}

static enum hook_next account_removed(void *subject, void *arg UNUSED)
{
	struct removal *r = xcalloc(1, sizeof(*r));

	r->job.work = remove_all;
	r->job.done = removed;
	r->account = jid_dup(subject, NULL);
	if (account_work(r->account, &r->job)) {
		log_error("messages", "of a removed account are left: too much waits",
			L_STR("host", jid_domain(r->account)),
			L_STR("name", jid_local(r->account)));
		removed(&r->job);
	}
	return HOOK_GO_ON;
}

/* ---- Hosts that use it */

struct user {
	struct user *next;
	struct host *host;
	unsigned n;
};
static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER;
static struct user *users;

static struct user **user_of(const struct host *h)
{
	struct user **at = &users;

	while (*at && (*at)->host != h)
		at = &(*at)->next;
	return at;
}

int message_log_use(struct host *h)
{
	struct user **at;
	int error = 0;

	job_check();
	if (!db_main())
		return -ENODEV;
	pthread_mutex_lock(&users_lock);
	if (!users)
		error = begin_log();
	at = user_of(h);
	if (!error && !*at) {
		*at = xcalloc(1, sizeof(**at));
		(*at)->host = h;
		account_kind_add(h, &part_kind, NULL);
		hook_add(h->hooks, &user_send_hook, 90, sending, NULL);
		hook_add(h->hooks, &foreign_stanza_hook, 90, coming_in, NULL);
		hook_add(h->hooks, &message_received_hook, 50, received, NULL);
		hook_add(h->hooks, &account_removed_hook, 50, account_removed, NULL);
	}
	if (!error)
		(*at)->n++;
	pthread_mutex_unlock(&users_lock);
	return error;
}

void message_log_unuse(struct host *h)
{
	struct user **at, *u;

	pthread_mutex_lock(&users_lock);
	at = user_of(h);
	u = *at;
	if (u && --u->n == 0) {
		hook_remove(h->hooks, &account_removed_hook, 50, account_removed, NULL);
		hook_remove(h->hooks, &message_received_hook, 50, received, NULL);
		hook_remove(h->hooks, &foreign_stanza_hook, 90, coming_in, NULL);
		hook_remove(h->hooks, &user_send_hook, 90, sending, NULL);
		account_kind_remove(h, &part_kind, NULL);
		*at = u->next;
		free(u);
		if (!users)
			end_log();
	}
	pthread_mutex_unlock(&users_lock);
}
