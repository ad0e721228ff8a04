/* What core/spool.h promises, within one process; tests/stress/stress_spool.c has what it promises
 * to the next one. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/spool.h"
#include "core/spool_pages.h"

static char path[64];

static void begin(void)
{
	snprintf(path, sizeof(path), "/tmp/linnet-spool-%d", (int)getpid());
	unlink(path);
}

static void end(void)
{
	unlink(path);
}
TestSuite(spool, .init = begin, .fini = end);

static struct spool_record *add(unsigned kind, uint64_t key, size_t len)
{
	struct spool_record *r = spool_alloc(kind, key, len);

	if (!r)
		return NULL;
	memset(r->bytes, (int)(key & 0xff), len);
	spool_publish(r);
	return r;
}

struct seen {
	unsigned n;
	uint64_t keys, bytes; /* sums */
	bool free_them;
};

static void see(struct spool_record *r, void *arg)
{
	struct seen *s = arg;

	for (uint32_t i = 0; i < r->len; i++)
		cr_assert_eq((unsigned char)r->bytes[i], r->key & 0xff);
	s->n++;
	s->keys += r->key;
	s->bytes += r->len;
	if (s->free_them)
		spool_free(r);
}

static struct seen look(unsigned kind)
{
	struct seen s = { 0 };

	spool_each(kind, see, &s);
	return s;
}

#define MB (1u << 20)

Test(spool, records_are_found_by_the_next)
{
	static const size_t lens[] = { 0, 1, 47, 48, 49, 80, 81, 300, 4080, 4081, 32752, 32753,
		65520, 65521, 200000, SPOOL_RECORD_MAX };
	struct seen s;
	uint64_t bytes = 0;

	cr_assert_eq(spool_open(path, 64 * MB, 2), 0);
	for (size_t i = 0; i < ARRAY_LEN(lens); i++, bytes += lens[i - 1])
		cr_assert(add(7, i + 1, lens[i]), "%zu bytes", lens[i]);
	add(8, 99, 10);
	spool_close();
	cr_assert_eq(spool_open(path, 64 * MB, 3), 0);
	s = look(7);
	cr_expect_eq(s.n, ARRAY_LEN(lens));
	cr_expect_eq(s.keys, ARRAY_LEN(lens) * (ARRAY_LEN(lens) + 1) / 2);
	cr_expect_eq(s.bytes, bytes);
	cr_expect_eq(look(8).n, 1);
	cr_expect_eq(look(9).n, 0);
	spool_close();
}

Test(spool, what_was_freed_or_not_published_is_not_found)
{
	struct spool_record *small, *large, *never;

	cr_assert_eq(spool_open(path, 8 * MB, 1), 0);
	small = add(1, 1, 100);
	large = add(1, 2, 100000);
	never = spool_alloc(1, 3, 100);
	cr_assert(never && spool_alloc(1, 4, 100000));
	add(1, 5, 100);
	spool_free(small);
	spool_free(large);
	spool_free(NULL);
	spool_close();
	cr_assert_eq(spool_open(path, 8 * MB, 1), 0);
	cr_expect_eq(look(1).n, 1);
	cr_expect_eq(look(1).keys, 5);
	spool_close();
}

Test(spool, each_may_free)
{
	struct seen s = { .free_them = true };

	cr_assert_eq(spool_open(path, 8 * MB, 2), 0);
	for (uint64_t i = 0; i < 3000; i++)
		add(1, i, i % 5 ? 300 : 70000 * (i == 5));
	spool_close();
	cr_assert_eq(spool_open(path, 8 * MB, 1), 0);
	spool_each(1, see, &s);
	cr_expect_eq(s.n, 3000);
	cr_expect_eq(look(1).n, 0);
	spool_close();
}

/* Its bound is a refusal; what is freed can be had again, for other sizes too. */
Test(spool, is_bounded)
{
	static const size_t lens[] = { 20, 300, 5000, 60000, 200000 };
	static struct spool_record *all[30000];
	unsigned most[ARRAY_LEN(lens)] = { 0 };

	cr_assert_eq(spool_open(path, 2 * MB, 1), 0);
	for (unsigned round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
			unsigned n = 0;

			while (n < ARRAY_LEN(all) && (all[n] = add(1, n, lens[i])))
				n++;
			cr_expect_geq(n * (lens[i] + 16), 900000, "%u of %zu", n, lens[i]);
			/* One page stays with each size that was used before. */
			cr_expect(!round || most[i] - n <= 3 * (65536 / (lens[i] + 16) + 1),
				"%u, then %u of %zu", most[i], n, lens[i]);
			most[i] = round ? most[i] : n;
			cr_expect_eq(look(1).n, n);
			while (n)
				spool_free(all[--n]);
		}
	}
	cr_expect_null(spool_alloc(1, 1, SPOOL_RECORD_MAX + 1));
	spool_close();
}

Test(spool, grows_ahead_and_is_trimmed)
{
	struct spool_record *r[600];
	struct stat st;
	unsigned n = 0;

	cr_assert_eq(spool_open(path, 64 * MB, 1), 0);
	while (n < ARRAY_LEN(r)) { /* 40 MB; the thread that grows it may be behind */
		r[n] = add(1, n, 65000);
		if (r[n])
			n++;
		else
			usleep(1000);
	}
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_geq(st.st_size, 600 * 65536);
	cr_expect_geq(st.st_blocks * 512, st.st_size, "space that was not granted");
	while (n)
		spool_free(r[--n]);
	spool_close();
	cr_assert_eq(spool_open(path, 64 * MB, 1), 0);
	cr_assert_eq(stat(path, &st), 0);
	cr_expect_leq(st.st_size, 20 * MB);
	spool_close();
}

Test(spool, belongs_to_one_process)
{
	int fd;

	cr_assert_eq(spool_open(path, 2 * MB, 1), 0);
	spool_close();
	fd = open(path, O_RDWR | O_CLOEXEC);
	cr_assert_eq(flock(fd, LOCK_EX), 0);
	cr_expect_eq(spool_open(path, 2 * MB, 1), -EWOULDBLOCK);
	close(fd);
	cr_expect_eq(spool_open(path, 2 * MB, 1), 0);
	spool_close();
	cr_expect_eq(spool_open("/nowhere/at/all", 2 * MB, 1), -ENOENT);
}

static void overwrite(off_t at, const void *bytes, size_t len)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	cr_assert_eq(pwrite(fd, bytes, len, at), len);
	close(fd);
}

static void make_with_one(void)
{
	unlink(path);
	cr_assert_eq(spool_open(path, 2 * MB, 1), 0);
	add(1, 1, 100);
	spool_close();
}

/* Where the header says whether it was closed, and under which start of the system it was used. */
#define AT_CLEAN 24
#define AT_BOOT 28

/* As to the server that takes this one's place: what was there is found, what is done behind its
 * back is not. */
Test(spool, is_lent_as_it_is)
{
	struct spool_record *kept, *freed, *late;
	pid_t child;
	int status;

	cr_assert_eq(spool_open(path, 1 << 24, 1), 0);
	kept = add(1, 1, 100);
	freed = add(1, 2, 100);
	late = spool_alloc(1, 4, 0);
	cr_assert(kept && freed && late);
	cr_expect_eq(spool_lend(), 0);
	spool_free(freed);
	spool_publish(late);
	cr_expect_null(spool_alloc(1, 8, 10), "there is no room");
	child = fork();
	if (child == 0) { /* a process that has not got the first one's memory would be the same */
		spool_close();
		if (spool_open(path, 1 << 24, 1))
			_exit(1);
		_exit(look(1).keys == 3 ? 0 : 2);
	}
	cr_assert_eq(waitpid(child, &status, 0), child);
	cr_expect_eq(status, 0);
	cr_expect_eq(spool_take_back(), 0);
	cr_expect_not_null(add(1, 8, 10));
	spool_free(kept);
	spool_close();
	spool_close();
}

Test(spool, a_file_that_cannot_be_trusted_begins_empty)
{
	static const struct {
		const char *what;
		off_t at;
		const char *bytes;
		size_t len;
		unsigned left;
	} rows[] = {
		{ "nothing", 0, "", 0, 1 },
		{ "no spool", 0, "x", 1, 0 },
		{ "another version's", 8, "\2", 1, 0 },
		{ "not closed", AT_CLEAN, "\0", 1, 1 },
		{ "closed before the system went down", AT_BOOT, "another boot", 12, 1 },
		{ "not closed when the system went down", AT_CLEAN, "\0\0\0\0another boot", 16, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		make_with_one();
		overwrite(rows[i].at, rows[i].bytes, rows[i].len);
		cr_assert_eq(spool_open(path, 2 * MB, 1), 0);
		cr_expect_eq(look(1).n, rows[i].left, "%s", rows[i].what);
		cr_expect(add(1, 2, 100));
		spool_close();
	}
}

Test(spool, damage_within_costs_only_what_is_damaged)
{
	static const struct {
		const char *what;
		off_t at; /* behind the first page of records, or in what pages are used for */
		const char *bytes;
		size_t len;
		unsigned left;
	} rows[] = {
		{ "a length too large for its place", SPOOL_FIRST * (off_t)SPOOL_PAGE + 4,
			"\xff\xff", 2, 1 },
		{ "a use that nobody knows", SPOOL_PAGE + SPOOL_FIRST * 4, "\xee\xee\xee\xee", 4,
			0 },
		{ "a row longer than the file", SPOOL_PAGE + SPOOL_FIRST * 4, "\xff\xff\xff\1", 4,
			0 },
		{ "a row of none", SPOOL_PAGE + SPOOL_FIRST * 4, "\0\0\0\1", 4, 0 },
		{ "the rest of a row", SPOOL_PAGE + SPOOL_FIRST * 4, "\0\0\0\2", 4, 0 },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unlink(path);
		cr_assert_eq(spool_open(path, 2 * MB, 1), 0);
		add(1, 1, 100);
		add(1, 2, 100);
		spool_close();
		overwrite(rows[i].at, rows[i].bytes, rows[i].len);
		cr_assert_eq(spool_open(path, 2 * MB, 1), 0);
		cr_expect_eq(look(1).n, rows[i].left, "%s", rows[i].what);
		cr_expect(add(1, 2, 100) && add(1, 3, 100000));
		cr_expect_eq(look(1).n, rows[i].left + 2, "%s", rows[i].what);
		spool_close();
	}
}

Test(spool, a_file_cut_short_keeps_what_is_left)
{
	cr_assert_eq(spool_open(path, 2 * MB, 1), 0);
	for (unsigned i = 0; i < 20; i++)
		add(1, i, 60000);
	spool_close();
	cr_assert_eq(truncate(path, (SPOOL_FIRST + 5) * (off_t)SPOOL_PAGE + 100), 0);
	cr_assert_eq(spool_open(path, 2 * MB, 1), 0);
	cr_expect_eq(look(1).n, 5);
	spool_close();
	cr_assert_eq(truncate(path, SPOOL_PAGE), 0);
	cr_assert_eq(spool_open(path, 2 * MB, 1), 0);
	cr_expect_eq(look(1).n, 0);
	cr_expect(add(1, 1, 1));
	spool_close();
}
