/* modules/mam_wanted.c - reads what a request asks for, and refuses what is not there. */
#include "modules/mam_wanted.h"

#include <stdlib.h>
#include <string.h>

#include "modules/datetime.h"
#include "modules/mam_inside.h"
#include "xml/form.h"

#define IDS_MAX 1000 /* of one query */

struct reading {
	struct account_request *request;
	uint64_t oldest; /* what is below is not there any more */
	struct mam_wanted *out;
};

/* §4.1.3: it must be there. */
ON_JOB static int known_id(const struct reading *in, const char *text, uint64_t *out)
{
	int found;

	if (!message_id_read(text, out) || *out < in->oldest)
		return ERR_ITEM_NOT_FOUND;
	found = message_archive_has(db_main(), in->out->range.account, *out);
	if (found < 0)
		return ERR_INTERNAL_SERVER_ERROR;
	return found ? 0 : ERR_ITEM_NOT_FOUND;
}

ON_JOB static int begin_behind(struct reading *in, const char *text)
{
	uint64_t id;
	int error = known_id(in, text, &id);

	if (!error && id + 1 > in->out->range.first)
		in->out->range.first = id + 1;
	return error;
}

ON_JOB static int end_before(struct reading *in, const char *text)
{
	uint64_t id;
	int error = known_id(in, text, &id);

	if (!error && id - 1 < in->out->range.last)
		in->out->range.last = id - 1;
	return error;
}

static int read_with(struct reading *in, const char *text)
{
	struct jid *with;

	if (jid_parse(text, strlen(text), &in->request->arena, &with) != JID_OK)
		return ERR_JID_MALFORMED;
	in->out->range.with = with;
	return 0;
}

/* §4.1.2: stamps are told to the millisecond, and so they are compared. */
static int read_start(struct reading *in, const char *text)
{
	int64_t us;

	if (!datetime_read(text, &us))
		return ERR_BAD_REQUEST;
	if (us > 0 && message_first_id((us + 999) / 1000 * 1000) > in->out->range.first)
		in->out->range.first = message_first_id((us + 999) / 1000 * 1000);
	return 0;
}

static int read_end(struct reading *in, const char *text)
{
	uint64_t last;
	int64_t us;

	if (!datetime_read(text, &us))
		return ERR_BAD_REQUEST;
	last = us < 0 ? 0 : message_first_id((us / 1000 + 1) * 1000) - 1;
	if (last < in->out->range.last)
		in->out->range.last = last;
	return 0;
}

/* There is no groupchat in accounts' archives, whatever is asked for. */
static int read_groupchat(const char *text)
{
	static const char *const booleans[] = { "true", "false", "1", "0" };

	for (unsigned i = 0; i < ARRAY_LEN(booleans); i++)
		if (strcmp(text, booleans[i]) == 0)
			return 0;
	return ERR_BAD_REQUEST;
}

static int compare_ids(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

ON_JOB static int read_ids(struct reading *in, const struct elem *form)
{
	struct arena *a = &in->request->arena;
	unsigned n;
	const char *const *texts = form_values(form, "ids", a, &n);

	if (!form_find(form, "ids"))
		return 0;
	if (n > IDS_MAX)
		return ERR_POLICY_VIOLATION;
	in->out->by_ids = true;
	in->out->ids = arena_alloc(a, (n + 1) * sizeof(*in->out->ids));
	for (unsigned i = 0; i < n; i++) {
		int error = known_id(in, texts[i], &in->out->ids[i]);

		if (error)
			return error;
	}
	qsort(in->out->ids, n, sizeof(*in->out->ids), compare_ids);
	for (unsigned i = 0; i < n; i++)
		if (!in->out->n_ids || in->out->ids[in->out->n_ids - 1] != in->out->ids[i])
			in->out->ids[in->out->n_ids++] = in->out->ids[i];
	return 0;
}

static const struct form_row fields[] = { { "with", FORM_JID_SINGLE },
	{ "start", FORM_TEXT_SINGLE }, { "end", FORM_TEXT_SINGLE },
	{ "before-id", FORM_TEXT_SINGLE }, { "after-id", FORM_TEXT_SINGLE },
	{ "include-groupchat", FORM_BOOLEAN }, { 0 } };
static const struct form_row ids_field = { "ids", FORM_LIST_MULTI };

static bool is_known(const char *var)
{
	if (!var)
		return false;
	for (const struct form_row *f = fields; f->var; f++)
		if (strcmp(var, f->var) == 0)
			return true;
	return strcmp(var, ids_field.var) == 0 || strcmp(var, "FORM_TYPE") == 0;
}

ON_JOB static int read_field(struct reading *in, const char *var, const char *text)
{
	if (!*text)
		return ERR_BAD_REQUEST;
	if (strcmp(var, "with") == 0)
		return read_with(in, text);
	if (strcmp(var, "start") == 0)
		return read_start(in, text);
	if (strcmp(var, "end") == 0)
		return read_end(in, text);
	if (strcmp(var, "before-id") == 0)
		return end_before(in, text);
	if (strcmp(var, "after-id") == 0)
		return begin_behind(in, text);
	return read_groupchat(text);
}

ON_JOB static int read_form(struct reading *in, const struct elem *form)
{
	struct arena *a = &in->request->arena;
	const char *type = form_text(form, "FORM_TYPE", a);
	int error = 0;

	if (!type || strcmp(type, NS_MAM) != 0)
		return ERR_BAD_REQUEST;
	elem_each_child (form, field)
		if (elem_is(field, "field", NS_DATA) && !is_known(elem_attr(field, "var")))
			return ERR_FEATURE_NOT_IMPLEMENTED; /* §4.1.5 */
	for (const struct form_row *f = fields; f->var && !error; f++) {
		const char *text = form_text(form, f->var, a);

		if (text)
			error = read_field(in, f->var, text);
	}
	return error ? error : read_ids(in, form);
}

ON_JOB static int read_pages(struct reading *in)
{
	const struct mam_conf *conf = in->request->conf;
	struct arena *a = &in->request->arena;
	int error = rsm_read(elem_child(in->request->payload, "set", NS_RSM), a, &in->out->rsm);

	if (error)
		return error;
	in->out->max = (unsigned)(in->out->rsm.max < 0      ? conf->default_page
			: in->out->rsm.max < conf->max_page ? in->out->rsm.max
							    : conf->max_page);
	in->out->range.backwards = in->out->rsm.before != NULL;
	if (in->out->rsm.after)
		error = begin_behind(in, in->out->rsm.after);
	if (!error && in->out->rsm.before && *in->out->rsm.before)
		error = end_before(in, in->out->rsm.before);
	return error;
}

int mam_wanted_read(struct account_request *r, int64_t account, struct mam_wanted *out)
{
	const struct elem *form = form_in(r->payload);
	struct reading in = { r, mam_oldest_id(r->conf), out };
	int error;

	*out = (struct mam_wanted){
		.range = { .account = account, .first = in.oldest, .last = INT64_MAX },
	};
	error = form ? read_form(&in, form) : 0;
	return error ? error : read_pages(&in);
}

void mam_wanted_build_form(struct builder *b)
{
	form_open(b, "form", NS_MAM);
	for (const struct form_row *f = fields; f->var; f++) {
		form_field(b, NULL, f);
		build_close(b);
	}
	form_field(b, NULL, &ids_field);
	build_open(b, "validate", "http://jabber.org/protocol/xdata-validate");
	build_attr(b, "datatype", "xs:string");
	build_text(b, "open", NULL);
	build_close(b);
	build_close(b);
	build_close(b);
}
