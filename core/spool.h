/* core/spool.h - records that outlive the process: a heap in a file that is mapped shared, so that
 * a plain store survives SIGKILL and the next process finds every record that was published and not
 * freed. After a power failure, or when the file is damaged, it begins empty and says so in the
 * log; what must survive that belongs into the database.
 *
 * A record is made by spool_alloc(), filled, and exists from spool_publish() on; at whatever
 * instruction the process ends, the next one finds it whole or not at all. What is published
 * later is never found without what the same thread published before. Its bytes may be changed in
 * place afterwards: an aligned store of up to 8 bytes is seen whole.
 *
 * Every shard has a heap of its own, so making a record takes no lock and no system call. Any
 * thread may free one; its room goes back to the shard that made it. The file grows ahead of its
 * use, on a thread of the spool's own and only by space that the disk has granted, so that a full
 * disk is a refusal here and never a fault. */
#pragma once

#include "core/attr.h"
#include "core/conf.h"

struct spool_conf {
	const char *path; /* NULL: spool_path() */
	int64_t max_bytes;
};
extern const struct conf_item spool_items[];
/* Where it lies when the settings do not say: beside the database. The caller frees. */
char *spool_path(const struct spool_conf *conf, const char *database);

struct spool_record {
	_Atomic uint32_t state; /* private */
	uint32_t len; /* of bytes */
	uint64_t key; /* its owner's */
	char bytes[]; /* aligned to 16 */
};
#define SPOOL_RECORD_MAX (4u << 20) /* bytes */
/* Kinds are numbers from 1 on. */
#define SPOOL_KIND_MAX 0x7fffffffu

/* Opens the file, or makes it, and finds what it holds. heaps: as many as there will be shards.
 * 0, or a negative errno: -EWOULDBLOCK when another process has it and does not let go of it. main,
 * before the shards; for a process without shards, before any other call. */
int spool_open(const char *path, uint64_t max_bytes, unsigned heaps);
/* After the last shard. Records that are left are there for the next spool_open(), even after a
 * start of the machine. Nothing when it is not open. */
void spool_close(void);
ANY_THREAD bool spool_is_open(void);
/* In an upgrade: leaves the file to the server that takes this one's place, as it is. From then on
 * there is no room here, and what is published or freed is as little heard of as after SIGKILL.
 * Taken back when that server has not opened it. Nobody may be in a call; 0 or a negative errno. */
int spool_lend(void);
int spool_take_back(void);
/* Every published record of a kind. fn may free it. main, before any shard allocates. */
void spool_each(unsigned kind, void (*fn)(struct spool_record *r, void *arg), void *arg);

/* A record to fill, with kind, key and len set; NULL when there is no room: the spool has grown to
 * its bound, or the disk is full. Not found again unless published. */
ON_SHARD struct spool_record *spool_alloc(unsigned kind, uint64_t key, size_t len);
ANY_THREAD void spool_publish(struct spool_record *r);
ANY_THREAD unsigned spool_kind(const struct spool_record *r);
/* From now on it is not found again. Published or not; NULL is fine. */
ANY_THREAD void spool_free(struct spool_record *r);
