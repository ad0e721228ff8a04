/* modules/clients.h - which clients have access to an account: those that router/user_agent.h
 * knows, and those that are connected without having said who they are. For XEP-0494 and for
 * operators. */
#pragma once

#include "core/attr.h"
#include "router/host.h"
#include "router/user_agent.h"

#define CLIENT_REF 17 /* characters of the name that a client goes by in these lists */
struct client_access {
	char ref[CLIENT_REF + 1]; /* tells nobody its id */
	struct user_agent agent; /* id "": a session of a client without one */
	bool connected;
};

/* 0 or a negative errno. */
ON_JOB int clients_each(struct host *h, const char *user,
	void (*fn)(const struct client_access *ca, void *arg), void *arg);

enum clients_revoke {
	CLIENT_REVOKED,
	CLIENT_UNKNOWN,
	CLIENT_HAS_PASSWORD, /* and has been left alone */
};
enum clients_force { CLIENTS_HEED_PASSWORD, CLIENTS_EVEN_SO };
/* An outcome, or a negative errno. EVEN_SO: its tokens go and its sessions end, though it will come
 * back if it still has the password. */
ON_JOB int clients_revoke(
	struct host *h, const char *user, const char *ref, enum clients_force force);
