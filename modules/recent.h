/* modules/recent.h - who has done something lately, and how often: limits per address.
 * A bounded memory of keys; when it is full of keys whose window is not over, new ones are refused
 * rather than old ones forgotten, so that many addresses do not open what one may not. Any thread,
 * under a mutex: for what is rare. Times are the caller's, in milliseconds of any one clock. */
#pragma once

#include "core/attr.h"
#include "core/conf.h"
#include "xml/jid.h"

struct recent;
struct recent_key {
	uint8_t bytes[16];
};
/* An IPv4 address, or the /64 of an IPv6 one: who has one of these has all. */
struct recent_key recent_key_of_address(const struct conf_prefix *address);
struct recent_key recent_key_of_account(const struct jid *j);

struct recent *recent_new(unsigned max_keys) __attribute__((returns_nonnull));
void recent_free(struct recent *r); /* NULL is fine */

/* One more time, if that makes no more than `most` within window_ms of the first: true. */
bool recent_take(struct recent *r, struct recent_key key, uint64_t now_ms, uint64_t window_ms,
	unsigned most);
/* The key has had its share: refused until its window is over. */
void recent_exhaust(struct recent *r, struct recent_key key);
