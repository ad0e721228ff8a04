/* modules/mam_operator.c - archives as operators look at them, cut them short and carry them away.
 */
#include "modules/mam.h"

#include <errno.h>

#include "core/spool.h"
#include "modules/datetime.h"
#include "modules/mam_inside.h"
#include "xml/parser.h"

#define AT_ONCE 100 /* messages read or deleted */
#define NS_PIE "urn:xmpp:pie:0"
#define NS_PIE_MAM "urn:xmpp:pie:0#mam"

int mam_summary(const char *host, const char *name, struct mam_summary *out)
{
	struct message_range range = { .last = INT64_MAX };
	uint64_t first, last;
	int found;

	*out = (struct mam_summary){ 0 };
	message_log_settle();
	found = message_archive_account(db_main(), host, name, &range.account);
	if (found <= 0)
		return found;
	found = message_archive_ends(db_main(), range.account, 0, &first, &last);
	if (found <= 0)
		return found;
	out->first_us = message_time_us(first);
	out->last_us = message_time_us(last);
	out->messages = message_archive_count(db_main(), &range);
	return out->messages < 0 ? (int)out->messages : 0;
}

/* ---- Deleting */

struct purge {
	int64_t account;
	uint64_t below;
};

static int run_purge(struct db_tx *tx, void *arg)
{
	const struct purge *p = arg;

	return message_archive_trim(tx, p->account, p->below, AT_ONCE);
}

int64_t mam_purge(const char *host, const char *name, int64_t before_us)
{
	struct purge p = { .below = before_us > 0 ? message_first_id(before_us) : 0 };
	int64_t deleted = 0;
	int n;

	message_log_settle();
	n = message_archive_account(db_main(), host, name, &p.account);
	if (n <= 0)
		return n;
	do {
		n = db_write(db_main(), run_purge, &p);
		deleted += n > 0 ? n : 0;
	} while (n == AT_ONCE);
	return n < 0 ? n : deleted;
}

/* ---- Exporting */

struct export
{
	FILE *out;
	uint64_t last;
	int64_t n;
};

static const struct parser_limits body_limits = { SPOOL_RECORD_MAX, PARSER_DEPTH, UINT16_MAX };

static void write_tree(FILE *out, const struct elem *e, const char *outer_ns)
{
	struct buf *wire = NULL;

	elem_wire(e, outer_ns, &wire);
	fwrite(wire->data, 1, wire->len, out);
	fputc('\n', out);
	buf_unref(wire);
}

static int export_one(const struct message_found *m, void *arg)
{
	struct export *x = arg;
	struct stanza *s;
	struct builder b;

	x->last = m->id;
	if (parse_stanza(m->body, m->body_len, &body_limits, &s)) {
		log_error(
			"archive", "a stored message cannot be read", L_INT("id", (int64_t)m->id));
		return 0;
	}
	build_begin(&b, "archive", NS_PIE_MAM);
	mam_build_result(&b, NULL, m, s);
	write_tree(x->out, elem_first(b.stanza->root), NS_PIE_MAM);
	build_drop(&b);
	stanza_unref(s);
	x->n++;
	return ferror(x->out) ? -errno : 0;
}

/* The start tags around all messages: what a tree with nothing in it begins with. */
static void write_head(FILE *out, const char *host, const char *name)
{
	struct buf *wire = NULL;
	struct builder b;

	build_begin(&b, "server-data", NS_PIE);
	build_open(&b, "host", NULL);
	build_attr(&b, "jid", host);
	build_open(&b, "user", NULL);
	build_attr(&b, "name", name);
	build_open(&b, "archive", NS_PIE_MAM);
	build_close(&b);
	elem_wire(b.stanza->root, "", &wire);
	/* ...<archive xmlns='...'/></user></host></server-data> */
	fprintf(out, "<?xml version='1.0' encoding='UTF-8'?>\n%.*s>\n",
		(int)(wire->len - sizeof("/></user></host></server-data>") + 1), wire->data);
	buf_unref(wire);
	build_drop(&b);
}

int64_t mam_export(const char *host, const char *name, FILE *out)
{
	struct message_range range = { .last = INT64_MAX };
	struct export x = { .out = out };
	int n;

	message_log_settle();
	n = message_archive_account(db_main(), host, name, &range.account);
	if (n < 0)
		return n;
	write_head(out, host, name);
	for (bool more = n > 0; more; more = n == AT_ONCE) {
		range.first = x.last + 1;
		n = message_archive_find(db_main(), &range, AT_ONCE, export_one, &x);
		if (n < 0)
			return n;
	}
	fputs("</archive></user></host></server-data>\n", out);
	return fflush(out) ? -errno : x.n;
}
