/* modules/caps_hash.c - strings of disco#info, sorted, joined and hashed. */
#include "modules/caps_hash.h"

#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"

static const struct {
	const char *name; /* XEP-0300 */
	const char *openssl;
} algorithms[] = {
	{ "sha-1", "SHA1" },
	{ "sha-256", "SHA256" },
	{ "sha-512", "SHA512" },
	{ "sha3-256", "SHA3-256" },
	{ "sha3-512", "SHA3-512" },
	{ "blake2b-512", "BLAKE2B512" },
};

/* i;octet: compared as bytes. */
struct piece {
	const char *text;
	size_t len;
};
struct pieces {
	struct piece *at;
	size_t n, room;
};

/* One answer while it is read. */
struct reading {
	struct arena arena;
	const char *lang;
	size_t strings, bytes;
	enum caps_outcome outcome; /* the first thing that is wrong */
};

static void spoil(struct reading *r, enum caps_outcome why)
{
	if (r->outcome == CAPS_GOOD || r->outcome == CAPS_AMBIGUOUS)
		r->outcome = why;
}

static bool going_on(const struct reading *r)
{
	return r->outcome == CAPS_GOOD || r->outcome == CAPS_AMBIGUOUS;
}

static struct piece piece_of(const char *text)
{
	return (struct piece){ text ? text : "", text ? strlen(text) : 0 };
}

static void add(struct reading *r, struct pieces *p, struct piece piece)
{
	if (p->n == p->room) {
		size_t room = p->room ? 2 * p->room : 32;
		struct piece *more = arena_alloc(&r->arena, room * sizeof(*more));

		if (p->n)
			memcpy(more, p->at, p->n * sizeof(*more));
		p->at = more;
		p->room = room;
	}
	r->bytes += piece.len;
	if (++r->strings > CAPS_STRINGS_MAX || r->bytes > CAPS_BYTES_MAX)
		spoil(r, CAPS_TOO_MUCH);
	p->at[p->n++] = piece;
}

static int compare(const void *a, const void *b)
{
	const struct piece *x = a, *y = b;
	int order = memcmp(x->text, y->text, x->len < y->len ? x->len : y->len);

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

static void sort(struct pieces *p)
{
	if (p->n)
		qsort(p->at, p->n, sizeof(*p->at), compare);
}

static bool has_double(const struct pieces *sorted)
{
	for (size_t i = 1; i < sorted->n; i++)
		if (compare(&sorted->at[i - 1], &sorted->at[i]) == 0)
			return true;
	return false;
}

/* All of them, each with an end. */
static struct piece join(struct reading *r, const struct pieces *p, char end)
{
	size_t len = 0;
	char *text, *at;

	for (size_t i = 0; i < p->n; i++)
		len += p->at[i].len + 1;
	at = text = arena_alloc(&r->arena, len + 1);
	for (size_t i = 0; i < p->n; i++) {
		at = mempcpy(at, p->at[i].text, p->at[i].len);
		*at++ = end;
	}
	*at = '\0';
	return (struct piece){ text, len };
}

static bool is_form_type(const struct elem *field)
{
	const char *var = elem_attr(field, "var");

	return var && strcmp(var, "FORM_TYPE") == 0;
}

static const struct elem *form_type_of(const struct elem *form)
{
	elem_each_child (form, field)
		if (elem_is(field, "field", NS_DATA) && is_form_type(field))
			return field;
	return NULL;
}

static void add_values(struct reading *r, const struct elem *field, struct pieces *out)
{
	elem_each_child (field, value)
		if (elem_is(value, "value", NS_DATA))
			add(r, out, piece_of(elem_text(value, &r->arena)));
	sort(out);
}

/* ---- XEP-0115 §5.1 */

/* Those that end with '<' in S. */
struct string_s {
	struct buf *text;
	struct piece last_feature;
};

static void put(struct reading *r, struct string_s *s, struct piece p)
{
	if (memchr(p.text, '<', p.len))
		spoil(r, CAPS_AMBIGUOUS);
	buf_append(&s->text, p.text, p.len);
	buf_append_char(&s->text, '<');
}

static bool may_be_identity(const char *text)
{
	const char *category = strchr(text, '/');
	const char *type = category ? strchr(category + 1, '/') : NULL;

	return type && category > text && type > category + 1 && strchr(type + 1, '/');
}

static void check_identity(struct reading *r, const char *const part[4])
{
	if (!part[0] || !*part[0] || !part[1] || !*part[1])
		spoil(r, CAPS_AMBIGUOUS);
	for (int i = 0; i < 3; i++)
		if (part[i] && strchr(part[i], '/'))
			spoil(r, CAPS_AMBIGUOUS);
}

/* Sorted by their parts one after the other, so joined with what sorts before all. */
static void put_identities(struct reading *r, struct string_s *s, const struct elem *query)
{
	struct pieces all = { 0 };

	elem_each_child (query, e) {
		const char *const part[4] = { elem_attr(e, "category"), elem_attr(e, "type"),
			elem_attr_ns(e, "lang", NS_XML), elem_attr(e, "name") };
		struct pieces parts = { 0 };
		struct piece joined;

		if (!elem_is(e, "identity", NS_DISCO_INFO))
			continue;
		check_identity(r, part);
		for (int i = 0; i < 4; i++)
			add(r, &parts, piece_of(part[i]));
		joined = join(r, &parts, '\0');
		joined.len--;
		add(r, &all, joined);
	}
	sort(&all);
	if (has_double(&all))
		spoil(r, CAPS_ILL_FORMED);
	if (!all.n)
		spoil(r, CAPS_AMBIGUOUS); /* XEP-0030 §3.1: one MUST be there */
	for (size_t i = 0; i < all.n; i++) {
		char *text = (char *)all.at[i].text;

		for (size_t c = 0; c < all.at[i].len; c++)
			if (!text[c])
				text[c] = '/';
		put(r, s, all.at[i]);
	}
}

static void put_features(struct reading *r, struct string_s *s, const struct elem *query)
{
	struct pieces all = { 0 };

	elem_each_child (query, e) {
		const char *var = elem_attr(e, "var");

		if (!elem_is(e, "feature", NS_DISCO_INFO))
			continue;
		if (may_be_identity(var ? var : ""))
			spoil(r, CAPS_AMBIGUOUS);
		add(r, &all, piece_of(var));
	}
	sort(&all);
	if (has_double(&all))
		spoil(r, CAPS_ILL_FORMED);
	for (size_t i = 0; i < all.n; i++)
		put(r, s, all.at[i]);
	if (all.n)
		s->last_feature = all.at[all.n - 1];
}

/* §5.4 3.5: several values, but all the same. */
static const char *form_type_value(struct reading *r, const struct elem *field)
{
	const char *first = NULL;

	elem_each_child (field, value) {
		const char *text;

		if (!elem_is(value, "value", NS_DATA))
			continue;
		text = elem_text(value, &r->arena);
		if (first && strcmp(first, text) != 0)
			spoil(r, CAPS_ILL_FORMED);
		first = first ? first : text;
	}
	return first;
}

struct form {
	struct piece type; /* first: compare() */
	const struct elem *elem;
};

static void put_form(struct reading *r, struct string_s *s, const struct form *form)
{
	struct pieces vars = { 0 };

	put(r, s, form->type);
	if (compare(&form->type, &s->last_feature) >= 0)
		spoil(r, CAPS_AMBIGUOUS);
	elem_each_child (form->elem, field)
		if (elem_is(field, "field", NS_DATA) && !is_form_type(field)) {
			struct piece var = piece_of(elem_attr(field, "var"));
			struct pieces values = { 0 };
			struct piece key;

			/* Sorted by var; what follows goes along behind a NUL. */
			add_values(r, field, &values);
			for (size_t i = 0; i < values.n; i++)
				if (strchr(values.at[i].text, '<'))
					spoil(r, CAPS_AMBIGUOUS);
			key = join(r, &values, '<');
			values = (struct pieces){ 0 };
			add(r, &values, var);
			add(r, &values, key);
			key = join(r, &values, '\0');
			add(r, &vars, key);
		}
	sort(&vars);
	for (size_t i = 0; i < vars.n; i++) {
		const char *var = vars.at[i].text, *values = var + strlen(var) + 1;

		put(r, s, piece_of(var));
		buf_append(&s->text, values, strlen(values));
	}
}

/* §5.4 3.6: a form without a hidden FORM_TYPE does not count. */
static void put_forms(struct reading *r, struct string_s *s, const struct elem *query)
{
	struct form *forms;
	size_t n = 0;

	elem_each_child (query, e)
		n += elem_is(e, "x", NS_DATA);
	forms = arena_zalloc(&r->arena, (n + 1) * sizeof(*forms));
	n = 0;
	elem_each_child (query, e) {
		const struct elem *field = elem_is(e, "x", NS_DATA) ? form_type_of(e) : NULL;
		const char *kind = field ? elem_attr(field, "type") : NULL, *type;

		if (!kind || strcmp(kind, "hidden") != 0)
			continue;
		type = form_type_value(r, field);
		if (!type)
			continue;
		forms[n++] = (struct form){ piece_of(type), e };
	}
	if (n)
		qsort(forms, n, sizeof(*forms), compare);
	for (size_t i = 0; i < n; i++) {
		if (i && compare(&forms[i - 1], &forms[i]) == 0)
			spoil(r, CAPS_ILL_FORMED);
		put_form(r, s, &forms[i]);
	}
}

static struct buf *input_1(struct reading *r, const struct elem *query)
{
	struct string_s s = { .text = buf_new(2048), .last_feature = { "", 0 } };

	put_identities(r, &s, query);
	put_features(r, &s, query);
	put_forms(r, &s, query);
	return s.text;
}

/* ---- XEP-0390 §4.1 */

static void end_group(struct reading *r, struct buf **out, struct pieces *p)
{
	struct piece all;

	sort(p);
	for (size_t i = 0; i < p->n; i++)
		buf_append(out, p->at[i].text, p->at[i].len);
	all = (struct piece){ "\x1c", 1 };
	buf_append(out, all.text, all.len);
	r->bytes += all.len;
}

/* The pieces as one, with an octet behind. */
static struct piece close_piece(struct reading *r, const struct pieces *p, char end)
{
	size_t len = 1;
	char *text, *at;

	for (size_t i = 0; i < p->n; i++)
		len += p->at[i].len;
	at = text = arena_alloc(&r->arena, len + 1);
	for (size_t i = 0; i < p->n; i++)
		at = mempcpy(at, p->at[i].text, p->at[i].len);
	*at++ = end;
	*at = '\0';
	return (struct piece){ text, len };
}

static struct piece unit(struct reading *r, const char *text)
{
	struct pieces one = { 0 };

	add(r, &one, piece_of(text));
	return join(r, &one, '\x1f');
}

static struct piece identity_2(struct reading *r, const struct elem *e)
{
	const char *lang = elem_attr_ns(e, "lang", NS_XML);
	struct pieces parts = { 0 };

	add(r, &parts, unit(r, elem_attr(e, "category")));
	add(r, &parts, unit(r, elem_attr(e, "type")));
	add(r, &parts, unit(r, lang ? lang : r->lang));
	add(r, &parts, unit(r, elem_attr(e, "name")));
	return close_piece(r, &parts, '\x1e');
}

static struct piece field_2(struct reading *r, const struct elem *field)
{
	struct pieces values = { 0 }, all = { 0 };

	elem_each_child (field, value)
		if (elem_is(value, "value", NS_DATA))
			add(r, &values, unit(r, elem_text(value, &r->arena)));
	sort(&values);
	add(r, &all, unit(r, elem_attr(field, "var")));
	for (size_t i = 0; i < values.n; i++)
		add(r, &all, values.at[i]);
	return close_piece(r, &all, '\x1e');
}

static struct piece form_2(struct reading *r, const struct elem *form)
{
	const struct elem *type = form_type_of(form);
	const char *kind = type ? elem_attr(type, "type") : NULL;
	struct pieces fields = { 0 };

	if (!kind || strcmp(kind, "hidden") != 0 || !elem_child(type, "value", NS_DATA))
		spoil(r, CAPS_ILL_FORMED);
	elem_each_child (form, e) {
		if (elem_is(e, "reported", NS_DATA) || elem_is(e, "item", NS_DATA))
			spoil(r, CAPS_ILL_FORMED);
		if (elem_is(e, "field", NS_DATA))
			add(r, &fields, field_2(r, e));
	}
	sort(&fields);
	return close_piece(r, &fields, '\x1d');
}

static struct buf *input_2(struct reading *r, const struct elem *query)
{
	struct pieces features = { 0 }, identities = { 0 }, forms = { 0 };
	struct buf *out = buf_new(2048);

	elem_each_child (query, e) {
		if (elem_is(e, "feature", NS_DISCO_INFO))
			add(r, &features, unit(r, elem_attr(e, "var")));
		else if (elem_is(e, "identity", NS_DISCO_INFO))
			add(r, &identities, identity_2(r, e));
		else if (elem_is(e, "x", NS_DATA))
			add(r, &forms, form_2(r, e));
		else
			spoil(r, CAPS_ILL_FORMED);
	}
	end_group(r, &out, &features);
	end_group(r, &out, &identities);
	end_group(r, &out, &forms);
	return out;
}

/* ---- Hashing */

static const EVP_MD *digest_of(const char *algorithm)
{
	for (size_t i = 0; algorithm && i < ARRAY_LEN(algorithms); i++)
		if (strcmp(algorithms[i].name, algorithm) == 0)
			return EVP_get_digestbyname(algorithms[i].openssl);
	return NULL;
}

bool caps_algorithm_known(const char *name)
{
	return digest_of(name);
}

enum caps_outcome caps_hash(enum caps_version v, const char *algorithm, const struct elem *query,
	const char *lang, char out[CAPS_HASH_MAX])
{
	const EVP_MD *md = digest_of(algorithm);
	struct reading r = { .lang = lang, .outcome = CAPS_GOOD };
	uint8_t digest[EVP_MAX_MD_SIZE];
	char first[8192];
	struct buf *input;
	unsigned n = 0;

	if (!md)
		return CAPS_NO_ALGORITHM;
	arena_init(&r.arena, first, sizeof(first));
	input = v == CAPS_1 ? input_1(&r, query) : input_2(&r, query);
	if (going_on(&r)) {
		REQUIRE(EVP_Digest(input->data, input->len, digest, &n, md, NULL));
		EVP_EncodeBlock((uint8_t *)out, digest, (int)n);
	}
	buf_unref(input);
	arena_fini(&r.arena);
	return r.outcome;
}
