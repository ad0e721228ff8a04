/* net/oauth_bearer.h - the message of SASL OAUTHBEARER: RFC 7628 §3.1. */
#pragma once

#include "core/attr.h"

#define OAUTH_BEARER_MAX 4096 /* bytes of a message */
struct oauth_bearer {
	char authzid[OAUTH_BEARER_MAX + 1]; /* "": none was given */
	char token[OAUTH_BEARER_MAX + 1]; /* "": nothing that is one */
};
/* message has a NUL behind its len bytes. False: it is not of that form. The caller wipes out. */
bool oauth_bearer_read(const char *message, size_t len, struct oauth_bearer *out);
/* What a token that is refused is answered with, before the failure: §3.2.2. */
#define OAUTH_BEARER_REFUSED "{\"status\":\"invalid_token\"}"
