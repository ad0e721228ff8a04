/* modules/caps_hash.h - the hash of what an entity says of itself in disco#info: XEP-0115 §5
 * (Entity Capabilities) and XEP-0390 §4.1 (Entity Capabilities 2.0). Pure functions; any thread.
 *
 * XEP-0115 hashes strings one after the other without saying what each is, so somebody can answer
 * with other things that come to the same hash, such as a form in place of features (§8.3). An
 * answer that can be read in more ways than one is CAPS_AMBIGUOUS here: good for whoever gave it,
 * but never for others who have the hash. Accepted is only what has one reading with all its
 * features:
 * - no '<' in any string; identities with category and type, and no '/' in them or the language;
 *   no feature that could be such an identity;
 * - a form only if its FORM_TYPE sorts before the last feature: features are sorted, so that no
 *   reading with more features exists. */
#pragma once

#include "core/attr.h"
#include "xml/stanza.h"

enum caps_version { CAPS_1, CAPS_2 }; /* XEP-0115, XEP-0390 */
#define CAPS_HASH_MAX 96 /* bytes of a hash as base64, with a NUL */
#define CAPS_STRINGS_MAX 2000 /* in one answer */
#define CAPS_BYTES_MAX 65536

enum caps_outcome {
	CAPS_GOOD,
	CAPS_ILL_FORMED, /* XEP-0115 §5.4 3.3-3.5, XEP-0390 §4.1 1-3 */
	CAPS_AMBIGUOUS,
	CAPS_TOO_MUCH,
	CAPS_NO_ALGORITHM, /* not one of ours */
};
/* query: the answer's <query/>; lang: what elements inherit, NULL for none. out is written for
 * CAPS_GOOD and CAPS_AMBIGUOUS. */
enum caps_outcome caps_hash(enum caps_version v, const char *algorithm, const struct elem *query,
	const char *lang, char out[CAPS_HASH_MAX]);
bool caps_algorithm_known(const char *name); /* "sha-1" */
