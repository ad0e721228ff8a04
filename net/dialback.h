/* net/dialback.h - the keys of server dialback: XEP-0185, for XEP-0220.
 * A key says that whoever shows it has got it from a stream of this server's: it is made of the
 * names and the id of that stream and a secret, and needs no memory to be checked. Any thread. */
#pragma once

#include "core/attr.h"

#define DIALBACK_KEY_LEN 64 /* hexadecimal digits */

/* The secret of this server, of any length; all servers of a cluster have the same. Before it is
 * set it is a random one. main, before there are streams. */
void dialback_set_secret(const char *secret);
/* HMAC-SHA256(SHA256(secret), receiving ' ' originating ' ' stream_id), in hexadecimal.
 * stream_id: the one that the receiving server gave. */
void dialback_key(const char *receiving, const char *originating, const char *stream_id,
	char out[DIALBACK_KEY_LEN + 1]);
/* Whether it is that key, in a time that tells nothing about it. */
bool dialback_is_key(
	const char *key, const char *receiving, const char *originating, const char *stream_id);
