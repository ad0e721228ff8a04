/* core/db_stmt.c - statements and the values they take and give; what a failure of one leaves
 * behind. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/db_inside.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/metric.h"

/* --- failures -------------------------------------------------------------------------------- */

/* By kind, so that a flood of one does not hide another. */
static struct failure_kind {
	int error; /* 0: any other */
	struct metric count;
	struct log_seldom seldom;
} failure_kinds[] = {
	{ -ENOSPC,
		METRIC_COUNTER_OF("db_errors_total", "kind=\"full\"", "Failures of the database") },
	{ -EBUSY,
		METRIC_COUNTER_OF("db_errors_total", "kind=\"busy\"", "Failures of the database") },
	{ -EIO, METRIC_COUNTER_OF("db_errors_total", "kind=\"io\"", "Failures of the database") },
	{ 0, METRIC_COUNTER_OF("db_errors_total", "kind=\"other\"", "Failures of the database") },
};

void db_failed(struct db_conn *c, const char *what, int error)
{
	struct failure_kind *k = failure_kinds;
	uint32_t left_out;

	if (error == -EEXIST || error == -ENOENT)
		return; /* an answer, not a failure */
	while (k->error && k->error != error)
		k++;
	metric_add(&k->count, 1);
	if (log_seldom(&k->seldom, &left_out))
		log_error("db", "failed", L_STR("statement", what),
			L_STR("cause", c->driver->error(c)),
			L_STR("error", strerrordesc_np(-error)), L_INT("left_out", left_out));
}

/* How long one statement may take before it is told of. */
static _Atomic int64_t slow_ms;
static struct metric slow = METRIC_COUNTER(
	"db_slow_total", "Statements and commits that took longer than slow_warning");

void db_slow_warning(int64_t ms)
{
	atomic_store_explicit(&slow_ms, ms, memory_order_relaxed);
}

static void took(const char *what, uint64_t began_us)
{
	static struct log_seldom seldom;
	int64_t limit_ms = atomic_load_explicit(&slow_ms, memory_order_relaxed);
	int64_t took_ms = (int64_t)(clock_us() - began_us) / 1000;
	uint32_t left_out;

	if (likely(!limit_ms || took_ms <= limit_ms))
		return;
	metric_add(&slow, 1);
	if (log_seldom(&seldom, &left_out))
		log_warning("db", "slow", L_STR("statement", what), L_INT("ms", took_ms),
			L_INT("left_out", left_out));
}

void db_failures_register(void)
{
	metric_register(&slow);
	for (unsigned i = 0; i < ARRAY_LEN(failure_kinds); i++)
		metric_register(&failure_kinds[i].count);
}

/* --- values ---------------------------------------------------------------------------------- */

struct db_value db_text(const char *text)
{
	return text ? db_text_n(text, strlen(text)) : db_null();
}

static const struct db_value *value_at(const struct db_row *r, unsigned col)
{
	REQUIRE(col < r->n);
	return &r->at[col];
}

int64_t db_row_int(const struct db_row *r, unsigned col)
{
	const struct db_value *v = value_at(r, col);

	switch (v->type) {
	case DB_INT:
		return v->number;
	case DB_DOUBLE:
		return v->real >= -0x1p63 && v->real < 0x1p63 ? (int64_t)v->real : 0;
	case DB_TEXT:
		return strtoll(v->bytes, NULL, 10);
	default:
		return 0;
	}
}

int db_take_int(const struct db_row *r, void *arg)
{
	*(int64_t *)arg = db_row_int(r, 0);
	return 1;
}

double db_row_double(const struct db_row *r, unsigned col)
{
	const struct db_value *v = value_at(r, col);

	switch (v->type) {
	case DB_INT:
		return (double)v->number;
	case DB_DOUBLE:
		return v->real;
	case DB_TEXT:
		return strtod(v->bytes, NULL);
	default:
		return 0;
	}
}

const char *db_row_text(const struct db_row *r, unsigned col)
{
	const struct db_value *v = value_at(r, col);

	return v->type == DB_TEXT ? v->bytes : "";
}

const void *db_row_blob(const struct db_row *r, unsigned col, size_t *out_len)
{
	const struct db_value *v = value_at(r, col);
	bool has_bytes = v->type == DB_BLOB || v->type == DB_TEXT;

	*out_len = has_bytes ? v->len : 0;
	return has_bytes ? v->bytes : "";
}

bool db_row_is_null(const struct db_row *r, unsigned col)
{
	return value_at(r, col)->type == DB_NULL;
}

/* --- statements ------------------------------------------------------------------------------ */

static unsigned index_of(struct db_stmt *s)
{
	static _Atomic unsigned next = DB_STMT_FIRST;
	unsigned index = atomic_load_explicit(&s->index, memory_order_relaxed);
	unsigned fresh;

	if (likely(index))
		return index;
	fresh = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed);
	if (atomic_compare_exchange_strong(&s->index, &index, fresh))
		return fresh;
	return index; /* another thread was first */
}

static void write_marks(FILE *out, const char *columns, const char **comma)
{
	const char *p = columns;

	while (*(p += strspn(p, ", "))) {
		fprintf(out, "%s?", *comma);
		*comma = ", ";
		p += strcspn(p, ", ");
	}
}

char *db_insert_sql(const struct db_stmt *s)
{
	const char *comma = "";
	char *sql = NULL;
	size_t len;
	FILE *out = open_memstream(&sql, &len);

	REQUIRE(out);
	fprintf(out, "INSERT INTO %s (%s%s%s) VALUES (", s->table, s->keys, *s->values ? ", " : "",
		s->values);
	write_marks(out, s->keys, &comma);
	write_marks(out, s->values, &comma);
	fputc(')', out);
	REQUIRE(fclose(out) == 0);
	return sql;
}

/* A row function's own failure is not the database's. */
struct rows {
	db_row_fn *fn;
	void *arg;
	int answer;
};

static int hand_on(const struct db_row *r, void *arg)
{
	struct rows *rows = arg;

	return rows->answer = rows->fn(r, rows->arg);
}

int db_query(struct db_conn *c, struct db_stmt *s, struct db_params params, db_row_fn *fn,
	void *arg, int64_t *changed)
{
	struct rows taker = { .fn = fn, .arg = arg };
	uint64_t began_us = clock_us();
	int rows, error;

	error = c->driver->query(
		c, s, index_of(s), params, fn ? hand_on : NULL, &taker, &rows, changed);
	took(s->name, began_us);
	if (error) {
		db_failed(c, s->name, error);
		return error;
	}
	return taker.answer < 0 ? taker.answer : rows;
}

int db_control(struct db_conn *c, enum db_control what, const char *name)
{
	uint64_t began_us = clock_us();
	int error = c->driver->control(c, what);

	took(name, began_us);
	if (error)
		db_failed(c, name, error);
	return error;
}
