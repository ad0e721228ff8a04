/* modules/caps_cache.c - sets of a few slots each in memory, which the least used leaves; and the
 * table caps_features. */
#include "modules/caps_cache.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/db.h"
#include "core/mem.h"
#include "core/metric.h"
#include "xml/jid.h"
#include "xml/ns.h"

#define SETS 512
#define WAYS 8 /* so 4,096 hashes at most */
#define MEMORY_BYTES_MAX (16 << 20)
#define ROWS_MAX 20000 /* in the database */
#define DAY_S (24 * 3600)

static const struct db_migration migrations[] = {
	{ "caps", 1,
		"CREATE TABLE caps_features (hash KEYTEXT NOT NULL PRIMARY KEY, seen BIGINT NOT "
		"NULL,"
		" features TEXT NOT NULL);"
		"CREATE INDEX caps_features_seen ON caps_features (seen);" },
	{ 0 }
};
static struct db_stmt find_stmt =
	DB_STMT("caps_find", "SELECT features, seen FROM caps_features WHERE hash = ?");
static struct db_stmt set_stmt = DB_UPSERT("caps_set", "caps_features", "hash", "seen, features");
static struct db_stmt seen_stmt =
	DB_STMT("caps_seen", "UPDATE caps_features SET seen = ? WHERE hash = ?");
static struct db_stmt count_stmt = DB_STMT("caps_count", "SELECT COUNT(*) FROM caps_features");
static struct db_stmt oldest_stmt =
	DB_STMT("caps_oldest", "SELECT hash FROM caps_features ORDER BY seen LIMIT 1");
static struct db_stmt delete_stmt =
	DB_STMT("caps_delete", "DELETE FROM caps_features WHERE hash = ?");
static struct db_stmt clear_stmt = DB_STMT("caps_clear", "DELETE FROM caps_features");

/* ---- Features */

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Room for so many texts of so many bytes; text: where they go. */
static struct caps_features *features_new(uint32_t n, uint32_t bytes, char **text)
{
	struct caps_features *f = xmalloc(sizeof(*f) + n * sizeof(f->at[0]) + bytes);

	atomic_init(&f->refs, 1);
	f->bytes = bytes;
	f->n = n;
	*text = (char *)&f->at[n];
	return f;
}

struct caps_features *caps_features_read(const struct elem *query)
{
	struct caps_features *f;
	uint32_t n = 0;
	size_t bytes = 0;
	char *text;

	elem_each_child (query, e) {
		const char *var = elem_attr(e, "var");

		if (!var || !elem_is(e, "feature", NS_DISCO_INFO))
			continue;
		n++;
		bytes += strlen(var) + 1;
	}
	if (bytes > CAPS_FEATURES_BYTES)
		return NULL;
	f = features_new(n, (uint32_t)bytes, &text);
	n = 0;
	elem_each_child (query, e) {
		const char *var = elem_attr(e, "var");

		if (!var || !elem_is(e, "feature", NS_DISCO_INFO))
			continue;
		f->at[n++] = text;
		text = stpcpy(text, var) + 1;
	}
	qsort(f->at, f->n, sizeof(f->at[0]), compare);
	return f;
}

struct caps_features *caps_features_ref(struct caps_features *f)
{
	atomic_fetch_add_explicit(&f->refs, 1, memory_order_relaxed);
	return f;
}

static void features_free(struct rcu_head *head)
{
	free(container_of(head, struct caps_features, rcu));
}

void caps_features_unref(struct caps_features *f)
{
	if (f && atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) == 1)
		rcu_later(&f->rcu, features_free);
}

bool caps_features_have(const struct caps_features *f, const char *feature)
{
	return f && bsearch(&feature, f->at, f->n, sizeof(f->at[0]), compare);
}

/* One a line, sorted. The caller frees; NULL: one cannot stand in a line. */
static char *features_text(const struct caps_features *f)
{
	char *text = xmalloc(f->bytes + 1), *at = text;

	for (uint32_t i = 0; i < f->n; i++) {
		if (strchr(f->at[i], '\n')) {
			free(text);
			return NULL;
		}
		at = stpcpy(at, f->at[i]);
		*at++ = '\n';
	}
	*at = '\0';
	return text;
}

static struct caps_features *features_parse(const char *lines)
{
	uint32_t n = 0;
	struct caps_features *f;
	char *text;

	for (const char *c = lines; *c; c++)
		n += *c == '\n';
	f = features_new(n, (uint32_t)strlen(lines), &text);
	for (uint32_t i = 0; i < n; i++) {
		size_t len = strcspn(lines, "\n");

		f->at[i] = text;
		text = mempcpy(text, lines, len);
		*text++ = '\0';
		lines += len + 1;
	}
	return f;
}

/* ---- In memory */

/* Constant but for `used`. */
struct entry {
	struct rcu_head rcu;
	struct caps_features *features; /* counted */
	_Atomic int64_t used; /* relaxed: seconds */
	char key[];
};
static struct {
	pthread_mutex_t writing;
	RCU_PTR(struct entry) slots[SETS][WAYS];
	size_t bytes; /* under the lock */
	_Atomic unsigned n;
	unsigned users; /* hosts that have the module */
} cache = { .writing = PTHREAD_MUTEX_INITIALIZER };

static struct metric found_metric = METRIC_COUNTER(
	"caps_found_total", "Hashes of clients' capabilities that were known already.");
static struct metric loaded_metric = METRIC_COUNTER(
	"caps_loaded_total", "Hashes of clients' capabilities that the database knew.");

static int64_t read_count(void)
{
	return caps_cache_count();
}
static struct metric entries_metric =
	METRIC_GAUGE_READ("caps_cached", "Hashes of clients' capabilities in memory.", read_count);

static unsigned set_of(const char *key)
{
	return jid_hash_domain(key, strlen(key)) % SETS; /* seeded: nobody fills one set alone */
}

static struct entry *find(const char *key)
{
	unsigned set = set_of(key);

	for (unsigned w = 0; w < WAYS; w++) {
		struct entry *e = rcu_get(cache.slots[set][w]);

		if (e && strcmp(e->key, key) == 0)
			return e;
	}
	return NULL;
}

struct caps_features *caps_cache_find(const char *key)
{
	struct entry *e = find(key);

	if (!e)
		return NULL;
	atomic_store_explicit(&e->used, (int64_t)time(NULL), memory_order_relaxed);
	metric_add(&found_metric, 1);
	return e->features;
}

static void entry_free(struct rcu_head *head)
{
	struct entry *e = container_of(head, struct entry, rcu);

	caps_features_unref(e->features);
	free(e);
}

/* Under the lock. */
static void put(unsigned set, unsigned way, struct entry *e)
{
	struct entry *was = rcu_swap(cache.slots[set][way], e);

	if (was) {
		cache.bytes -= was->features->bytes;
		rcu_later(&was->rcu, entry_free);
	}
	cache.bytes += e ? e->features->bytes : 0;
	atomic_fetch_add(&cache.n, (unsigned)!!e - (unsigned)!!was);
}

/* A free slot of the set, or that of the least used. */
static unsigned way_for(unsigned set)
{
	int64_t least = INT64_MAX;
	unsigned way = 0;

	for (unsigned w = 0; w < WAYS; w++) {
		struct entry *e = rcu_get(cache.slots[set][w]);
		int64_t used = e ? atomic_load_explicit(&e->used, memory_order_relaxed) : INT64_MIN;

		if (used < least) {
			least = used;
			way = w;
		}
	}
	return way;
}

static void remember(const char *key, struct caps_features *f)
{
	unsigned set = set_of(key), way;
	struct entry *e;

	pthread_mutex_lock(&cache.writing);
	if (!find(key)) {
		way = way_for(set);
		put(set, way, NULL);
		if (cache.bytes + f->bytes <= MEMORY_BYTES_MAX) {
			e = xmalloc(sizeof(*e) + strlen(key) + 1);
			e->features = caps_features_ref(f);
			atomic_init(&e->used, (int64_t)time(NULL));
			strcpy(e->key, key);
			put(set, way, e);
		}
	}
	pthread_mutex_unlock(&cache.writing);
}

static void forget_all(void)
{
	pthread_mutex_lock(&cache.writing);
	for (unsigned set = 0; set < SETS; set++)
		for (unsigned w = 0; w < WAYS; w++)
			put(set, w, NULL);
	pthread_mutex_unlock(&cache.writing);
}

unsigned caps_cache_count(void)
{
	return atomic_load(&cache.n);
}

/* ---- In the database */

struct storing {
	struct db_work work;
	char *key, *text; /* owned; text NULL: only seen again */
};

static int take_key(const struct db_row *row, void *arg)
{
	snprintf(arg, CAPS_KEY_MAX, "%s", db_row_text(row, 0));
	return 1;
}

static int prune(struct db_tx *tx)
{
	char oldest[CAPS_KEY_MAX] = "";
	int64_t count = 0;
	int result = db_select(tx, &count_stmt, DB_NO_PARAMS, db_take_int, &count);

	if (result < 0 || count <= ROWS_MAX)
		return result;
	result = db_select(tx, &oldest_stmt, DB_NO_PARAMS, take_key, oldest);
	return result < 0 ? result : db_run(tx, &delete_stmt, DB_PARAMS(db_text(oldest)));
}

static int run_storing(struct db_tx *tx, struct db_work *w)
{
	const struct storing *s = container_of(w, struct storing, work);
	int64_t now = (int64_t)time(NULL);
	int result;

	if (!s->text)
		return db_run(tx, &seen_stmt, DB_PARAMS(db_int(now), db_text(s->key)));
	result = db_run(tx, &set_stmt, DB_PARAMS(db_text(s->key), db_int(now), db_text(s->text)));
	return result < 0 ? result : prune(tx);
}

static void storing_done(struct db_work *w)
{
	struct storing *s = container_of(w, struct storing, work);

	free(s->key);
	free(s->text);
	free(s);
}

/* Takes text. What does not come to be stored is asked again after the next start. */
static void store(const char *key, char *text)
{
	struct storing *s = xcalloc(1, sizeof(*s));

	s->work.run = run_storing;
	s->work.done = storing_done;
	s->key = xstrdup(key);
	s->text = text;
	if (db_write_later(db_main(), &s->work))
		storing_done(&s->work);
}

void caps_cache_add(const char *key, struct caps_features *f)
{
	char *text = features_text(f);

	if (!text)
		return;
	remember(key, f);
	store(key, text);
}

struct loading {
	struct caps_features *features;
	int64_t seen;
};

static int take_features(const struct db_row *row, void *arg)
{
	struct loading *l = arg;

	l->features = features_parse(db_row_text(row, 0));
	l->seen = db_row_int(row, 1);
	return 1;
}

int caps_cache_load(const char *key, struct caps_features **out)
{
	struct loading l = { 0 };
	int result = db_read(db_main(), &find_stmt, DB_PARAMS(db_text(key)), take_features, &l);

	*out = l.features;
	if (!l.features)
		return result < 0 ? result : 0;
	metric_add(&loaded_metric, 1);
	remember(key, l.features);
	if (l.seen < (int64_t)time(NULL) - DAY_S)
		store(key, NULL);
	return 0;
}

static int run_clear(struct db_tx *tx, void *arg UNUSED)
{
	return db_run(tx, &clear_stmt, DB_NO_PARAMS);
}

int caps_cache_clear(void)
{
	int result = db_write(db_main(), run_clear, NULL);

	if (result >= 0)
		forget_all();
	return result;
}

int caps_cache_start(void)
{
	int result = db_migrate(db_main(), migrations);

	metric_register(&found_metric);
	metric_register(&loaded_metric);
	metric_register(&entries_metric);
	if (!result)
		cache.users++;
	return result;
}

void caps_cache_stop(void)
{
	if (!--cache.users)
		forget_all();
}
