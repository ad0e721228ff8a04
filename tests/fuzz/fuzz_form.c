/* Data forms as peers fill them in: whatever they hold is read without looking elsewhere. */
#include <string.h>

#include "core/mem.h"
#include "xml/form.h"
#include "xml/parser.h"

static const char *const options[] = { "a", "b", NULL };
static const struct form_row rows[] = { { "v", FORM_TEXT_SINGLE, .required = true },
	{ "o", FORM_LIST_SINGLE, .options = options }, { 0 } };

static void read_form(const struct elem *form)
{
	struct arena a;
	const char *const *values;
	const char *one, *all;
	unsigned n;

	arena_init(&a, NULL, 0);
	one = form_text(form, "v", &a);
	all = form_joined(form, "v", &a);
	values = form_values(form, "v", &a, &n);
	REQUIRE(!one == !all && !values[n]);
	if (n)
		REQUIRE(strcmp(values[0], one) == 0 && strncmp(all, one, strlen(one)) == 0);
	if (!one || !*one)
		REQUIRE(form_missing(form, rows, &a) == &rows[0]);
	form_flag(form, "v", false, &a);
	form_is(form, "submit");
	arena_fini(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct parser_limits limits = { 65536, PARSER_DEPTH, PARSER_ATTRS };
	struct stanza *s;

	if (parse_element((const char *)data, size, &limits, &s) != PARSER_OK)
		return 0;
	read_form(form_in(s->root));
	read_form(s->root);
	stanza_unref(s);
	return 0;
}
