/* tests/support/accounts.h - an authentication backend in memory, for unit tests of modules.
 * Fails as if the database were away while accounts_away is set. */
#pragma once

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "router/auth.h"

#define ACCOUNTS_MAX 32
struct accounts {
	pthread_mutex_t lock;
	unsigned n;
	struct {
		char *user, *password;
	} at[ACCOUNTS_MAX];
	bool away;
	bool read_only;
	struct host *host;
};

static inline int accounts_position(struct accounts *a, const char *user)
{
	for (unsigned i = 0; i < a->n; i++)
		if (strcmp(a->at[i].user, user) == 0)
			return (int)i;
	return -1;
}

static inline int accounts_find(
	void *arg, struct host *h UNUSED, const char *user, struct auth_account *out)
{
	struct accounts *a = arg;
	int at;

	pthread_mutex_lock(&a->lock);
	at = accounts_position(a, user);
	pthread_mutex_unlock(&a->lock);
	*out = (struct auth_account){ 0 };
	return a->away ? -EIO : at < 0 ? AUTH_NO_SUCH_USER : 0;
}

static inline int accounts_create(
	void *arg, struct host *h UNUSED, const char *user, const char *password)
{
	struct accounts *a = arg;
	int result = a->away ? -EIO : a->read_only ? AUTH_READ_ONLY : 0;

	pthread_mutex_lock(&a->lock);
	if (!result && accounts_position(a, user) >= 0)
		result = AUTH_EXISTS;
	if (!result) {
		REQUIRE(a->n < ACCOUNTS_MAX);
		a->at[a->n].user = xstrdup(user);
		a->at[a->n++].password = xstrdup(password);
	}
	pthread_mutex_unlock(&a->lock);
	return result;
}

static inline int accounts_set_password(
	void *arg, struct host *h UNUSED, const char *user, const char *password)
{
	struct accounts *a = arg;
	int at, result = a->away ? -EIO : a->read_only ? AUTH_READ_ONLY : 0;

	pthread_mutex_lock(&a->lock);
	at = accounts_position(a, user);
	if (!result && at < 0)
		result = AUTH_NO_SUCH_USER;
	if (!result) {
		free(a->at[at].password);
		a->at[at].password = xstrdup(password);
	}
	pthread_mutex_unlock(&a->lock);
	return result;
}

static inline int accounts_remove(void *arg, struct host *h UNUSED, const char *user)
{
	struct accounts *a = arg;
	int at, result = a->away ? -EIO : a->read_only ? AUTH_READ_ONLY : 0;

	pthread_mutex_lock(&a->lock);
	at = accounts_position(a, user);
	if (!result && at < 0)
		result = AUTH_NO_SUCH_USER;
	if (!result) {
		free(a->at[at].user);
		free(a->at[at].password);
		a->at[at] = a->at[--a->n];
	}
	pthread_mutex_unlock(&a->lock);
	return result;
}

static const struct auth_backend accounts_backend = {
	.name = "memory",
	.find = accounts_find,
	.create = accounts_create,
	.set_password = accounts_set_password,
	.remove = accounts_remove,
};

/* Before anybody asks. */
static inline void accounts_begin(struct accounts *a, struct host *h)
{
	*a = (struct accounts){ .lock = PTHREAD_MUTEX_INITIALIZER };
	a->host = h;
	auth_source_add(h, &accounts_backend, a, NULL);
}

static inline void accounts_end(struct accounts *a)
{
	while (a->n > 0) {
		free(a->at[--a->n].user);
		free(a->at[a->n].password);
	}
}

/* The password, or NULL for no such account. */
static inline const char *accounts_password(struct accounts *a, const char *user)
{
	int at = accounts_position(a, user);

	return at < 0 ? NULL : a->at[at].password;
}
