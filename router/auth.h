/* router/auth.h - where accounts come from. A host has sources of accounts in an order, the setting
 * auth_method; each is a backend that a module brings. An account belongs to the first source that
 * knows it. A source that is away makes an answer that depends on it a failure (streams say
 * temporary-auth-failure), unless a source before it has answered; the ones behind it are not asked
 * in its stead, as the same name may be somebody else's there.
 * What blocks runs on job threads; streams submit requests. Names are prepared local parts.
 * Linnet's own accounts have SCRAM verifiers and no passwords. */
#pragma once

#include <openssl/types.h>

#include "core/attr.h"
#include "core/hook.h"
#include "core/job.h"
#include "router/host.h"
#include "router/user_agent.h"

struct db;

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
	/* Set by router/auth. */
	enum auth_method source; /* that it belongs to */
	bool takes_verifiers; /* which has set_verifier() */
};

/* One of the accounts that an operator brings along. */
struct auth_import {
	const char *user;
	const char *password; /* NULL: what account has */
	struct auth_account account;
	int result;
};

#define AUTH_NO_SUCH_USER 1
#define AUTH_EXISTS 2
#define AUTH_WRONG 3 /* wrong password */
#define AUTH_READ_ONLY 4 /* the backend cannot change accounts */
#define AUTH_DISABLED 5 /* the password is right, but an operator has closed the account */
#define AUTH_REFUSED 6 /* check(): no such account or another password, it cannot tell which */
/* Each returns 0, one of the above, or a negative errno: the backend is away (then streams answer
 * temporary-auth-failure). Absent functions (NULL) mean AUTH_READ_ONLY or not supported.
 * They run on job threads or on those of the source, registered with RCU; what waits for others
 * stands between rcu_offline() and rcu_online(). */
struct auth_backend {
	const char *name; /* "internal" */
	enum auth_method method; /* its place in auth_method */
	/* check() gets the password as the client sent it; else it is prepared (SASLprep). */
	bool raw_passwords;
	int (*find)(void *arg, struct host *h, const char *user, struct auth_account *out);
	/* Whether there is such an account, when that is less work than find(); NULL: find(). */
	int (*exists)(void *arg, struct host *h, const char *user);
	/* For backends that keep no verifiers; NULL: compare against find(). */
	int (*check)(void *arg, struct host *h, const char *user, const char *password);
	int (*create)(void *arg, struct host *h, const char *user, const char *password);
	int (*set_password)(void *arg, struct host *h, const char *user, const char *password);
	/* Several new accounts in one go, those whose result is 0; sets it to AUTH_EXISTS or
	 * -EINVAL for those that it does not take. 0 or a negative errno: none is there. */
	int (*import)(void *arg, struct host *h, struct auth_import *list, unsigned n);
	int (*remove)(void *arg, struct host *h, const char *user);
	/* Only if this is the password; NULL: check(), then remove(). */
	int (*remove_with)(void *arg, struct host *h, const char *user, const char *password);
	/* Users in order after `after` ("" first), at most max, fn for each. */
	int (*list)(void *arg, struct host *h, const char *after, unsigned max,
		void (*fn)(const char *user, void *fn_arg), void *fn_arg);
	int (*count)(void *arg, struct host *h, uint64_t *out);
	/* The disabled ones among them, in the same way. */
	int (*list_disabled)(void *arg, struct host *h, const char *after, unsigned max,
		void (*fn)(const char *user, void *fn_arg), void *fn_arg);
	int (*set_disabled)(void *arg, struct host *h, const char *user, bool disabled);
	/* One more verifier, unless the account has changed since find() told `was` of it:
	 * AUTH_WRONG. */
	int (*set_verifier)(void *arg, struct host *h, const char *user,
		const struct auth_account *was, enum scram_hash hash,
		const struct scram_verifier *v);
};

/* --- sources: router/auth_source.c ----------------------------------------------------------- */

/* What a host has of a backend. */
struct auth_source_conf {
	/* Of its own, for a backend that waits for others: they all may hang in it without harm to
	 * anybody else. 0: it answers at once, or as fast as the server's database. */
	unsigned threads;
	unsigned max_waiting; /* calls that wait for these threads; more are refused. 0: 1000 */
	uint64_t timeout_ms; /* of a call, with its wait for a thread; 0: 10000 */
	/* SASL mechanisms that all its accounts can log in with: bits of router/host.h. 0: PLAIN,
	 * and without check() SCRAM of all kinds too. */
	uint32_t sasl;
	/* How long a password that was right is not asked for again, by sources with threads; what
	 * is kept of it is a hash. 0: not at all. */
	uint64_t remember_ms;
	void (*free)(void *arg); /* once the last call has returned; NULL: nothing */
};
/* From a module's start() and stop(). One of the same method takes the place of the one before,
 * until it is removed. The last step of start(). conf NULL: all zero. */
void auth_source_add(struct host *h, const struct auth_backend *b, void *arg,
	const struct auth_source_conf *conf);
/* Nobody asks it any more. Waits for the calls under way, but not for those that hang: arg lives
 * until conf.free() is called, which may be later. */
void auth_source_remove(struct host *h, const struct auth_backend *b, void *arg);

/* Of these mechanisms, those that the host's sources can do: SCRAM when all can, or when some can
 * and scram_beside_plain is set. Any registered thread. */
uint32_t auth_mechanisms(struct host *h, const struct host_conf *conf, uint32_t of);

/* --- asking them in order -------------------------------------------------------------------- */

/* A host without a source: -ENOSYS; one for anonymous logins alone: AUTH_NO_SUCH_USER. A password
 * that may not be, or a name that cannot be one: -EINVAL; auth_check() says AUTH_WRONG. */
/* Whether there is such an account, for whoever has something for it, and of out the source: what
 * slow ones said within auth_cache_life_time serves. */
ON_JOB int auth_find(struct host *h, const char *user, struct auth_account *out);
/* The account, to log in with its verifiers. */
ON_JOB int auth_verifiers(struct host *h, const char *user, struct auth_account *out);
/* Whether that is its password. */
ON_JOB int auth_check(struct host *h, const char *user, const char *password);
/* In the first source that makes accounts, unless any of them has it. */
ON_JOB int auth_create(struct host *h, const char *user, const char *password);
/* The same with many, passwords kept as auth_password_format says. Their results are set; 0 or a
 * negative errno: nothing is imported. */
ON_JOB int auth_import(struct host *h, struct auth_import *list, unsigned n);
/* In the source that the account belongs to. */
ON_JOB int auth_set_password(struct host *h, const char *user, const char *password);
/* That the password is the one of the other verifiers is the word of whoever logged in with it. */
ON_JOB int auth_set_verifier(struct host *h, const char *user, const struct auth_account *was,
	enum scram_hash hash, const struct scram_verifier *v);
ON_JOB int auth_remove(struct host *h, const char *user); /* also runs account_removed_hook */
/* The same for whoever shows the password: AUTH_WRONG. */
ON_JOB int auth_remove_with(struct host *h, const char *user, const char *password);
/* All that is kept here of an account whose source cannot remove it, or that is gone there:
 * AUTH_EXISTS when auth_remove() is what it takes. */
ON_JOB int auth_forget(struct host *h, const char *user);
ON_JOB int auth_list(struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg);
ON_JOB int auth_list_disabled(struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg);
ON_JOB int auth_count(struct host *h, uint64_t *out);
ON_JOB int auth_disable(struct host *h, const char *user); /* logins fail; sessions are not ended */
ON_JOB int auth_enable(struct host *h, const char *user);

/* For operators: the sources of a host in order. user NULL: nobody is asked for. */
struct auth_source_row {
	const char *name; /* as in auth_method */
	int knows; /* 0, AUTH_NO_SUCH_USER or a negative errno */
	bool here; /* its module runs */
	unsigned threads, running, waiting; /* of its own; calls */
	uint64_t silent_ms; /* since when it has left calls without an answer */
};
ON_JOB void auth_sources_each(struct host *h, const char *user,
	void (*fn)(const struct auth_source_row *row, void *arg), void *arg);
ANY_THREAD void auth_forget_answers(struct host *h); /* what sources have said of accounts */

/* After the account is gone, on a job thread. subject: struct jid, bare. */
extern struct hook account_removed_hook;

/* Asking from a shard: part of its owner's object. Requests about one account run in order; checks
 * of passwords are costly and have lanes of their own. */
enum auth_ask {
	AUTH_ASK_FIND, /* to log in with what is found */
	AUTH_ASK_CHECK,
	AUTH_ASK_TOKEN, /* the account, and the client that agent.id names */
	AUTH_ASK_UPGRADE, /* auth_set_verifier(), with the account as it was */
};
struct auth_request {
	enum auth_ask ask;
	struct host *host; /* counted */
	char *user; /* owned */
	int result; /* of auth_find(), auth_check() or auth_set_verifier() */
	struct auth_account account; /* with result 0, but for AUTH_ASK_CHECK. AUTH_ASK_UPGRADE: set
				      * by the caller before auth_ask() */
	struct user_agent agent; /* AUTH_ASK_TOKEN: .id set by the caller; the rest is found */
	enum scram_hash hash; /* AUTH_ASK_UPGRADE: set by the caller, as is verifier */
	struct scram_verifier verifier;
	/* Private. */
	char *password; /* owned; wiped as soon as it was checked */
	void (*done)(struct auth_request *r);
	struct job job;
	struct auth_walk *walk; /* owned, while it is asked */
};
/* done runs once, on the shard that asked, and owns r from then on. password: NULL to find. */
void auth_request_init(struct auth_request *r, enum auth_ask ask, struct host *h, const char *user,
	const char *password, void (*done)(struct auth_request *r));
void auth_request_fini(struct auth_request *r);
/* 0, or -EAGAIN: too much is being asked, and r is still the caller's. */
ANY_THREAD int auth_ask(struct auth_request *r) MUST_USE;

/* What a stranger sees in place of an account that is not there: the same salt for the same name
 * and hash every time, as long as the database lives, and keys that no password fits. */
ANY_THREAD void auth_fake_verifier(
	struct host *h, const char *user, enum scram_hash hash, struct scram_verifier *out);

/* Bytes for this text that nobody can foretell or turn back into it: the same ones every time, as
 * long as the database lives. */
#define AUTH_PSEUDONYM 16
ANY_THREAD void auth_pseudonym(const char *text, uint8_t out[AUTH_PSEUDONYM]);

/* main, after jobs_start() and before the first stream: opens the lanes and reads or makes the
 * secret behind auth_fake_verifier(). db NULL: a secret for this run alone. 0 or negative errno. */
ON_JOB int auth_start(struct db *db);
/* main, after the last stream and before jobs_stop(). */
void auth_stop(void);

/* --- router/password.c ----------------------------------------------------------------------- */

#define PASSWORD_MAX 1024 /* bytes, before and after it was prepared */
/* SASLprep (RFC 4013), which RFC 5802 §2.2 asks for. Writes at most PASSWORD_MAX bytes and a NUL;
 * 0, or -EINVAL: empty, too long or with characters that may not be. */
int password_prepare(const char *password, char *out);

#define SCRAM_ITERATIONS_MIN 4096 /* RFC 5802 §5.1, RFC 7677 §4 */
const EVP_MD *scram_digest(enum scram_hash hash);
size_t scram_key_bytes(enum scram_hash hash); /* of its digest, so of each key */
/* A key of at most scram_key_bytes(). False: out of memory. */
bool scram_hmac(enum scram_hash hash, const uint8_t *key, size_t key_len, const void *text,
	size_t len, uint8_t *out);
/* One place makes verifiers, of prepared passwords: fills v with a fresh salt. 0 or negative errno.
 */
ON_JOB int scram_make(
	enum scram_hash hash, const char *password, uint32_t iterations, struct scram_verifier *v);
bool scram_salt(struct scram_verifier *v); /* v->salt_len bytes of it. False: no random */
/* The keys that belong to a SaltedPassword of scram_key_bytes(). False: out of memory. */
bool scram_keys(enum scram_hash hash, const uint8_t *salted, struct scram_verifier *v);
/* A verifier as RFC 5803 §3 writes it: "SCRAM-SHA-256$4096:salt$stored:server". False: it is none.
 */
bool scram_read(const char *text, enum scram_hash *hash, struct scram_verifier *v);
/* The same from its parts, keys and salt in base64. v->iterations is 0 when one of them is wrong.
 */
struct scram_part {
	const char *text;
	size_t len;
};
bool scram_read_parts(enum scram_hash hash, struct scram_part stored, struct scram_part server,
	struct scram_part salt, int64_t iterations, struct scram_verifier *v);
/* The keys that belong to v's salt and iterations. */
ON_JOB int scram_derive(enum scram_hash hash, const char *password, struct scram_verifier *v);
/* Compares in equal time. */
ON_JOB bool scram_check(enum scram_hash hash, const char *password, const struct scram_verifier *v);
