/* net/sasl2.c - <authenticate/> read as strictly as what it does needs. */
#include "net/sasl2.h"

#include <string.h>

#include "core/mem.h"
#include "net/base64.h"
#include "net/hashed_token.h"
#include "net/sasl.h"

#define MALFORMED (1 + (int)SASL_MALFORMED_REQUEST)

static const char *const upgrades[SCRAM_HASHES] = { "UPGR-SCRAM-SHA-1", "UPGR-SCRAM-SHA-256",
	"UPGR-SCRAM-SHA-512" };

const char *sasl2_upgrade_name(enum scram_hash hash)
{
	return upgrades[hash];
}

int sasl2_upgrade(const char *task)
{
	int hash = 0;

	while (hash < SCRAM_HASHES && strcmp(upgrades[hash], task))
		hash++;
	return hash;
}

/* xs:boolean. False: it is none. */
static bool read_bool(const char *text, bool *out)
{
	*out = text && (!strcmp(text, "true") || !strcmp(text, "1"));
	return !text || *out || !strcmp(text, "false") || !strcmp(text, "0");
}

/* A positive xs:int. */
static bool read_count(const char *text, uint32_t *out)
{
	uint32_t n = 0;

	for (const char *c = text; c && *c; c++) {
		if (*c < '0' || *c > '9' || n > INT32_MAX / 10)
			return false;
		n = n * 10 + (uint32_t)(*c - '0');
		if (n > INT32_MAX)
			return false;
	}
	*out = n;
	return !text || n;
}

/* XEP-0388 §2.3. Without an id it is nobody that could be told from others. */
static int read_agent(const struct elem *e, struct arena *a, struct user_agent *out)
{
	const char *id = elem_attr(e, "id"), *text;

	if (id && !user_agent_read_id(id, out->id))
		return MALFORMED;
	text = elem_child_text(e, "software", NS_SASL2, a);
	user_agent_text(text ? text : "", out->software);
	text = elem_child_text(e, "device", NS_SASL2, a);
	user_agent_text(text ? text : "", out->device);
	return 0;
}

/* XEP-0484 §3.4, §3.6. */
static int read_fast(const struct elem *e, struct sasl2_request *out)
{
	out->fast = true;
	return read_count(elem_attr(e, "count"), &out->fast_count) &&
			read_bool(elem_attr(e, "invalidate"), &out->fast_invalidate)
		? 0
		: MALFORMED;
}

static void read_bind(const struct elem *e, struct arena *a, struct sasl2_request *out)
{
	const char *tag = elem_child_text(e, "tag", NS_BIND2, a);

	out->bind = e;
	out->tag = tag && *tag && strlen(tag) <= SASL2_TAG_MAX ? tag : NULL;
}

int sasl2_read(const struct elem *authenticate, struct arena *a, struct sasl2_request *out)
{
	const char *mechanism = elem_attr(authenticate, "mechanism"), *wanted;
	int fails = 0;

	*out = (struct sasl2_request){
		.mechanism = mechanism ? mechanism : "",
		.initial = elem_child_text(authenticate, "initial-response", NS_SASL2, a),
		.token = HT_MECHANISMS,
	};
	elem_each_child (authenticate, e) {
		if (elem_is(e, "user-agent", NS_SASL2)) {
			fails = read_agent(e, a, &out->agent);
		} else if (elem_is(e, "fast", NS_FAST)) {
			fails = read_fast(e, out);
		} else if (elem_is(e, "request-token", NS_FAST)) {
			wanted = elem_attr(e, "mechanism");
			out->token = ht_index(wanted ? wanted : "");
		} else if (elem_is(e, "bind", NS_BIND2)) {
			read_bind(e, a, out);
		} else if (elem_is(e, "resume", NS_SM)) {
			out->resume = e;
		} else if (elem_is(e, "upgrade", NS_UPGRADE)) {
			int hash = sasl2_upgrade(elem_text(e, a));

			if (hash < SCRAM_HASHES)
				out->upgrades |= 1u << hash;
		}
		if (fails)
			return fails;
	}
	/* A token is a client's, so the client says which it is: XEP-0484 §4.1. */
	return out->fast && !out->agent.id[0] ? MALFORMED : 0;
}

bool sasl2_read_hash(const struct elem *task_data, struct arena *a, enum scram_hash hash,
	struct scram_verifier *v)
{
	const char *text = elem_child_text(task_data, "hash", NS_SCRAM_UPGRADE, a);
	uint8_t salted[BASE64_LEN(SCRAM_KEY_MAX) / 4 * 3];
	size_t bytes = scram_key_bytes(hash);
	bool done;

	done = text && strlen(text) == BASE64_LEN(bytes) &&
		base64_decode(text, strlen(text), salted) == (ssize_t)bytes &&
		scram_keys(hash, salted, v);
	wipe(salted, sizeof(salted));
	return done;
}
