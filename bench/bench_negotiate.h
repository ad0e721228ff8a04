/* bench/bench_negotiate.h - what a client says from the connection to its session or account:
 * TLS, SASL, resource binding (RFC 6120), XEP-0077, XEP-0198's resumption. Calls the client's
 * events once it is ready, and client_lose() when the server does not go along. */
#pragma once

#include "bench/bench_client.h"

void negotiate_begin(struct client *c); /* the socket is connected */
void negotiate_handshake(struct client *c); /* goes on with TLS: the socket is ready */
void negotiate_opened(struct client *c); /* the server's stream has begun */
void negotiate_stanza(struct client *c, const char *text); /* before STEP_READY */
