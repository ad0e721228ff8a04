/* modules/ldap.h - questions to an organisation's directory (LDAP v3, RFC 4511), by libldap over a
 * pool of connections. A connection is made when a call finds none idle, goes to the first server
 * that answers, and is dropped when anything but an answer comes; a call tries again, once, when a
 * connection that had lain idle turns out to be dead. Every call blocks, for no longer than the
 * setting ldap_timeout for each thing that is asked; any thread, registered with RCU or not. */
#pragma once

#include "core/conf.h"

enum ldap_encrypt { LDAP_ENCRYPT_NONE, LDAP_ENCRYPT_STARTTLS, LDAP_ENCRYPT_TLS };
enum ldap_verify { LDAP_VERIFY_NO, LDAP_VERIFY_SOFT, LDAP_VERIFY_HARD };

/* An attribute that names a user, and what stands in it: "mail", "%u@example.org". */
struct ldap_uid {
	const char *name;
	const char *pattern;
};
/* The settings ldap_*, as ejabberd names them. */
struct ldap_conf {
	struct conf_list servers, backups; /* of const char *: names or addresses */
	int64_t port; /* 0: 389, or 636 with LDAP_ENCRYPT_TLS */
	int encrypt; /* enum ldap_encrypt */
	int verify; /* enum ldap_verify */
	const char *cacertfile; /* NULL: the system's authorities */
	const char *rootdn, *password; /* NULL: anonymously */
	const char *base;
	int deref; /* as libldap numbers them */
	struct conf_list uids; /* of struct ldap_uid */
	const char *filter; /* NULL: none */
	const char *group_base; /* NULL: base */
	const char *group_filter; /* NULL: none */
	int64_t timeout_ms;
	int64_t pool_size;
};
extern const struct conf_item ldap_items[];
/* For a module's check(): NULL, or what is wrong. */
const char *ldap_conf_check(const struct ldap_conf *conf, struct arena *a);

struct ldap_pool;
/* Connects to nobody yet. conf is copied. */
struct ldap_pool *ldap_pool_new(const struct ldap_conf *conf);
void ldap_pool_free(struct ldap_pool *p); /* no call is under way; NULL is fine */
const struct ldap_conf *ldap_pool_conf(const struct ldap_pool *p);

/* What stands for %u, %d and %D in a template; NULL: stays as it is. */
struct ldap_names {
	const char *user, *domain, *dn;
};
/* A filter of a template, with each name's special characters escaped: RFC 4515 §3. The caller
 * frees. */
char *ldap_fill(const char *template, const struct ldap_names *names)
	__attribute__((returns_nonnull));
/* The filter that finds one user, or with user NULL everybody: the attributes of ldap_uids, and
 * ldap_filter. The caller frees. */
char *ldap_user_filter(const struct ldap_conf *conf, const char *user, const char *domain)
	__attribute__((returns_nonnull));
/* The user that a value of this attribute names: NULL, none. The caller frees. */
char *ldap_user_of(const struct ldap_uid *uid, const char *value, const char *domain);

/* Good during the callback. */
struct ldap_entry;
const char *ldap_entry_dn(const struct ldap_entry *e);
/* Each value of an attribute, as text. */
void ldap_entry_values(const struct ldap_entry *e, const char *attribute,
	void (*fn)(const char *value, void *arg), void *arg);

/* What fn gets are entries below base that the filter fits, at most max of them (0: all, in pages
 * where the server has them: RFC 2696); attributes ends with NULL. 0 or a negative errno. */
int ldap_pool_search(struct ldap_pool *p, const char *base, const char *filter,
	const char *const *attributes, unsigned max,
	void (*fn)(const struct ldap_entry *e, void *arg), void *arg);
/* Whether the password is this entry's: binds as it. An empty one never is, though servers take it
 * for anonymity (RFC 4513 §5.1.2). 0, LDAP_POOL_WRONG or a negative errno. */
#define LDAP_POOL_WRONG 1
int ldap_pool_bind(struct ldap_pool *p, const char *dn, const char *password);
/* Sets it (RFC 3062), as ldap_rootdn. 0, LDAP_POOL_WRONG when the server will not have it, or a
 * negative errno. */
int ldap_pool_set_password(struct ldap_pool *p, const char *dn, const char *password);
