/* net/s2s_out.h - streams to other servers: ejabberd_s2s_out. Each is an fsm on its link's shard
 * (router/s2s_link.h) whose states keep their names: open_socket, wait_for_stream,
 * wait_for_features, wait_for_starttls_proceed, wait_for_auth_result, wait_for_validation,
 * stream_established, reopen_socket, wait_before_retry. */
#pragma once

#include "core/attr.h"
#include "net/tls.h"

/* From now on the s2s manager opens links by them. tls outlives it. main or a part of the tree. */
void s2s_out_start(struct tls_store *tls);
/* Links have been ended (s2s_stop()): the last words of their streams are waited for, but no longer
 * than so. Not on a shard. */
void s2s_out_stop(unsigned max_ms);
ANY_THREAD int64_t s2s_out_count(void); /* streams, established or not */
