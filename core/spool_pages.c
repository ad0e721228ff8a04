/* core/spool_pages.c - the spool's file: its header, its lock, its growth, its free pages. */
#include "core/spool_pages.h"

#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"
#include "core/thread.h"

#define STEP_PAGES 256u /* 16 MB at a time, or a quarter of what there is */
#define AHEAD_PAGES 128u /* fewer free ones: it grows */
#define LOCK_WAIT_MS 2000 /* for a process before that is about to end */
#define LOCK_LOOK_MS 10
#define FULL_REST_MS 1000 /* after the disk was found full */
#define BOOT_BYTES 16

/* The first page. */
struct header {
	char magic[8];
	uint32_t version; /* of the layout of pages and records */
	uint32_t page_bytes;
	uint64_t check; /* of the above */
	/* Changed while it is in use. */
	_Atomic uint32_t clean; /* closed by its owner: all of it is on the disk */
	char boot[BOOT_BYTES]; /* of the system it was last opened under */
};
static const struct header header_now = {
	.magic = "linspool",
	.version = 1,
	.page_bytes = SPOOL_PAGE,
	.check = 0x6c696e7370010001u,
};

static struct {
	/* Constant while open. */
	int fd;
	char *path;
	char *base;
	size_t mapped;
	uint32_t max_pages;
	pthread_t grower;
	/* Any thread. */
	_Atomic uint32_t end;
	_Atomic uint32_t free; /* pages, about */
	_Atomic uint32_t lowest; /* a free one is looked for from here on first: a hint */
	_Atomic uint8_t *taken; /* of each page: 1 while somebody has it */
	_Atomic uint8_t *fresh;
	_Atomic bool asked, over;
	_Atomic uint64_t full_until_ms;
	sem_t wake;
} pages = { .fd = -1 };

static int64_t read_bytes(void)
{
	return (int64_t)spool_pages_end() * SPOOL_PAGE;
}

static int64_t read_free(void)
{
	return (int64_t)atomic_load_explicit(&pages.free, memory_order_relaxed) * SPOOL_PAGE;
}

static struct metric size_metric =
	METRIC_GAUGE_READ("spool_bytes", "Size of the spool's file.", read_bytes);
static struct metric free_metric =
	METRIC_GAUGE_READ("spool_free_bytes", "Pages of the spool without records.", read_free);
static struct metric refused_metric =
	METRIC_COUNTER("spool_growth_failed_total", "Times that the disk had no room for it.");

uint32_t spool_pages_end(void)
{
	return atomic_load_explicit(&pages.end, memory_order_acquire);
}

void *spool_page_at(uint32_t page)
{
	return pages.base + (size_t)page * SPOOL_PAGE;
}

uint32_t spool_page_of(const void *in_it)
{
	return (uint32_t)((size_t)((const char *)in_it - pages.base) / SPOOL_PAGE);
}

_Atomic uint32_t *spool_page_use(uint32_t page)
{
	return (_Atomic uint32_t *)(pages.base + SPOOL_PAGE) + page;
}

bool spool_page_is_fresh(uint32_t page)
{
	return atomic_load_explicit(&pages.fresh[page], memory_order_relaxed);
}

/* --- growing ------------------------------------------------------------------------------- */

static int grow_to(uint32_t to)
{
	uint32_t end = spool_pages_end();
	off_t from = (off_t)end * SPOOL_PAGE;
	int error = posix_fallocate(pages.fd, from, (off_t)to * SPOOL_PAGE - from);

	if (error) {
		if (ftruncate(pages.fd, from)) /* what it got before it failed */
			log_warning("spool", "stays too long", L_STR("why", strerror(errno)));
		return -error;
	}
	for (uint32_t i = end; i < to; i++)
		atomic_store_explicit(&pages.fresh[i], 1, memory_order_relaxed);
	atomic_store_explicit(&pages.end, to, memory_order_release);
	atomic_fetch_add_explicit(&pages.free, to - end, memory_order_relaxed);
	return 0;
}

static void grow(void)
{
	uint32_t end = spool_pages_end(), by = end / 4 > STEP_PAGES ? end / 4 : STEP_PAGES;
	static struct log_seldom seldom;
	uint32_t left_out;
	int error;

	if (end == pages.max_pages)
		return;
	error = grow_to(end + by < pages.max_pages ? end + by : pages.max_pages);
	if (!error)
		return;
	metric_add(&refused_metric, 1);
	atomic_store_explicit(
		&pages.full_until_ms, clock_ms() + FULL_REST_MS, memory_order_relaxed);
	if (log_seldom(&seldom, &left_out))
		log_error("spool", "cannot grow", L_STR("file", pages.path),
			L_STR("why", strerror(-error)));
}

static void *grower_main(void *arg UNUSED)
{
	for (;;) {
		while (sem_wait(&pages.wake))
			;
		if (atomic_load(&pages.over))
			return NULL;
		grow();
		atomic_store(&pages.asked, false);
	}
}

static void ask_for_more(void)
{
	if (spool_pages_end() == pages.max_pages ||
		atomic_load_explicit(&pages.asked, memory_order_relaxed) ||
		clock_ms() < atomic_load_explicit(&pages.full_until_ms, memory_order_relaxed))
		return;
	if (!atomic_exchange(&pages.asked, true))
		sem_post(&pages.wake);
}

/* --- who has which ------------------------------------------------------------------------- */

static bool claim_one(uint32_t page)
{
	return !atomic_load_explicit(&pages.taken[page], memory_order_relaxed) &&
		!atomic_exchange_explicit(&pages.taken[page], 1, memory_order_acquire);
}

static void let_go(uint32_t page, unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		atomic_store_explicit(&pages.taken[page + i], 0, memory_order_release);
}

static bool claim_row(uint32_t page, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		if (!claim_one(page + i)) {
			let_go(page, i);
			return false;
		}
	}
	return true;
}

static uint32_t claim_between(uint32_t from, uint32_t to, unsigned n)
{
	for (uint32_t page = from; page + n <= to; page++)
		if (claim_row(page, n))
			return page;
	return 0;
}

uint32_t spool_pages_claim(unsigned n)
{
	uint32_t end = spool_pages_end();
	uint32_t low = atomic_load_explicit(&pages.lowest, memory_order_relaxed), page = 0;

	if (atomic_load_explicit(&pages.free, memory_order_relaxed) < AHEAD_PAGES + n)
		ask_for_more();
	if (atomic_load_explicit(&pages.free, memory_order_relaxed) < n)
		return 0;
	page = claim_between(low, end, n);
	if (!page)
		page = claim_between(SPOOL_FIRST, end, n);
	if (!page)
		return 0;
	if (n == 1)
		atomic_store_explicit(&pages.lowest, page + 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&pages.free, n, memory_order_relaxed);
	return page;
}

void spool_pages_claim_found(uint32_t page, unsigned n)
{
	REQUIRE(claim_row(page, n));
	atomic_fetch_sub_explicit(&pages.free, n, memory_order_relaxed);
}

void spool_pages_give_back(uint32_t page, unsigned n)
{
	for (unsigned i = 0; i < n; i++) {
		atomic_store_explicit(spool_page_use(page + i), 0, memory_order_release);
		atomic_store_explicit(&pages.fresh[page + i], 0, memory_order_relaxed);
	}
	let_go(page, n);
	atomic_fetch_add_explicit(&pages.free, n, memory_order_relaxed);
	if (page < atomic_load_explicit(&pages.lowest, memory_order_relaxed))
		atomic_store_explicit(&pages.lowest, page, memory_order_relaxed);
}

/* --- opening ------------------------------------------------------------------------------- */

/* Of this start of the system; all zero where it is not told. */
static void read_boot(char out[BOOT_BYTES])
{
	AUTO(fd_close) int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
	char text[64] = "";
	unsigned n = 0;

	memset(out, 0, BOOT_BYTES);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		return;
	for (const char *c = text; *c && n < 2 * BOOT_BYTES; c++) {
		int digit = *c >= '0' && *c <= '9' ? *c - '0'
			: *c >= 'a' && *c <= 'f'   ? *c - 'a' + 10
						   : -1;

		if (digit >= 0) {
			out[n / 2] = (char)((unsigned char)out[n / 2] << 4 | digit);
			n++;
		}
	}
}

/* The process before may still be on its way out. */
static int lock_file(int fd)
{
	struct timespec look = { .tv_nsec = LOCK_LOOK_MS * 1000000L };

	for (int waited = 0; flock(fd, LOCK_EX | LOCK_NB); waited += LOCK_LOOK_MS) {
		if ((errno != EWOULDBLOCK && errno != EINTR) || waited > LOCK_WAIT_MS)
			return -errno;
		nanosleep(&look, NULL);
	}
	return 0;
}

static struct header *header(void)
{
	return (struct header *)pages.base;
}

/* Why the file is not taken as it is; NULL: it is. */
static const char *what_is_wrong(uint64_t bytes)
{
	const struct header *h = header();
	char boot[BOOT_BYTES];

	if (bytes < (uint64_t)SPOOL_FIRST * SPOOL_PAGE)
		return "it is too short";
	if (memcmp(h, &header_now, offsetof(struct header, clean)))
		return "its header is damaged, or another version's";
	read_boot(boot);
	if (!atomic_load(&h->clean) && memcmp(h->boot, boot, sizeof(boot)))
		return "the system went down while it was in use";
	return NULL;
}

/* From now on a file that is found on a disk was not closed. */
static int mark_open(void)
{
	struct header *h = header();

	read_boot(h->boot);
	atomic_store(&h->clean, 0);
	return msync(h, SPOOL_PAGE, MS_SYNC) ? -errno : 0;
}

static int begin_empty(void)
{
	uint32_t first = SPOOL_FIRST + STEP_PAGES;
	int error;

	if (ftruncate(pages.fd, 0))
		return -errno;
	atomic_store(&pages.end, 0);
	error = grow_to(first < pages.max_pages ? first : pages.max_pages);
	if (error)
		return error;
	memcpy(pages.base, &header_now, sizeof(header_now));
	return 0;
}

/* A file made by somebody with a higher bound is opened whole. */
static uint32_t bound(uint64_t bytes, uint64_t max_bytes)
{
	uint64_t n = (bytes > max_bytes ? bytes : max_bytes) / SPOOL_PAGE;

	if (n < SPOOL_FIRST + 1)
		return SPOOL_FIRST + 1;
	return n < SPOOL_PAGES_MAX ? (uint32_t)n : SPOOL_PAGES_MAX;
}

static int open_contents(uint64_t bytes, bool *found)
{
	const char *wrong = what_is_wrong(bytes);
	uint32_t whole = (uint32_t)(bytes / SPOOL_PAGE);

	*found = !wrong;
	if (wrong) {
		if (bytes)
			log_error("spool", "begins empty, what it held is lost",
				L_STR("file", pages.path), L_STR("why", wrong));
		return begin_empty();
	}
	/* Space it claims to have but was never granted would be a fault later: take it now. */
	atomic_store(&pages.end, whole < pages.max_pages ? whole : pages.max_pages);
	return -posix_fallocate(pages.fd, 0, (off_t)spool_pages_end() * SPOOL_PAGE);
}

static int open_file(const char *path, uint64_t max_bytes, bool *found)
{
	struct stat st;
	int error;

	pages.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (pages.fd < 0)
		return -errno;
	error = lock_file(pages.fd);
	if (error)
		return error;
	if (fstat(pages.fd, &st))
		return -errno;
	pages.max_pages = bound((uint64_t)st.st_size, max_bytes);
	pages.mapped = (size_t)pages.max_pages * SPOOL_PAGE;
	pages.base = mmap(NULL, pages.mapped, PROT_READ | PROT_WRITE, MAP_SHARED, pages.fd, 0);
	if (pages.base == MAP_FAILED) {
		pages.base = NULL;
		return -errno;
	}
	error = open_contents((uint64_t)st.st_size, found);
	return error ? error : mark_open();
}

static void forget(void)
{
	if (pages.base)
		munmap(pages.base, pages.mapped);
	fd_close(&pages.fd);
	free(pages.path);
	free((void *)pages.taken);
	free((void *)pages.fresh);
	memset(&pages, 0, sizeof(pages));
	pages.fd = -1;
}

int spool_pages_open(const char *path, uint64_t max_bytes, bool *found)
{
	int error;

	REQUIRE(!pages.base);
	pages.path = xstrdup(path);
	pages.taken = xcalloc(SPOOL_PAGES_MAX, sizeof(*pages.taken));
	pages.fresh = xcalloc(SPOOL_PAGES_MAX, sizeof(*pages.fresh));
	error = open_file(path, max_bytes, found);
	if (error) {
		forget();
		return error;
	}
	atomic_store(&pages.free, spool_pages_end() - SPOOL_FIRST);
	atomic_store(&pages.lowest, SPOOL_FIRST);
	sem_init(&pages.wake, 0, 0);
	error = thread_start(&pages.grower, "spool", grower_main, NULL);
	if (error) {
		forget();
		return error;
	}
	metric_register(&size_metric);
	metric_register(&free_metric);
	metric_register(&refused_metric);
	return 0;
}

void spool_pages_trim(void)
{
	uint32_t end = spool_pages_end(), least = SPOOL_FIRST + STEP_PAGES;

	while (end > least && !atomic_load_explicit(&pages.taken[end - 1], memory_order_relaxed))
		end--;
	if (end >= spool_pages_end() || ftruncate(pages.fd, (off_t)end * SPOOL_PAGE))
		return;
	atomic_fetch_sub(&pages.free, spool_pages_end() - end);
	atomic_store(&pages.end, end);
}

int spool_pages_lend(void)
{
	return flock(pages.fd, LOCK_UN) ? -errno : 0;
}

int spool_pages_take_back(void)
{
	return lock_file(pages.fd);
}

void spool_pages_close(enum spool_end end)
{
	atomic_store(&pages.over, true);
	sem_post(&pages.wake);
	pthread_join(pages.grower, NULL);
	sem_destroy(&pages.wake);
	if (end == SPOOL_ENDS &&
		!msync(pages.base, (size_t)spool_pages_end() * SPOOL_PAGE, MS_SYNC)) {
		atomic_store(&header()->clean, 1);
		msync(pages.base, SPOOL_PAGE, MS_SYNC);
	}
	forget();
}
