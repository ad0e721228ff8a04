/* modules/vcard.h - what the parts of modules/vcard share, and who is told of a change. */
#pragma once

#include "core/hook.h"
#include "modules/module.h"

enum vcard_listing { VCARD_LIST_WANTED, VCARD_LIST_EVERYBODY };

/* The server's own vCard; NULL: not said. */
struct vcard_own {
	const char *fn, *nickname, *orgname, *url, *email, *jabberid, *desc;
};
struct vcard_conf {
	int64_t max_bytes;
	int64_t max_photo_bytes;
	const char *access;
	struct vcard_own vcard;
	/* Of the directory. */
	bool search;
	const char *host;
	const char *name;
	const char *access_search;
	int listing; /* enum vcard_listing */
	int64_t matches;
	bool allow_return_all;
};

/* An account has another picture than before; on a job thread or the control thread, in the host's
 * set, after it was stored. */
struct vcard_photo_change {
	struct host *host;
	const struct jid *account; /* bare or full */
	const char *hash; /* of XEP-0153; "" for none */
};
extern struct hook vcard_photo_hook; /* subject: struct vcard_photo_change */

/* The vCard of the server, in the answer. */
void vcard_build_own(struct builder *answer, const struct vcard_own *own);

/* For an operator: as vcard_delete(), and everybody is told. */
ON_JOB int vcard_remove(struct host *h, const struct jid *account);

/* modules/people.c */
struct people;
/* Serves the domain; for start(). 0 or negative errno. */
int people_start(struct module_instance *mi, struct people **out);
void people_stop(struct people *p); /* NULL is fine */
void people_register_metrics(void);
