/* modules/erase.h - what modules keep of an account goes when the account goes.
 * For functions on account_removed_hook, which may not wait for the database. */
#pragma once

#include "core/attr.h"
#include "core/db.h"
#include "xml/jid.h"

/* Runs the statements, in order and in one write, each with the parameters (host, name). part: who
 * asks, for the log when it cannot be done. stmts ends with NULL and outlives the server. */
ANY_THREAD void erase_account(
	const struct jid *account, struct db_stmt *const *stmts, const char *part);
