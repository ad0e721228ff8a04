/* modules/auth_ldap.c - accounts of an organisation's directory: ejabberd_auth_ldap. A user is the
 * one entry that ldap_user_filter() finds; the password is right when the directory lets us bind
 * with it. Nothing is ever read of a password, so there is PLAIN alone, under TLS. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "modules/ldap.h"
#include "modules/module.h"

#define LIST_MS 60000 /* how long a list of all users serves */

/* All users, sorted; directories cannot tell them in order. */
struct listing {
	_Atomic unsigned refs;
	uint64_t at_ms;
	char **users; /* owned */
	size_t n, room;
};

struct directory {
	struct host *host; /* counted */
	struct ldap_pool *pool;
	pthread_mutex_t lock;
	struct listing *listing; /* counted, under lock; NULL: none yet */
};

/* --- one user -------------------------------------------------------------------------------- */

struct found {
	char *dn; /* owned, of the first */
	unsigned n;
};

static void note_entry(const struct ldap_entry *e, void *arg)
{
	struct found *f = arg;

	if (!f->n++)
		f->dn = xstrdup(ldap_entry_dn(e));
}

static int search(struct directory *d, const char *base, const char *filter, struct found *f)
{
	static const char *const no_attributes[] = { "1.1", NULL }; /* RFC 4511 §4.5.1.8 */

	*f = (struct found){ 0 };
	return ldap_pool_search(d->pool, base, filter, no_attributes, 2, note_entry, f);
}

/* Whether ldap_group_filter finds something. */
static int find_group(struct directory *d, const char *user, const char *dn)
{
	const struct ldap_conf *conf = ldap_pool_conf(d->pool);
	const struct ldap_names names = { user, d->host->name, dn };
	AUTO(free_ptr) char *filter = NULL;
	struct found f;
	int error;

	if (!conf->group_filter)
		return 0;
	filter = ldap_fill(conf->group_filter, &names);
	error = search(d, conf->group_base ? conf->group_base : conf->base, filter, &f);
	free(f.dn);
	if (error)
		return error;
	return f.n ? 0 : AUTH_NO_SUCH_USER;
}

/* The DN, which the caller frees whatever the result. */
static int find_dn(struct directory *d, const char *user, char **dn)
{
	const struct ldap_conf *conf = ldap_pool_conf(d->pool);
	AUTO(free_ptr) char *filter = ldap_user_filter(conf, user, d->host->name);
	struct found f;
	int error = search(d, conf->base, filter, &f);

	*dn = f.dn;
	if (error)
		return error;
	if (f.n > 1)
		log_warning("ldap", "several entries are one user, who cannot log in",
			L_STR("host", d->host->name), L_STR("user", user), L_STR("dn", f.dn));
	return f.n == 1 ? find_group(d, user, f.dn) : AUTH_NO_SUCH_USER;
}

ON_JOB static int ldap_exists(void *arg, struct host *h UNUSED, const char *user)
{
	AUTO(free_ptr) char *dn = NULL;

	return find_dn(arg, user, &dn);
}

/* There are no verifiers. */
ON_JOB static int ldap_find(void *arg, struct host *h, const char *user, struct auth_account *out)
{
	*out = (struct auth_account){ 0 };
	return ldap_exists(arg, h, user);
}

ON_JOB static int ldap_check(
	void *arg, struct host *h UNUSED, const char *user, const char *password)
{
	struct directory *d = arg;
	AUTO(free_ptr) char *dn = NULL;
	int result = find_dn(d, user, &dn);

	if (!result)
		result = ldap_pool_bind(d->pool, dn, password);
	return result == LDAP_POOL_WRONG ? AUTH_WRONG : result;
}

ON_JOB static int ldap_set_password(
	void *arg, struct host *h UNUSED, const char *user, const char *password)
{
	struct directory *d = arg;
	AUTO(free_ptr) char *dn = NULL;
	int result = find_dn(d, user, &dn);

	if (!result)
		result = ldap_pool_set_password(d->pool, dn, password);
	return result == LDAP_POOL_WRONG ? AUTH_READ_ONLY : result;
}

/* --- all of them ----------------------------------------------------------------------------- */

static void listing_drop(struct listing *l)
{
	if (!l || atomic_fetch_sub_explicit(&l->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (size_t i = 0; i < l->n; i++)
		free(l->users[i]);
	free(l->users);
	free(l);
}

struct collecting {
	struct listing *into;
	const struct ldap_uid *uid;
	const char *domain;
};

static void collect_value(const char *value, void *arg)
{
	struct collecting *c = arg;
	struct listing *l = c->into;
	AUTO(free_ptr) char *user = ldap_user_of(c->uid, value, c->domain);
	struct jid *account;

	if (!user || jid_make(user, c->domain, NULL, NULL, &account))
		return;
	if (l->n == l->room) {
		l->room = l->room ? l->room * 2 : 64;
		l->users = xrealloc(l->users, l->room * sizeof(*l->users));
	}
	l->users[l->n++] = xstrndup(account->text, account->local_len);
	jid_free(account);
}

struct collecting_all {
	struct listing *into;
	struct directory *d;
};

static void collect_entry(const struct ldap_entry *e, void *arg)
{
	const struct collecting_all *all = arg;
	const struct ldap_conf *conf = ldap_pool_conf(all->d->pool);
	const struct ldap_uid *uids = conf->uids.at;

	for (size_t i = 0; i < conf->uids.n; i++) {
		struct collecting c = { all->into, &uids[i], all->d->host->name };

		ldap_entry_values(e, uids[i].name, collect_value, &c);
	}
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_once(struct listing *l)
{
	size_t n = 0;

	if (l->n)
		qsort(l->users, l->n, sizeof(*l->users), by_name);
	for (size_t i = 0; i < l->n; i++) {
		if (n && !strcmp(l->users[n - 1], l->users[i]))
			free(l->users[i]);
		else
			l->users[n++] = l->users[i];
	}
	l->n = n;
}

/* Those that ldap_group_filter would turn away are among them: to ask about each is too much. */
ON_JOB static int read_listing(struct directory *d, struct listing **out)
{
	const struct ldap_conf *conf = ldap_pool_conf(d->pool);
	const struct ldap_uid *uids = conf->uids.at;
	AUTO(free_ptr) char *filter = ldap_user_filter(conf, NULL, d->host->name);
	AUTO(free_ptr) const char **names = xcalloc(conf->uids.n + 1, sizeof(*names));
	struct listing *l = xcalloc(1, sizeof(*l));
	struct collecting_all all = { l, d };
	int error;

	atomic_init(&l->refs, 1);
	for (size_t i = 0; i < conf->uids.n; i++)
		names[i] = uids[i].name;
	error = ldap_pool_search(d->pool, conf->base, filter, names, 0, collect_entry, &all);
	if (error) {
		listing_drop(l);
		return error;
	}
	sort_once(l);
	l->at_ms = clock_ms();
	*out = l;
	return 0;
}

static struct listing *listing_held(struct directory *d)
{
	struct listing *l;

	pthread_mutex_lock(&d->lock);
	l = d->listing && clock_ms() - d->listing->at_ms < LIST_MS ? d->listing : NULL;
	if (l)
		atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
	pthread_mutex_unlock(&d->lock);
	return l;
}

/* Counted for the caller. */
ON_JOB static int listing_hold(struct directory *d, struct listing **out)
{
	struct listing *was;
	int error;

	*out = listing_held(d);
	if (*out)
		return 0;
	error = read_listing(d, out);
	if (error)
		return error;
	atomic_fetch_add_explicit(&(*out)->refs, 1, memory_order_relaxed);
	pthread_mutex_lock(&d->lock);
	was = d->listing;
	d->listing = *out;
	pthread_mutex_unlock(&d->lock);
	listing_drop(was);
	return 0;
}

ON_JOB static int ldap_list(void *arg, struct host *h UNUSED, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg)
{
	struct listing *l;
	int error = listing_hold(arg, &l);
	size_t from = 0, to;

	if (error)
		return error;
	for (to = l->n; from < to;) {
		size_t middle = (from + to) / 2;

		if (strcmp(l->users[middle], after) <= 0)
			from = middle + 1;
		else
			to = middle;
	}
	for (; from < l->n && max; from++, max--)
		fn(l->users[from], fn_arg);
	listing_drop(l);
	return 0;
}

ON_JOB static int ldap_count(void *arg, struct host *h UNUSED, uint64_t *out)
{
	struct listing *l;
	int error = listing_hold(arg, &l);

	if (error)
		return error;
	*out = l->n;
	listing_drop(l);
	return 0;
}

/* --- its life -------------------------------------------------------------------------------- */

static const struct auth_backend backend = {
	.name = "ldap",
	.method = AUTH_BY_LDAP,
	.find = ldap_find,
	.exists = ldap_exists,
	.check = ldap_check,
	.set_password = ldap_set_password,
	.list = ldap_list,
	.count = ldap_count,
};

static void directory_free(void *arg)
{
	struct directory *d = arg;

	ldap_pool_free(d->pool);
	listing_drop(d->listing);
	pthread_mutex_destroy(&d->lock);
	host_unref(d->host);
	free(d);
}

static struct directory *directory_add(struct module_instance *mi)
{
	const struct ldap_conf *conf = module_conf(mi);
	const struct auth_source_conf source = {
		.threads = (unsigned)conf->pool_size,
		/* A search, perhaps one for groups, and a bind; each on a new connection. */
		.timeout_ms = (uint64_t)conf->timeout_ms * 3,
		.sasl = SASL_PLAIN,
		.free = directory_free,
	};
	struct directory *d = xcalloc(1, sizeof(*d));

	d->host = host_ref(mi->host);
	d->pool = ldap_pool_new(conf);
	pthread_mutex_init(&d->lock, NULL);
	auth_source_add(mi->host, &backend, d, &source);
	return d;
}

static int auth_ldap_start(struct module_instance *mi)
{
	mi->data = directory_add(mi);
	return 0;
}

/* The new one first, so that nobody finds none. */
static void auth_ldap_reload(struct module_instance *mi, const void *old UNUSED)
{
	struct directory *was = mi->data;

	mi->data = directory_add(mi);
	auth_source_remove(mi->host, &backend, was);
}

static void auth_ldap_stop(struct module_instance *mi)
{
	auth_source_remove(mi->host, &backend, mi->data);
}

static const char *check(const void *conf, struct arena *a)
{
	return ldap_conf_check(conf, a);
}

const struct module module_auth_ldap = {
	.abi = LINNET_MODULE_ABI,
	.name = "auth_ldap",
	.help = "Accounts of a directory (LDAP): for hosts whose auth_method has `ldap`.",
	.conf = ldap_items,
	.conf_size = sizeof(struct ldap_conf),
	.start = auth_ldap_start,
	.reload = auth_ldap_reload,
	.stop = auth_ldap_stop,
	.check = check,
};
LINNET_MODULE(module_auth_ldap);
