/* net/sm_element.h - the elements of XEP-0198, from clients as from servers, and to them. */
#pragma once

#include "core/attr.h"
#include "net/stream.h"
#include "router/host.h"
#include "xml/stanza.h"

/* Attribute h, of <a/> and <resume/>: an xs:unsignedInt. False: there is none. */
bool sm_read_h(const struct elem *e, uint32_t *out);
/* How long the state of a peer that says <enable/> waits for it, in ms: what it asks for within
 * what it may have. 0: it cannot be resumed. */
uint64_t sm_time_to_wait(const struct sm_conf *conf, const struct elem *enable);

#define SM_ASK_EVERY 32u /* stanzas: then an <r/> follows at once */
#define SM_ASK_AFTER_MS 500 /* otherwise, after the first that was not asked for */
ON_SHARD void sm_send_request(struct stream *st); /* <r/> */
ON_SHARD void sm_send_answer(struct stream *st, uint32_t h); /* <a/> */
/* §6: the peer has acknowledged more than it was sent. Ends the stream. */
ON_SHARD void sm_send_too_high(struct stream *st, uint32_t h, uint32_t sent);
