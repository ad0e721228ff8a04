/* net/c2s_resume.h - between net/c2s_sm.c and net/c2s_resume.c: what each needs of the other. */
#pragma once

#include "net/c2s_sm.h"

/* net/c2s_resume.c. */
ON_SHARD void c2s_resume_covered(struct sm *sm); /* all that was handled may be acknowledged */
ON_SHARD void c2s_resume_refused(struct sm *sm); /* whoever wants it now: it is ending */

/* net/c2s_sm.c. */
ON_SHARD void c2s_sm_detach(struct c2s *c);
ON_SHARD void c2s_sm_set_state(struct sm *sm, enum acks_state state);
ON_SHARD void c2s_sm_ask_anew(struct sm *sm); /* as much as is unacknowledged */
ON_SHARD void c2s_sm_take_ack(struct c2s *c, uint32_t h); /* that the queue covers */
/* Makes one, not resumable yet. */
ON_SHARD struct sm *c2s_sm_new(struct c2s *c, uint64_t max_ms);
ON_SHARD void c2s_sm_too_high(struct c2s *c, uint32_t h, uint32_t sent); /* ends the stream */
/* Sends the one child of what was built; ends the builder. */
ON_SHARD void c2s_sm_send_built(struct c2s *c, struct builder *b);
