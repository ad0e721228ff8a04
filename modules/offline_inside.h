/* modules/offline_inside.h - the inside of modules/offline: offline.c (what waits, how long, when
 * it is handed out), offline_retrieval.c (XEP-0013). */
#pragma once

#include "modules/account_request.h"
#include "modules/message_log.h"

struct offline_conf {
	int64_t max_user_messages;
	int64_t expire_after; /* ms; INT64_MAX: never */
};
/* The lowest id that has not waited for too long. */
uint64_t offline_oldest_id(const struct offline_conf *conf);

/* --- offline_retrieval.c */
iq_handler offline_iq;
hook_fn offline_asked; /* user_send_hook */
