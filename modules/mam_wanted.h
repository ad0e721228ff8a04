/* modules/mam_wanted.h - what a request asks an account's archive for: the form of XEP-0313 §4.1
 * and the page of XEP-0059. */
#pragma once

#include "modules/account_request.h"
#include "modules/message_archive.h"
#include "modules/rsm.h"

/* Texts and ids are in the request's arena. */
struct mam_wanted {
	struct message_range range;
	struct rsm rsm;
	unsigned max; /* messages; 0: only how many there are (XEP-0059 §2.7) */
	bool by_ids; /* these alone, as far as they are in the range */
	uint64_t *ids; /* in order, each once */
	unsigned n_ids;
};
/* 0 or a stanza error. */
ON_JOB int mam_wanted_read(struct account_request *r, int64_t account, struct mam_wanted *out);
/* The form that says what can be asked for: §4.1.5. */
void mam_wanted_build_form(struct builder *b);
