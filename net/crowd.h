/* net/crowd.h - all streams that have come in by ports of one kind: how many they are, and
 * something to be done with each of them on the shard that owns it. */
#pragma once

#include <stdint.h>
#include <urcu/list.h>

#include "core/attr.h"
#include "net/listener.h"

/* A stream joins with its struct cds_list_head, from which container_of() leads back to it. */
ON_SHARD void crowd_join(enum listen_module kind, struct cds_list_head *stream);
ON_SHARD void crowd_leave(enum listen_module kind, struct cds_list_head *stream); /* once */
/* Those of the calling shard. */
ON_SHARD struct cds_list_head *crowd_here(enum listen_module kind);
ANY_THREAD int64_t crowd_count(enum listen_module kind); /* of all shards */

/* What is done with one, on its shard: a function that begins with shard_check(NULL). It may end
 * that stream, and no other. */
typedef void crowd_fn(struct cds_list_head *stream, void *arg);
/* Soon, on all shards at once. arg: bytes that each shard is given a copy of. */
ANY_THREAD void crowd_tell(enum listen_module kind, crowd_fn *fn, const void *arg, size_t bytes);
/* One shard after the other, with arg itself; returns when all is done. Blocks: never on a shard.
 */
void crowd_visit(enum listen_module kind, crowd_fn *fn, void *arg);
