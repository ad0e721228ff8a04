/* net/c2s_csi.h - client state indication of a client stream: XEP-0352. While a client says that
 * nobody looks at it, presence, chat states and notifications wait here, of each the latest; the
 * first stanza that matters takes them along, in front of it. Owning shard only. */
#pragma once

#include "net/c2s_stream.h"
#include "router/deliver.h"

/* <active/> or <inactive/> of an open session. */
ON_SHARD struct next c2s_csi_element(struct c2s *c, const struct stanza *s);
ON_SHARD void c2s_csi_inactive(struct c2s *c); /* said within a login: XEP-0386 */
/* A stanza for a client that is inactive (c->csi). True: it waits. False: it is to be sent now, and
 * what has waited has been. */
ON_SHARD bool c2s_csi_holds(struct c2s *c, struct stanza *s, enum deliver_copies copies);
/* It is active again, as every stream that begins or is resumed: what waits is sent. */
ON_SHARD void c2s_csi_active(struct c2s *c);
ON_SHARD uint64_t c2s_csi_held_bytes(const struct c2s *c); /* of what waits here */
/* The session is over. */
ON_SHARD void c2s_csi_end(struct c2s *c);
