/* modules/erase.c - a removed account's rows, deleted by the writer. */
#include "modules/erase.h"

#include <errno.h>
#include <stdlib.h>

#include "core/log.h"
#include "core/mem.h"

struct erasure {
	struct db_work work;
	struct db_stmt *const *stmts;
	const char *part;
	struct jid *account; /* owned */
};

static int run_erasure(struct db_tx *tx, struct db_work *w)
{
	const struct erasure *e = container_of(w, struct erasure, work);

	for (struct db_stmt *const *s = e->stmts; *s; s++) {
		int result = db_run(tx, *s,
			DB_PARAMS(db_text(jid_domain(e->account)), db_text(jid_local(e->account))));

		if (result < 0)
			return result;
	}
	return 0;
}

static void erasure_done(struct db_work *w)
{
	struct erasure *e = container_of(w, struct erasure, work);
	char account[JID_TEXT_MAX];

	if (w->result < 0) {
		jid_write_bare(e->account, account);
		log_error(e->part, "what a removed account had stored is still there",
			L_STR("account", account), L_STR("cause", strerrordesc_np(-w->result)));
	}
	jid_free(e->account);
	free(e);
}

void erase_account(const struct jid *account, struct db_stmt *const *stmts, const char *part)
{
	struct erasure *e = xcalloc(1, sizeof(*e));

	e->work.run = run_erasure;
	e->work.done = erasure_done;
	e->stmts = stmts;
	e->part = part;
	e->account = jid_bare(account, NULL);
	if (db_write_later(db_main(), &e->work) == 0)
		return;
	e->work.result = -EAGAIN;
	erasure_done(&e->work);
}
