/* modules/sql_text.c - marks become question marks, outside of what SQL quotes. */
#include "modules/sql_text.h"

#include <string.h>

#include "core/mem.h"

/* The end of what is quoted at p: 'text', "name", `name` or [name]; its closing character may be
 * doubled. NULL: it does not end. */
static const char *quoted_end(const char *p)
{
	char close = *p == '[' ? ']' : *p;

	for (p++; *p; p++) {
		if (*p != close)
			continue;
		if (p[1] != close || close == ']')
			return p + 1;
		p++;
	}
	return NULL;
}

/* One mark; p points behind the %. NULL, or what is wrong. */
static const char *take_mark(char mark, const char *allowed, struct sql_text *out, char **to)
{
	if (mark == '%') {
		*(*to)++ = '%';
		return NULL;
	}
	if (!mark || !strchr(allowed, mark))
		return "a query with %u for the user and %d for the host (%% is a percent sign)";
	if (out->n == SQL_TEXT_MARKS)
		return "a query with fewer parameters";
	out->marks[out->n++] = mark;
	*(*to)++ = '?';
	return NULL;
}

const char *sql_text_read(
	const char *text, const char *allowed, struct arena *a, struct sql_text *out)
{
	char *sql = arena_alloc(a, strlen(text) + 1), *to = sql;
	const char *wrong = NULL, *end;

	*out = (struct sql_text){ 0 };
	while (!wrong && *text) {
		if (strchr("'\"`[", *text)) {
			end = quoted_end(text);
			if (!end)
				return "a query whose quotes are closed";
			if (end - text == 4 && text[1] == '%' && strchr(allowed, text[2]))
				return "a query without quotes around %u and the like";
			to = mempcpy(to, text, (size_t)(end - text));
			text = end;
		} else if (*text == '%') {
			wrong = take_mark(text[1], allowed, out, &to);
			text += 2;
		} else if (text[0] == ':' && text[1] == ':') { /* PostgreSQL's cast */
			to = mempcpy(to, text, 2);
			text += 2;
		} else if (strchr("?:@$;", *text)) {
			return "a single query without parameters but %u and the like";
		} else {
			*to++ = *text++;
		}
	}
	*to = 0;
	out->stmt = (struct db_stmt)DB_STMT("auth_sql", sql);
	return wrong;
}

struct db_params sql_text_fill(
	const struct sql_text *q, const struct sql_text_values *v, struct db_value *at)
{
	for (unsigned i = 0; i < q->n; i++)
		at[i] = q->marks[i] == 'u'   ? db_text(v->user)
			: q->marks[i] == 'd' ? db_text(v->host)
			: q->marks[i] == 'a' ? db_text(v->after)
					     : db_int(v->max);
	return (struct db_params){ at, q->n };
}
