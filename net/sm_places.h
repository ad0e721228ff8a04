/* net/sm_places.h - where the sessions are that can be resumed: XEP-0198's ids to actors. An id is
 * random and as good as a password, though only the account that it was given to may use it.
 * Of those that are over, the last SM_OVER_MAX are remembered, so that a client that comes too late
 * still learns what of its stanzas was handled (§5). Any registered thread. */
#pragma once

#include "core/actor.h"
#include "core/attr.h"

#define SM_ID_BYTES 16
#define SM_ID_TEXT (SM_ID_BYTES * 2 + 1) /* as the client has it */
#define SM_OVER_MAX 10000u

void sm_id_make(uint8_t out[SM_ID_BYTES]);
void sm_id_write(const uint8_t id[SM_ID_BYTES], char out[SM_ID_TEXT]);
bool sm_id_read(const char *text, uint8_t out[SM_ID_BYTES]); /* false: it is none of ours */

struct sm_place {
	struct actor_id session; /* ACTOR_NONE: it is over */
	uint32_t handled; /* then: stanzas of the client's that were handled */
	uint32_t bare_hash; /* of whose it was */
};
void sm_place_add(const uint8_t id[SM_ID_BYTES], struct actor_id session, uint32_t bare_hash);
/* It is over. */
void sm_place_end(const uint8_t id[SM_ID_BYTES], uint32_t handled);
void sm_place_remove(const uint8_t id[SM_ID_BYTES]); /* as if it had never been */
bool sm_place_find(const uint8_t id[SM_ID_BYTES], struct sm_place *out);
