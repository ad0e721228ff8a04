/* cmd/linnetd_certificates.c - which certificates a reload brings, takes away or replaces. Two of
 * the same names in the same file are one that was replaced, unless their digests are the same. */
#include <stdlib.h>
#include <string.h>

#include "cmd/linnetd.h"
#include "core/mem.h"
#include "net/tls.h"

struct known_certificate {
	char *label; /* "a.example, *.a.example in FILE" */
	char *until, *digest;
	bool matched; /* its counterpart is found */
};
struct known_certificates {
	struct known_certificate *at;
	size_t n;
};

static void know_certificate(const struct tls_cert_info *ci, void *arg)
{
	struct known_certificates *k = arg;
	json_t *until = time_value(ci->not_after);

	k->at = xrealloc(k->at, (k->n + 1) * sizeof(*k->at));
	k->at[k->n++] = (struct known_certificate){
		.label = xprintf("%s in %s", ci->names, ci->file),
		.until = xprintf("valid until %s", json_string_value(until)),
		.digest = xstrdup(ci->digest),
	};
	json_decref(until);
}

static void forget_certificates(struct known_certificates *k)
{
	for (size_t i = 0; i < k->n; i++) {
		free(k->at[i].label);
		free(k->at[i].until);
		free(k->at[i].digest);
	}
	free(k->at);
}

/* One of the same label, and the same digest if that is given, that has no counterpart yet; which
 * it has from then on. NULL: there is none. */
static struct known_certificate *match(
	struct known_certificates *k, const char *label, const char *digest)
{
	for (size_t i = 0; i < k->n; i++) {
		struct known_certificate *c = &k->at[i];

		if (c->matched || strcmp(c->label, label) != 0 ||
			(digest && strcmp(c->digest, digest) != 0))
			continue;
		c->matched = true;
		return c;
	}
	return NULL;
}

void certificate_differences(
	struct tls_store *store, const struct tls_change *change, difference_fn *fn, void *arg)
{
	struct known_certificates was = { 0 }, now = { 0 };

	tls_store_each(store, know_certificate, &was);
	tls_change_each(change, know_certificate, &now);
	for (size_t i = 0; i < was.n; i++)
		was.at[i].matched = match(&now, was.at[i].label, was.at[i].digest);
	for (size_t i = 0; i < was.n; i++) {
		const struct known_certificate *old = &was.at[i];
		const struct known_certificate *next =
			old->matched ? NULL : match(&now, old->label, NULL);

		if (!old->matched)
			fn(&(struct difference){ next ? '~' : '-', "certificate",
				   .name = old->label, .before = old->until,
				   .after = next ? next->until : NULL },
				arg);
	}
	for (size_t i = 0; i < now.n; i++)
		if (!now.at[i].matched)
			fn(&(struct difference){ '+', "certificate", .name = now.at[i].label,
				   .after = now.at[i].until },
				arg);
	forget_certificates(&was);
	forget_certificates(&now);
}
