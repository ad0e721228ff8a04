/* xml/form.h - data forms: XEP-0004, with the field FORM_TYPE of XEP-0068. Building and reading.
 * Labels, titles and instructions are English texts for core/lang.h; whoever has them in a table
 * marks them with TR(). Any thread; what is read lives as long as the stanza, or in the arena. */
#pragma once

#include "core/arena.h"
#include "xml/builder.h"
#include "xml/stanza.h"

enum form_field_type { /* §3.3 */
	FORM_TEXT_SINGLE,
	FORM_TEXT_PRIVATE,
	FORM_TEXT_MULTI,
	FORM_BOOLEAN,
	FORM_LIST_SINGLE,
	FORM_LIST_MULTI,
	FORM_JID_SINGLE,
	FORM_JID_MULTI,
	FORM_FIXED,
	FORM_HIDDEN,
};
/* A field as forms describe it; a table of them ends with a NULL var. */
struct form_row {
	const char *var;
	enum form_field_type type;
	const char *label; /* NULL: none */
	bool required;
	const char *const
		*options; /* values of a list, each its own label; NULL ends it; or NULL */
};

/* <x type=...> with its FORM_TYPE, NULL for none; fields and build_close() follow. type: "form",
 * "submit" or "result". */
void form_open(struct builder *b, const char *type, const char *form_type);
/* The same with a title and instructions, each NULL for none. */
void form_open_titled(struct builder *b, const char *type, const char *form_type, const char *lang,
	const char *title, const char *instructions);
/* <field> with label, options and <required/>; values and build_close() follow. */
void form_field(struct builder *b, const char *lang, const struct form_row *row);
void form_value(struct builder *b, const char *value);
void form_lines(struct builder *b, const char *text); /* one value a line: text-multi */
/* A whole field of a result; label and value may be NULL. */
void form_result(
	struct builder *b, const char *lang, const struct form_row *row, const char *value);

/* The form that e holds, of any type, or NULL. */
const struct elem *form_in(const struct elem *e);
bool form_is(const struct elem *form, const char *type);
/* The field, the first of that name; NULL: there is none. */
const struct elem *form_find(const struct elem *form, const char *var);
/* Its first value, "" when it has none; NULL: there is no such field. */
const char *form_text(const struct elem *form, const char *var, struct arena *a);
/* All values, a line each; NULL: there is no such field. */
const char *form_joined(const struct elem *form, const char *var, struct arena *a);
/* Its values, NULL behind the last; none when there is no such field. */
const char *const *form_values(
	const struct elem *form, const char *var, struct arena *a, unsigned *out_n);
/* "1" and "true" are true; absent: what is meant when there is no such field. */
bool form_flag(const struct elem *form, const char *var, bool absent, struct arena *a);
/* The first row that is required and has no value in the form, or whose value is none of its
 * options; NULL: nothing is missing. */
const struct form_row *form_missing(
	const struct elem *form, const struct form_row *rows, struct arena *a);
