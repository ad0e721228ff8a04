/* xml/form.c - data forms as trees. */
#include "xml/form.h"

#include <string.h>

#include "core/lang.h"

static const char *const type_names[] = {
	[FORM_TEXT_SINGLE] = "text-single",
	[FORM_TEXT_PRIVATE] = "text-private",
	[FORM_TEXT_MULTI] = "text-multi",
	[FORM_BOOLEAN] = "boolean",
	[FORM_LIST_SINGLE] = "list-single",
	[FORM_LIST_MULTI] = "list-multi",
	[FORM_JID_SINGLE] = "jid-single",
	[FORM_JID_MULTI] = "jid-multi",
	[FORM_FIXED] = "fixed",
	[FORM_HIDDEN] = "hidden",
};

/* ---- Building */

void form_open(struct builder *b, const char *type, const char *form_type)
{
	form_open_titled(b, type, form_type, NULL, NULL, NULL);
}

void form_open_titled(struct builder *b, const char *type, const char *form_type, const char *lang,
	const char *title, const char *instructions)
{
	build_open(b, "x", NS_DATA);
	build_attr(b, "type", type);
	if (title)
		build_text(b, "title", tr(lang, title));
	if (instructions)
		build_text(b, "instructions", tr(lang, instructions));
	if (!form_type)
		return;
	build_open(b, "field", NULL);
	build_attr(b, "var", "FORM_TYPE");
	build_attr(b, "type", "hidden");
	form_value(b, form_type);
	build_close(b);
}

void form_field(struct builder *b, const char *lang, const struct form_row *row)
{
	build_open(b, "field", NULL);
	build_attr(b, "var", row->var);
	build_attr(b, "type", type_names[row->type]);
	if (row->label)
		build_attr(b, "label", tr(lang, row->label));
	if (row->required)
		build_text(b, "required", NULL);
	for (const char *const *o = row->options; o && *o; o++) {
		build_open(b, "option", NULL);
		build_attr(b, "label", *o);
		form_value(b, *o);
		build_close(b);
	}
}

void form_value(struct builder *b, const char *value)
{
	build_text(b, "value", value);
}

void form_lines(struct builder *b, const char *text)
{
	for (;;) {
		size_t len = strcspn(text, "\n");

		build_open(b, "value", NULL);
		build_cdata(b, text, len);
		build_close(b);
		if (!text[len])
			return;
		text += len + 1;
	}
}

void form_result(struct builder *b, const char *lang, const struct form_row *row, const char *value)
{
	form_field(b, lang, row);
	if (value && row->type == FORM_TEXT_MULTI)
		form_lines(b, value);
	else if (value)
		form_value(b, value);
	build_close(b);
}

/* ---- Reading */

const struct elem *form_in(const struct elem *e)
{
	return elem_child(e, "x", NS_DATA);
}

bool form_is(const struct elem *form, const char *type)
{
	const char *given = form ? elem_attr(form, "type") : NULL;

	return given && strcmp(given, type) == 0;
}

const struct elem *form_find(const struct elem *form, const char *var)
{
	if (!form)
		return NULL;
	elem_each_child (form, field) {
		const char *name = elem_attr(field, "var");

		if (name && elem_is(field, "field", NS_DATA) && strcmp(name, var) == 0)
			return field;
	}
	return NULL;
}

const char *form_text(const struct elem *form, const char *var, struct arena *a)
{
	const struct elem *field = form_find(form, var);
	const char *value = field ? elem_child_text(field, "value", NS_DATA, a) : NULL;

	return field && !value ? "" : value;
}

const char *const *form_values(
	const struct elem *form, const char *var, struct arena *a, unsigned *out_n)
{
	const struct elem *field = form_find(form, var);
	const char **values;
	unsigned n = 0;

	if (field)
		elem_each_child (field, value)
			n += elem_is(value, "value", NS_DATA);
	values = arena_alloc(a, (n + 1) * sizeof(*values));
	n = 0;
	if (field)
		elem_each_child (field, value)
			if (elem_is(value, "value", NS_DATA))
				values[n++] = elem_text(value, a);
	values[n] = NULL;
	*out_n = n;
	return values;
}

const char *form_joined(const struct elem *form, const char *var, struct arena *a)
{
	unsigned n;
	const char *const *values = form_values(form, var, a, &n);
	size_t bytes = 1;
	char *text, *at;

	if (!form_find(form, var))
		return NULL;
	for (unsigned i = 0; i < n; i++)
		bytes += strlen(values[i]) + 1;
	at = text = arena_alloc(a, bytes);
	for (unsigned i = 0; i < n; i++) {
		if (i)
			*at++ = '\n';
		at = stpcpy(at, values[i]);
	}
	*at = '\0';
	return text;
}

bool form_flag(const struct elem *form, const char *var, bool absent, struct arena *a)
{
	const char *value = form_text(form, var, a);

	return value ? strcmp(value, "1") == 0 || strcmp(value, "true") == 0 : absent;
}

static bool is_option(const struct form_row *row, const char *value)
{
	for (const char *const *o = row->options; *o; o++)
		if (strcmp(*o, value) == 0)
			return true;
	return false;
}

const struct form_row *form_missing(
	const struct elem *form, const struct form_row *rows, struct arena *a)
{
	for (const struct form_row *row = rows; row->var; row++) {
		const char *value = form_text(form, row->var, a);
		bool given = value && *value;

		if (row->required && !given)
			return row;
		if (given && row->options && !is_option(row, value))
			return row;
	}
	return NULL;
}
