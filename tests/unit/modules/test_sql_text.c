/* Queries from the settings: what stands for a name becomes a parameter, whatever is around it. */
#include "modules/sql_text.h"

#include <criterion/criterion.h>

static const struct {
	const char *text, *sql, *marks; /* sql NULL: refused */
} rows[] = {
	{ "SELECT a FROM t WHERE b = %u AND c = %d", "SELECT a FROM t WHERE b = ? AND c = ?",
		"ud" },
	{ "%u%u%d", "???", "uud" },
	{ "a LIKE 'x%' AND b = %u", "a LIKE 'x%' AND b = ?", "u" },
	{ "\"%u x\" '?' `;` [:x] 10 %% 3", "\"%u x\" '?' `;` [:x] 10 % 3", "" },
	{ "'it''s' = %u", "'it''s' = ?", "u" },
	{ "x::text = %u", "x::text = ?", "u" },
	{ "", "", "" },
	{ "a = '%u'", NULL, NULL },
	{ "a = \"%d\"", NULL, NULL },
	{ "a = 'b", NULL, NULL },
	{ "a = 'b''", NULL, NULL },
	{ "a = %x", NULL, NULL },
	{ "a = %a", NULL, NULL },
	{ "a = %", NULL, NULL },
	{ "a = ?", NULL, NULL },
	{ "a = :b", NULL, NULL },
	{ "a = $1", NULL, NULL },
	{ "a = @b", NULL, NULL },
	{ "a; DROP TABLE b", NULL, NULL },
	{ "%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u%u", NULL, NULL },
};

Test(sql_text, marks_become_parameters)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena a;
		struct sql_text q;
		const char *wrong;

		arena_init(&a, NULL, 0);
		wrong = sql_text_read(rows[i].text, "ud", &a, &q);
		cr_expect_eq(!wrong, rows[i].sql != NULL, "%s: %s", rows[i].text, wrong);
		if (!wrong && rows[i].sql) {
			cr_expect_str_eq(q.stmt.sql, rows[i].sql);
			cr_expect_eq(q.n, strlen(rows[i].marks), "%s", rows[i].text);
			cr_expect_eq(memcmp(q.marks, rows[i].marks, q.n), 0, "%s", rows[i].text);
		}
		arena_fini(&a);
	}
}

Test(sql_text, values_come_in_the_order_of_the_marks)
{
	const struct sql_text_values v = {
		.user = "romeo", .host = "example.org", .after = "paris", .max = 7
	};
	struct db_value at[SQL_TEXT_MARKS];
	struct db_params params;
	struct arena a;
	struct sql_text q;

	arena_init(&a, NULL, 0);
	cr_assert_null(sql_text_read("%n %u %a %d", "udan", &a, &q));
	params = sql_text_fill(&q, &v, at);
	cr_assert_eq(params.n, 4);
	cr_expect_eq(params.at[0].number, 7);
	cr_expect_str_eq(params.at[1].bytes, "romeo");
	cr_expect_str_eq(params.at[2].bytes, "paris");
	cr_expect_str_eq(params.at[3].bytes, "example.org");
	arena_fini(&a);
}
