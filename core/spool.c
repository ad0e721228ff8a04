/* core/spool.c - records in the pages of the spool's file. A page holds records of one size, or is
 * the first of a row that holds one large record. What is free is known in ordinary memory, and
 * found out at the opening by looking at every record's state. */
#include "core/spool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <urcu/list.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/rcu.h"
#include "core/shard.h"
#include "core/spool_pages.h"

/* The state of a record: its kind, and whether it is found again. 0: there is none. */
#define UNPUBLISHED 0x80000000u

/* What a page is used for: 0, a size (from 1 on), or the first or another one of a row. */
static const uint32_t sizes[] = { 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048, 3072,
	4096, 6144, 8192, 12288, 16384, 32768 };
#define SIZES ARRAY_LEN(sizes)
#define LARGEST (sizes[SIZES - 1])
#define ROW_FIRST 0x01000000u /* and how many pages */
#define ROW_OTHER 0x02000000u
#define USE_MASK 0xff000000u

#define WORDS (SPOOL_PAGE / 64 / 64) /* bits for the smallest records of a page */

/* A page of records, in ordinary memory. Its heap's shard only. */
struct page {
	struct cds_list_head with_room; /* in its heap's list, while any is free */
	uint32_t index;
	uint8_t size; /* in sizes[] */
	uint8_t heap; /* constant while claimed: any thread */
	uint8_t first_word; /* none is free in the words before */
	uint16_t n, n_free;
	uint64_t free[WORDS];
};

struct heap {
	struct cds_list_head with_room[SIZES];
	/* Records that other threads freed, linked by their keys; the first rings. */
	_Atomic(struct spool_record *) given_back;
	struct msg msg;
	unsigned index;
} __attribute__((aligned(64)));

static struct {
	struct heap *heaps; /* owned */
	unsigned n_heaps;
	struct page *pages; /* owned; of each page of the file that may ever be */
	_Atomic bool lent; /* the file is another process's: relaxed */
} spool;

static struct metric records_metric = METRIC_GAUGE("spool_records", "Records in the spool.");
static struct metric full_metric =
	METRIC_COUNTER("spool_full_total", "Records that found no room in the spool.");

const struct conf_item spool_items[] = {
	{ "path", CONF_PATH, FIELD(struct spool_conf, path, const char *),
		.applies = CONF_AT_RESTART,
		.help = "The file; without it, one beside the database with .spool behind its "
			"name. In a folder in memory (/dev/shm) it survives a crash of the server "
			"as well and costs no disk." },
	{ "max_size", CONF_SIZE, FIELD(struct spool_conf, max_bytes, int64_t), .preset = "1 GB",
		.min = 1 << 20, .max = INT64_C(1) << 32, .applies = CONF_AT_RESTART,
		.help = "The file grows no larger than this." },
	{ 0 }
};

char *spool_path(const struct spool_conf *conf, const char *database)
{
	return conf->path ? xstrdup(conf->path) : xprintf("%s.spool", database);
}

static bool is_lent(void)
{
	return unlikely(atomic_load_explicit(&spool.lent, memory_order_relaxed));
}

/* --- sizes --------------------------------------------------------------------------------- */

static size_t room_for(size_t len)
{
	return sizeof(struct spool_record) + len;
}

/* The smallest that has room. There is one between each two powers of two up to 16 KB. */
static unsigned size_for(size_t bytes)
{
	unsigned power, index;

	if (bytes <= sizes[0])
		return 0;
	power = 63u - (unsigned)__builtin_clzll(bytes - 1); /* 2^power < bytes <= 2^(power+1) */
	index = (power - 6) * 2 + 1;
	if (index >= SIZES)
		return SIZES - 1;
	return bytes <= sizes[index] ? index : index + 1;
}

static unsigned row_for(size_t bytes)
{
	return (unsigned)((bytes + SPOOL_PAGE - 1) / SPOOL_PAGE);
}

static struct spool_record *record_at(const struct page *p, unsigned i)
{
	return (struct spool_record *)((char *)spool_page_at(p->index) + i * sizes[p->size]);
}

static bool is_published(const struct spool_record *r)
{
	uint32_t state = atomic_load_explicit(&r->state, memory_order_acquire);

	return state && !(state & UNPUBLISHED);
}

/* --- pages --------------------------------------------------------------------------------- */

static void page_begin(uint32_t index, unsigned size, const struct heap *h)
{
	struct page *p = &spool.pages[index];

	p->index = index;
	p->size = (uint8_t)size;
	p->heap = (uint8_t)h->index;
	p->first_word = 0;
	p->n = p->n_free = (uint16_t)(SPOOL_PAGE / sizes[size]);
	memset(p->free, 0, sizeof(p->free));
	for (unsigned i = 0; i < p->n; i++)
		p->free[i / 64] |= UINT64_C(1) << i % 64;
	CDS_INIT_LIST_HEAD(&p->with_room);
}

static void page_take(struct page *p, unsigned i)
{
	p->free[i / 64] &= ~(UINT64_C(1) << i % 64);
	if (!--p->n_free)
		cds_list_del_init(&p->with_room);
}

static void page_put(struct heap *h, struct page *p, unsigned i)
{
	struct cds_list_head *list = &h->with_room[p->size];

	p->free[i / 64] |= UINT64_C(1) << i % 64;
	if (i / 64 < p->first_word)
		p->first_word = (uint8_t)(i / 64);
	if (!p->n_free++)
		cds_list_add(&p->with_room, list);
	if (p->n_free < p->n || list->next->next == list) /* the last one stays at hand */
		return;
	cds_list_del(&p->with_room);
	spool_pages_give_back(p->index, 1);
}

/* Whatever lay there, nothing in it is a record. Only then is the page used for anything. */
static struct page *page_claim(struct heap *h, unsigned size)
{
	uint32_t index = spool_pages_claim(1);
	struct page *p = &spool.pages[index];

	if (!index)
		return NULL;
	page_begin(index, size, h);
	if (!spool_page_is_fresh(index))
		for (unsigned i = 0; i < p->n; i++)
			atomic_store_explicit(&record_at(p, i)->state, 0, memory_order_relaxed);
	atomic_store_explicit(spool_page_use(index), size + 1, memory_order_release);
	cds_list_add(&p->with_room, &h->with_room[size]);
	return p;
}

static unsigned page_first_free(struct page *p)
{
	while (!p->free[p->first_word])
		p->first_word++;
	return p->first_word * 64u + (unsigned)__builtin_ctzll(p->free[p->first_word]);
}

/* --- records ------------------------------------------------------------------------------- */

ON_SHARD static struct heap *own_heap(void)
{
	struct shard *self = shard_self();
	unsigned index = self ? shard_index(self) : 0;

	REQUIRE(index < spool.n_heaps && (self || !shards_count()));
	return &spool.heaps[index];
}

static struct spool_record *alloc_row(size_t bytes)
{
	unsigned n = row_for(bytes);
	uint32_t first = spool_pages_claim(n);
	struct spool_record *r;

	if (!first)
		return NULL;
	r = spool_page_at(first);
	atomic_store_explicit(&r->state, 0, memory_order_relaxed);
	for (unsigned i = 1; i < n; i++)
		atomic_store_explicit(spool_page_use(first + i), ROW_OTHER, memory_order_relaxed);
	atomic_store_explicit(spool_page_use(first), ROW_FIRST | n, memory_order_release);
	return r;
}

ON_SHARD static struct spool_record *alloc_in_page(size_t bytes)
{
	unsigned size = size_for(bytes), i;
	struct heap *h = own_heap();
	struct cds_list_head *list = &h->with_room[size];
	struct page *p;

	p = likely(list->next != list) ? cds_list_entry(list->next, struct page, with_room)
				       : page_claim(h, size);
	if (!p)
		return NULL;
	i = page_first_free(p);
	page_take(p, i);
	return record_at(p, i);
}

struct spool_record *spool_alloc(unsigned kind, uint64_t key, size_t len)
{
	size_t bytes = room_for(len);
	struct spool_record *r = NULL;

	REQUIRE(kind && kind <= SPOOL_KIND_MAX);
	if (len <= SPOOL_RECORD_MAX && !is_lent())
		r = bytes <= LARGEST ? alloc_in_page(bytes) : alloc_row(bytes);
	if (!r) {
		metric_add(&full_metric, 1);
		return NULL;
	}
	r->len = (uint32_t)len;
	r->key = key;
	atomic_store_explicit(&r->state, kind | UNPUBLISHED, memory_order_relaxed);
	return r;
}

void spool_publish(struct spool_record *r)
{
	if (is_lent())
		return;
	atomic_store_explicit(&r->state, spool_kind(r), memory_order_release);
	metric_add(&records_metric, 1);
}

unsigned spool_kind(const struct spool_record *r)
{
	return atomic_load_explicit(&r->state, memory_order_relaxed) & ~UNPUBLISHED;
}

static void put_back(struct spool_record *r)
{
	struct page *p = &spool.pages[spool_page_of(r)];
	size_t at = (size_t)((char *)r - (char *)spool_page_at(p->index));

	page_put(&spool.heaps[p->heap], p, (unsigned)(at / sizes[p->size]));
}

/* On the heap's shard: what others freed has room again. */
static void take_given_back(struct msg *m)
{
	struct heap *h = container_of(m, struct heap, msg);
	struct spool_record *r =
		atomic_exchange_explicit(&h->given_back, NULL, memory_order_acq_rel);

	while (r) {
		struct spool_record *next = (struct spool_record *)(uintptr_t)r->key;

		put_back(r);
		r = next;
	}
}

/* Who finds nothing there posts the message, which the heap's shard has done with: acquired. */
static void give_back(struct spool_record *r, struct heap *h)
{
	struct spool_record *first = atomic_load_explicit(&h->given_back, memory_order_acquire);

	do
		r->key = (uint64_t)(uintptr_t)first;
	while (!atomic_compare_exchange_weak_explicit(
		&h->given_back, &first, r, memory_order_acq_rel, memory_order_acquire));
	if (!first) {
		h->msg.run = take_given_back;
		shard_post(shard_at(h->index), &h->msg);
	}
}

static bool is_ours(const struct heap *h)
{
	struct shard *self = shard_self();

	return self ? shard_index(self) == h->index : !shards_count();
}

void spool_free(struct spool_record *r)
{
	uint32_t page, use, state;
	struct heap *h;

	if (!r || is_lent())
		return;
	page = spool_page_of(r);
	use = atomic_load_explicit(spool_page_use(page), memory_order_relaxed);
	state = atomic_load_explicit(&r->state, memory_order_relaxed);
	REQUIRE(state);
	if (!(state & UNPUBLISHED))
		metric_add(&records_metric, -1);
	atomic_store_explicit(&r->state, 0, memory_order_release);
	if ((use & USE_MASK) == ROW_FIRST) {
		spool_pages_give_back(page, use & ~USE_MASK);
		return;
	}
	h = &spool.heaps[spool.pages[page].heap];
	if (likely(is_ours(h)))
		put_back(r);
	else
		give_back(r, h);
}

/* --- what a process before left ------------------------------------------------------------ */

struct found {
	uint64_t records, damaged;
};

static void drop(struct spool_record *r)
{
	atomic_store_explicit(&r->state, 0, memory_order_relaxed);
}

static void find_in_page(uint32_t index, unsigned size, struct found *f)
{
	struct heap *h = &spool.heaps[index % spool.n_heaps];
	struct page *p = &spool.pages[index];

	page_begin(index, size, h);
	for (unsigned i = 0; i < p->n; i++) {
		struct spool_record *r = record_at(p, i);

		if (is_published(r) && room_for(r->len) <= sizes[size]) {
			page_take(p, i);
			f->records++;
			continue;
		}
		f->damaged += is_published(r);
		drop(r);
	}
	if (p->n_free == p->n) {
		atomic_store_explicit(spool_page_use(index), 0, memory_order_relaxed);
		return;
	}
	spool_pages_claim_found(index, 1);
	if (p->n_free)
		cds_list_add_tail(&p->with_room, &h->with_room[size]);
}

/* The pages it takes; 1 too when there is nothing in it. */
static unsigned find_row(uint32_t first, unsigned n, struct found *f)
{
	struct spool_record *r = spool_page_at(first);
	bool good = n && n <= spool_pages_end() - first;

	for (unsigned i = 1; good && i < n; i++)
		good = atomic_load(spool_page_use(first + i)) == ROW_OTHER;
	good = good && is_published(r) && r->len <= SPOOL_RECORD_MAX &&
		room_for(r->len) > LARGEST && row_for(room_for(r->len)) == n;
	if (!good) {
		f->damaged += is_published(r);
		atomic_store(spool_page_use(first), 0);
		return 1;
	}
	spool_pages_claim_found(first, n);
	f->records++;
	return n;
}

static void find_all(struct found *f)
{
	for (uint32_t i = SPOOL_FIRST; i < spool_pages_end();) {
		uint32_t use = atomic_load(spool_page_use(i)), n = 1;

		if (use && use <= SIZES) {
			find_in_page(i, use - 1, f);
		} else if ((use & USE_MASK) == ROW_FIRST) {
			n = find_row(i, use & ~USE_MASK, f);
		} else if (use) { /* the rest of a row that was being made */
			f->damaged += use != ROW_OTHER;
			atomic_store(spool_page_use(i), 0);
		}
		i += n;
	}
}

static void each_in_page(uint32_t index, unsigned size, unsigned kind,
	void (*fn)(struct spool_record *r, void *arg), void *arg)
{
	for (unsigned i = 0; i < SPOOL_PAGE / sizes[size]; i++) {
		struct spool_record *r =
			(struct spool_record *)((char *)spool_page_at(index) + i * sizes[size]);

		if (atomic_load(spool_page_use(index)) != size + 1)
			return; /* fn has freed the last one */
		if (is_published(r) && spool_kind(r) == kind)
			fn(r, arg);
	}
}

void spool_each(unsigned kind, void (*fn)(struct spool_record *r, void *arg), void *arg)
{
	for (uint32_t i = SPOOL_FIRST; i < spool_pages_end(); i++) {
		uint32_t use = atomic_load(spool_page_use(i));
		struct spool_record *r = spool_page_at(i);

		if (use && use <= SIZES)
			each_in_page(i, use - 1, kind, fn, arg);
		else if ((use & USE_MASK) == ROW_FIRST && is_published(r) && spool_kind(r) == kind)
			fn(r, arg);
	}
}

/* --- opening and closing ------------------------------------------------------------------- */

static void make_heaps(unsigned n)
{
	spool.heaps = xcalloc(n, sizeof(*spool.heaps));
	spool.n_heaps = n;
	for (unsigned i = 0; i < n; i++) {
		spool.heaps[i].index = i;
		for (unsigned k = 0; k < SIZES; k++)
			CDS_INIT_LIST_HEAD(&spool.heaps[i].with_room[k]);
	}
	spool.pages = xcalloc(SPOOL_PAGES_MAX, sizeof(*spool.pages));
}

int spool_open(const char *path, uint64_t max_bytes, unsigned heaps)
{
	struct found f = { 0 };
	bool found;
	int error;

	REQUIRE(heaps && heaps <= SHARDS_MAX);
	error = spool_pages_open(path, max_bytes, &found);
	if (error)
		return error;
	make_heaps(heaps);
	metric_register(&records_metric);
	metric_register(&full_metric);
	if (!found)
		return 0;
	find_all(&f);
	spool_pages_trim();
	metric_add(&records_metric, (int64_t)f.records);
	if (f.damaged)
		log_error("spool", "damaged records were left out", L_STR("file", path),
			L_INT("records", f.damaged));
	if (f.records)
		log_info(
			"spool", "records found", L_STR("file", path), L_INT("records", f.records));
	return 0;
}

bool spool_is_open(void)
{
	return spool.heaps != NULL;
}

int spool_lend(void)
{
	int error = spool_pages_lend();

	if (!error)
		atomic_store(&spool.lent, true);
	return error;
}

int spool_take_back(void)
{
	int error = spool_pages_take_back();

	if (!error)
		atomic_store(&spool.lent, false);
	return error;
}

void spool_close(void)
{
	if (!spool.heaps)
		return;
	spool_pages_close(is_lent() ? SPOOL_IS_LENT : SPOOL_ENDS);
	metric_add(&records_metric, -metric_value(&records_metric));
	free(spool.heaps);
	free(spool.pages);
	memset(&spool, 0, sizeof(spool));
}
