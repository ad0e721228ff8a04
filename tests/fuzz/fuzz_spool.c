/* A spool's file with damage anywhere: it opens, what it still holds lies within it, and it can be
 * used. The input is a list of places and the bytes that stand there; the header is left alone, as
 * its check would refuse the rest. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"
#include "core/mem.h"
#include "core/spool.h"
#include "core/spool_pages.h"

#define MAX_BYTES (1u << 20)
#define HEADER_BYTES 64
#define KINDS 3u

static char path[64];

static void remove_file(void)
{
	unlink(path);
}

static void begin(void)
{
	if (*path)
		return;
	atomic_store(&log_level, LOG_LEVEL_NONE);
	snprintf(path, sizeof(path), "/dev/shm/linnet-fuzz-spool-%d", (int)getpid());
	atexit(remove_file);
}

/* Without shards, the process's only thread is as good as one. */
static void without_shards(void) TAKES_SHARD_ROLE
{
}

static struct spool_record *add(unsigned kind, size_t len)
{
	struct spool_record *r;

	without_shards();
	r = spool_alloc(kind, len, len);
	if (r) {
		memset(r->bytes, 'x', len);
		spool_publish(r);
	}
	return r;
}

static void make(void)
{
	static const size_t lens[] = { 10, 10, 100, 1000, 20000, 70000 };

	unlink(path);
	REQUIRE(!spool_open(path, MAX_BYTES, 2));
	for (size_t i = 0; i < ARRAY_LEN(lens); i++)
		REQUIRE(add(1 + i % KINDS, lens[i]));
	spool_close();
}

/* Pages are written to where their uses stand or where the records are. */
static void damage(const uint8_t *data, size_t size)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	struct stat st;

	REQUIRE(fd >= 0 && !fstat(fd, &st));
	while (size >= 4) {
		size_t n = (data[3] & 7) + 1u;
		off_t at = data[0] | data[1] << 8 | (off_t)(data[2] & 15) << 16;

		if (at < HEADER_BYTES)
			at = SPOOL_PAGE + at;
		data += 4;
		size -= 4;
		n = n < size ? n : size;
		if (at + (off_t)n <= st.st_size)
			REQUIRE(pwrite(fd, data, n, at) == (ssize_t)n);
		data += n;
		size -= n;
	}
	close(fd);
}

static unsigned char sum;

static void look(struct spool_record *r, void *free_it)
{
	for (uint32_t i = 0; i < r->len; i++)
		sum += (unsigned char)r->bytes[i];
	if (*(bool *)free_it)
		spool_free(r);
	*(bool *)free_it ^= true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	bool free_it = size & 1;

	begin();
	make();
	damage(data, size);
	REQUIRE(!spool_open(path, MAX_BYTES, 1));
	for (unsigned kind = 1; kind <= KINDS; kind++)
		spool_each(kind, look, &free_it);
	for (unsigned i = 0; i < 40; i++)
		add(1 + i % KINDS, i * 97);
	spool_close();
	return 0;
}
