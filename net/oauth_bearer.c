/* net/oauth_bearer.c - gs2-header kvsep *(key "=" value kvsep) kvsep. */
#include "net/oauth_bearer.h"

#include <string.h>
#include <strings.h>

#define KVSEP '\x01'
#define SCHEME "Bearer "

/* RFC 5801 §4, saslname: "=2C" and "=3D" stand for what would end it. */
static bool read_name(const char *from, size_t len, char *out)
{
	for (const char *end = from + len; from < end; out++) {
		if (*from != '=') {
			*out = *from++;
		} else if (!strncmp(from, "=2C", 3) || !strncmp(from, "=3D", 3)) {
			*out = from[1] == '2' ? ',' : '=';
			from += 3;
		} else {
			return false;
		}
	}
	*out = 0;
	return true;
}

/* "n,a=NAME,": no channel is bound here. Where it ends, or NULL. */
static const char *read_header(const char *from, char *authzid)
{
	const char *end;

	if ((*from != 'n' && *from != 'y') || from[1] != ',')
		return NULL;
	from += 2;
	end = strchr(from, ',');
	if (!end || (end > from && strncmp(from, "a=", 2) != 0))
		return NULL;
	if (end > from && !read_name(from + 2, (size_t)(end - from) - 2, authzid))
		return NULL;
	return end + 1;
}

/* RFC 6750 §2.1: b64token, behind the scheme's name, whose case is nothing. */
static void read_auth(const char *value, size_t len, char *token)
{
	if (len > strlen(SCHEME) && !strncasecmp(value, SCHEME, strlen(SCHEME))) {
		memcpy(token, value + strlen(SCHEME), len - strlen(SCHEME));
		token[len - strlen(SCHEME)] = 0;
	}
}

static bool is_key(char c)
{
	return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

bool oauth_bearer_read(const char *message, size_t len, struct oauth_bearer *out)
{
	const char *at, *end;

	*out->authzid = *out->token = 0;
	if (len > OAUTH_BEARER_MAX || memchr(message, 0, len))
		return false;
	at = read_header(message, out->authzid);
	if (!at || *at++ != KVSEP)
		return false;
	for (; *at != KVSEP; at = end + 1) {
		const char *equals = at;

		while (is_key(*equals))
			equals++;
		end = strchr(at, KVSEP);
		if (!end || equals == at || *equals != '=')
			return false;
		if (equals - at == 4 && !strncmp(at, "auth", 4))
			read_auth(equals + 1, (size_t)(end - equals) - 1, out->token);
	}
	return at + 1 == message + len;
}
