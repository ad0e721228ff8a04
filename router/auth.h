/* router/auth.h - where accounts come from: one interface, a backend module per host.
 * Every call may block on a database or a network, so all run on job threads; streams submit them
 * as jobs. Names are prepared local parts. Passwords exist only as SCRAM verifiers. */
#pragma once

#include "core/attr.h"
#include "core/job.h"
#include "router/host.h"

enum scram_hash { SCRAM_SHA_1, SCRAM_SHA_256, SCRAM_SHA_512, SCRAM_HASHES };
#define SCRAM_KEY_MAX 64
#define SCRAM_SALT_MAX 32
struct scram_verifier { /* RFC 5802 §3 */
	uint8_t salt[SCRAM_SALT_MAX];
	uint8_t salt_len;
	uint32_t iterations; /* 0: none stored for this hash */
	uint8_t stored_key[SCRAM_KEY_MAX], server_key[SCRAM_KEY_MAX]; /* hash-length bytes */
};
struct auth_account {
	struct scram_verifier scram[SCRAM_HASHES];
	bool disabled;
};

#define AUTH_NO_SUCH_USER 1
#define AUTH_EXISTS 2
#define AUTH_WRONG 3      /* wrong password */
#define AUTH_READ_ONLY 4  /* the backend cannot change accounts */
/* Each returns 0, one of the above, or a negative errno: the backend is away (then streams answer
 * temporary-auth-failure). Absent functions (NULL) mean AUTH_READ_ONLY or not supported. */
struct auth_backend {
	const char *name; /* "internal" */
	int (*find)(void *arg, struct host *h, const char *user, struct auth_account *out);
	/* For backends that keep no verifiers; NULL: compare against find(). */
	int (*check)(void *arg, struct host *h, const char *user, const char *password);
	int (*create)(void *arg, struct host *h, const char *user, const char *password);
	int (*set_password)(void *arg, struct host *h, const char *user, const char *password);
	int (*remove)(void *arg, struct host *h, const char *user);
	/* Users in order after `after` ("" first), at most max, fn for each. */
	int (*list)(void *arg, struct host *h, const char *after, unsigned max,
		void (*fn)(const char *user, void *fn_arg), void *fn_arg);
	int (*count)(void *arg, struct host *h, uint64_t *out);
};

/* The host's backend, with the checks all of them share. A host without one: -ENOSYS. */
ON_JOB int auth_find(struct host *h, const char *user, struct auth_account *out);
ON_JOB int auth_check(struct host *h, const char *user, const char *password);
ON_JOB int auth_create(struct host *h, const char *user, const char *password);
ON_JOB int auth_set_password(struct host *h, const char *user, const char *password);
ON_JOB int auth_remove(struct host *h, const char *user); /* also runs account_removed_hook */
ON_JOB int auth_list(struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg);
ON_JOB int auth_count(struct host *h, uint64_t *out);

/* The same asked from a shard, without waiting: a job in lanes keyed by account, so that what is
 * asked of one account runs in order. The request is part of its owner's object. */
enum auth_ask {
	AUTH_ASK_FIND,   /* auth_find() into account */
	AUTH_ASK_CHECK,  /* auth_check() */
};
struct auth_request {
	struct job job;
	enum auth_ask ask;
	struct host *host;           /* counted */
	char *user;                  /* owned */
	char *password;              /* owned, wiped; NULL for AUTH_ASK_FIND */
	int result;                  /* what the function returned */
	struct auth_account account; /* with AUTH_ASK_FIND and result 0 */
	/* On the asking shard; owns r, which it gives to auth_request_fini(). */
	void (*done)(struct auth_request *r);
};
/* Copies user and password (may be NULL). */
void auth_request_init(struct auth_request *r, enum auth_ask ask, struct host *h, const char *user,
	const char *password, void (*done)(struct auth_request *r));
void auth_request_fini(struct auth_request *r); /* wipes */
/* 0, or -EAGAIN: too much is asked already, and r is still the caller's. */
ON_SHARD int auth_ask(struct auth_request *r);

/* After the account is gone, on a job thread. subject: struct jid, bare. */
extern struct hook account_removed_hook;

/* One place makes verifiers: fills v with a fresh salt. 0 or negative errno. */
ON_JOB int scram_make(enum scram_hash hash, const char *password, uint32_t iterations,
	struct scram_verifier *v);
/* Compares in equal time. */
ON_JOB bool scram_check(enum scram_hash hash, const char *password, const struct scram_verifier *v);
