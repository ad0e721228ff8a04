/* core/conf_value.c - one settings value: from text, to text, and what it may be. */
#include "core/conf_value.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/mem.h"

struct unit {
	const char *names; /* separated by '|', the first two are printed for one and for more */
	int64_t factor;
};
static const struct unit time_units[] = {
	{ "day|days|d", 86400000 },
	{ "hour|hours|h", 3600000 },
	{ "min|min|minute|minutes|m", 60000 },
	{ "s|s|sec|secs|second|seconds", 1000 },
	{ "ms|ms|msec|msecs|millisecond|milliseconds", 1 },
	{ 0 },
};
static const struct unit size_units[] = {
	{ "GB|GB|G|GiB", 1 << 30 },
	{ "MB|MB|M|MiB", 1 << 20 },
	{ "KB|KB|K|KiB", 1 << 10 },
	{ "B|B|byte|bytes", 1 },
	{ 0 },
};

/* Whether text is one of the spellings in "a|b|c", whatever its case. */
static bool spells(const char *spellings, const char *text)
{
	size_t len = strlen(text);

	for (const char *s = spellings; s; s = strchr(s, '|') ? strchr(s, '|') + 1 : NULL)
		if (strcspn(s, "|") == len && !strncasecmp(s, text, len))
			return true;
	return false;
}

int conf_word_index(const char *const *words, const char *text)
{
	for (int i = 0; words[i]; i++)
		if (spells(words[i], text))
			return i;
	return -1;
}

const char *conf_word(const char *const *words, unsigned index, struct arena *a)
{
	return arena_text(a, words[index], strcspn(words[index], "|"));
}

bool conf_is_scalar(const struct conf_item *row)
{
	switch (row->type) {
	case CONF_END:
	case CONF_WORDS:
	case CONF_LIST:
	case CONF_MAP:
	case CONF_GROUP:
	case CONF_RAW:
		return false;
	default:
		return true;
	}
}

bool conf_is_text(const struct conf_item *row)
{
	switch (row->type) {
	case CONF_STRING:
	case CONF_SECRET:
	case CONF_PATH:
	case CONF_DOMAIN:
	case CONF_JID:
	case CONF_ACCESS:
	case CONF_SHAPER:
		return true;
	default:
		return false;
	}
}

size_t conf_field_bytes(const struct conf_item *row)
{
	switch (row->type) {
	case CONF_BOOL:
		return sizeof(bool);
	case CONF_INT:
	case CONF_SIZE:
	case CONF_TIME:
	case CONF_MODE:
		return sizeof(int64_t);
	case CONF_ENUM:
		return sizeof(int);
	case CONF_WORDS:
		return sizeof(uint32_t);
	case CONF_ADDRESS:
		return sizeof(struct conf_prefix);
	case CONF_LIST:
	case CONF_MAP:
		return sizeof(struct conf_list);
	case CONF_END:
	case CONF_GROUP:
		return 0;
	default:
		return sizeof(void *);
	}
}

/* ---- From text. */

static bool unbounded(const struct conf_item *row)
{
	return (!row->min && !row->max) || row->max == INT64_MAX;
}

static bool in_bounds(const struct conf_item *row, int64_t n)
{
	return (!row->min && !row->max) || (n >= row->min && n <= row->max);
}

static bool read_whole_number(const char *text, const char **end, int64_t *out)
{
	const char *digits = *text == '-' ? text + 1 : text;
	char *rest;
	long long n;

	if (*digits < '0' || *digits > '9')
		return false;
	errno = 0;
	n = strtoll(text, &rest, 10);
	if (errno)
		return false;
	*end = rest;
	*out = n;
	return true;
}

static bool unit_factor(const struct unit *units, const char *name, int64_t bare, int64_t *out)
{
	*out = bare;
	if (!*name)
		return true;
	for (; units->names; units++) {
		if (spells(units->names, name)) {
			*out = units->factor;
			return true;
		}
	}
	return false;
}

static bool read_number(const struct conf_item *row, const char *text, int64_t *out)
{
	static const struct unit no_units[] = { { 0 } };
	const struct unit *units = row->type == CONF_TIME ? time_units
		: row->type == CONF_SIZE                  ? size_units
							  : no_units;
	int64_t n, factor;
	const char *rest;

	if (unbounded(row) && spells("infinity|infinite|unlimited", text)) {
		*out = INT64_MAX;
		return true;
	}
	if (!read_whole_number(text, &rest, &n))
		return false;
	if (row->type != CONF_INT) {
		if (n < 0)
			return false;
		while (*rest == ' ')
			rest++;
	}
	if (!unit_factor(units, rest, row->type == CONF_TIME ? 1000 : 1, &factor) ||
		__builtin_mul_overflow(n, factor, &n) || !in_bounds(row, n))
		return false;
	*out = n;
	return true;
}

static bool read_mode(const char *text, int64_t *out)
{
	size_t len = strlen(text);

	if (len < 3 || len > 4 || strspn(text, "01234567") != len)
		return false;
	*out = strtol(text, NULL, 8);
	return *out <= 0777;
}

static bool read_bool(const char *text, bool *out)
{
	*out = spells("true|yes|on", text);
	return *out || spells("false|no|off", text);
}

static void clear_from_bit(struct conf_prefix *p)
{
	for (unsigned bit = p->bits; bit < 128; bit++)
		p->bytes[bit / 8] &= (uint8_t) ~(0x80u >> (bit % 8));
}

static bool read_address(const char *text, struct conf_prefix *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	size_t len = strcspn(text, "/");
	char address[INET6_ADDRSTRLEN];
	int64_t bits = -1;
	const char *end;
	unsigned first = 0;

	if (len >= sizeof(address))
		return false;
	memcpy(address, text, len);
	address[len] = 0;
	if (inet_pton(AF_INET, address, out->bytes + sizeof(mapped)) == 1) {
		memcpy(out->bytes, mapped, sizeof(mapped));
		first = 96;
	} else if (inet_pton(AF_INET6, address, out->bytes) != 1) {
		return false;
	}
	if (text[len] && (!read_whole_number(text + len + 1, &end, &bits) || *end || bits < 0))
		return false;
	if (bits > 128 - (int64_t)first)
		return false;
	out->bits = bits < 0 ? 128 : (uint8_t)(first + (unsigned)bits);
	clear_from_bit(out);
	return true;
}

bool conf_read_scalar(const struct conf_item *row, const char *text, const char *folder,
	void *field, struct arena *a)
{
	switch (row->type) {
	case CONF_BOOL:
		return read_bool(text, field);
	case CONF_INT:
	case CONF_SIZE:
	case CONF_TIME:
		return read_number(row, text, field);
	case CONF_ENUM: {
		int index = conf_word_index(row->words, text);

		if (index >= 0)
			*(int *)field = index;
		return index >= 0;
	}
	case CONF_MODE:
		return read_mode(text, field);
	case CONF_ADDRESS:
		return read_address(text, field);
	case CONF_PATH:
		*(const char **)field = *text == '/' || !folder || !strcmp(folder, ".")
			? arena_strdup(a, text)
			: arena_printf(a, "%s/%s", folder, text);
		return *text;
	case CONF_DOMAIN:
	case CONF_JID:
	case CONF_ACCESS:
	case CONF_SHAPER:
		*(const char **)field = arena_strdup(a, text);
		return *text;
	default:
		*(const char **)field = arena_strdup(a, text);
		return true;
	}
}

/* ---- To text. */

static const char *number_text(const struct conf_item *row, int64_t n, struct arena *a)
{
	const struct unit *unit = row->type == CONF_TIME ? time_units : size_units;
	int64_t many;

	if (n == INT64_MAX)
		return "infinity";
	if (row->type == CONF_INT || n <= 0)
		return arena_printf(a, "%" PRId64, n);
	while (unit[1].names && n % unit->factor)
		unit++;
	many = n / unit->factor;
	if (row->type == CONF_SIZE && unit->factor == 1)
		return arena_printf(a, "%" PRId64, n);
	for (const char *name = unit->names;; name = strchr(name, '|') + 1)
		if (many == 1 || name != unit->names)
			return arena_printf(
				a, "%" PRId64 " %.*s", many, (int)strcspn(name, "|"), name);
}

static bool is_v4(const struct conf_prefix *p)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	return p->bits >= 96 && !memcmp(p->bytes, mapped, sizeof(mapped));
}

void conf_address_write(const struct conf_prefix *p, char text[CONF_ADDRESS_TEXT_MAX])
{
	_Static_assert(CONF_ADDRESS_TEXT_MAX >= INET6_ADDRSTRLEN, "");
	if (is_v4(p))
		inet_ntop(AF_INET, p->bytes + 12, text, CONF_ADDRESS_TEXT_MAX);
	else
		inet_ntop(AF_INET6, p->bytes, text, CONF_ADDRESS_TEXT_MAX);
}

static const char *address_text(const struct conf_prefix *p, struct arena *a)
{
	char text[CONF_ADDRESS_TEXT_MAX];

	conf_address_write(p, text);
	if (p->bits == 128)
		return arena_strdup(a, text);
	return arena_printf(a, "%s/%u", text, is_v4(p) ? p->bits - 96u : p->bits);
}

/* Whether YAML reads the word as itself, in a block and between [] and {}. */
static bool plain_word(const char *text)
{
	static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				   "_./";
	static const char inner[] = "-+:@ ";

	if (!*text || !strchr(safe, *text) || spells("true|false|yes|no|on|off|null", text))
		return false;
	for (const char *c = text; *c; c++) {
		if (strchr(safe, *c))
			continue;
		if (!strchr(inner, *c) || !c[1] || (*c == ':' && c[1] == ' '))
			return false;
	}
	return true;
}

static const char *string_text(const char *text, struct arena *a)
{
	AUTO(free_ptr) char *quoted = NULL;
	size_t len;
	FILE *out;

	if (!text)
		return "null";
	if (plain_word(text))
		return arena_strdup(a, text);
	out = open_memstream(&quoted, &len);
	REQUIRE(out);
	fputc('"', out);
	for (const char *c = text; *c; c++) {
		if (*c == '"' || *c == '\\')
			fprintf(out, "\\%c", *c);
		else if ((unsigned char)*c < 0x20 || *c == 0x7f)
			fprintf(out, "\\x%02x", (unsigned)(unsigned char)*c);
		else
			fputc(*c, out);
	}
	fputc('"', out);
	fclose(out);
	REQUIRE(quoted);
	return arena_text(a, quoted, len);
}

static const char *words_text(const struct conf_item *row, uint32_t bits, struct arena *a)
{
	const char *text = "[";

	for (unsigned i = 0; row->words[i]; i++)
		if (bits & (1u << i))
			text = arena_printf(a, "%s%s%s", text, text[1] ? ", " : "",
				conf_word(row->words, i, a));
	return arena_printf(a, "%s]", text);
}

static const char *struct_text(const struct conf_item *rows, const void *from, struct arena *a)
{
	const char *text = "{";

	for (; rows->type; rows++)
		text = arena_printf(a, "%s%s%s: %s", text, text[1] ? ", " : "", rows->name,
			conf_value_text(rows, (const char *)from + rows->offset, a));
	return arena_printf(a, "%s}", text);
}

static const char *list_text(
	const struct conf_item *row, const struct conf_list *list, struct arena *a)
{
	bool map = row->type == CONF_MAP;
	const char *text = map ? "{" : "[";

	for (size_t i = 0; i < list->n; i++) {
		const char *item = (const char *)list->at + i * row->item_size;

		text = arena_printf(a, "%s%s", text, i ? ", " : "");
		if (map)
			text = arena_printf(
				a, "%s%s: ", text, string_text(*(const char *const *)item, a));
		text = arena_printf(a, "%s%s", text,
			row->rows ? struct_text(row->rows, item, a)
				  : conf_value_text(row->item, item + row->item->offset, a));
	}
	return arena_printf(a, map ? "%s}" : "%s]", text);
}

const char *conf_value_text(const struct conf_item *row, const void *field, struct arena *a)
{
	switch (row->type) {
	case CONF_BOOL:
		return *(const bool *)field ? "true" : "false";
	case CONF_INT:
	case CONF_SIZE:
	case CONF_TIME:
		return number_text(row, *(const int64_t *)field, a);
	case CONF_MODE:
		return arena_printf(a, "0%03o", (unsigned)*(const int64_t *)field);
	case CONF_SECRET:
		return *(const char *const *)field ? "\"***\"" : "null";
	case CONF_ENUM:
		return string_text(conf_word(row->words, (unsigned)*(const int *)field, a), a);
	case CONF_WORDS:
		return words_text(row, *(const uint32_t *)field, a);
	case CONF_ADDRESS:
		return string_text(address_text(field, a), a);
	case CONF_LIST:
	case CONF_MAP:
		return list_text(row, field, a);
	case CONF_GROUP:
		return struct_text(row->rows, field, a);
	case CONF_END:
	case CONF_RAW:
		return "...";
	default:
		return string_text(*(const char *const *)field, a);
	}
}

/* ---- A node. */

#define LINE_MAX 200 /* bytes, about */

static void put_node(const struct conf_node *n, FILE *out, struct arena *a)
{
	bool map = conf_node_kind(n) == CONF_MAPPING;
	const struct conf_node *child;

	if (conf_node_kind(n) == CONF_NULL || conf_node_kind(n) == CONF_SCALAR) {
		const char *text = conf_node_kind(n) == CONF_SCALAR ? conf_node_text(n) : NULL;

		fputs(string_text(text, a), out);
		return;
	}
	fputc(map ? '{' : '[', out);
	conf_node_each (child, n) {
		if (child != conf_node_first(n))
			fputs(", ", out);
		if (ftell(out) > LINE_MAX) {
			fputs("...", out);
			break;
		}
		if (map)
			fprintf(out, "%s: ", string_text(conf_node_key(child), a));
		put_node(child, out, a);
	}
	fputc(map ? '}' : ']', out);
}

const char *conf_node_line(const struct conf_node *n, struct arena *a)
{
	AUTO(free_ptr) char *line = NULL;
	size_t len;
	FILE *out = open_memstream(&line, &len);

	REQUIRE(out);
	put_node(n, out, a);
	fclose(out);
	REQUIRE(line);
	return arena_text(a, line, len);
}

/* ---- What is expected. */

static const char *bounds_text(const struct conf_item *row, struct arena *a)
{
	if (!row->min && !row->max)
		return "";
	if (row->max == INT64_MAX)
		return row->min ? arena_printf(a, " of at least %s", number_text(row, row->min, a))
				: "";
	return arena_printf(
		a, " from %s to %s", number_text(row, row->min, a), number_text(row, row->max, a));
}

static const char *one_of(const struct conf_item *row, struct arena *a)
{
	const char *text = conf_word(row->words, 0, a);

	for (unsigned i = 1; row->words[i]; i++)
		text = arena_printf(a, "%s%s%s", text, row->words[i + 1] ? ", " : " or ",
			conf_word(row->words, i, a));
	return text;
}

const char *conf_expected(const struct conf_item *row, struct arena *a)
{
	const char *or_infinity = unbounded(row) ? ", or infinity" : "";

	switch (row->type) {
	case CONF_BOOL:
		return "true or false";
	case CONF_INT:
		return arena_printf(a, "a whole number%s", bounds_text(row, a));
	case CONF_SIZE:
		return arena_printf(a, "a size%s, such as 65536, 64 KB or 1 MB%s",
			bounds_text(row, a), or_infinity);
	case CONF_TIME:
		return arena_printf(a, "a time%s, such as 30 (seconds), 500 ms or 5 min%s",
			bounds_text(row, a), or_infinity);
	case CONF_ENUM:
		return one_of(row, a);
	case CONF_WORDS:
		return arena_printf(a, "a list of %s", one_of(row, a));
	case CONF_MODE:
		return "the mode of a file in octal, such as 0600 or 0660";
	case CONF_PATH:
		return "the name of a file";
	case CONF_DOMAIN:
		return "a domain name";
	case CONF_JID:
		return "a JID";
	case CONF_ACCESS:
		return "the name of an access rule";
	case CONF_SHAPER:
		return "the name of a shaper or of an entry of shaper_rules";
	case CONF_ADDRESS:
		return "an IPv4 or IPv6 address, or a network such as 10.0.0.0/8 or fd00::/8";
	case CONF_LIST:
		return "a list";
	case CONF_MAP:
	case CONF_GROUP:
		return "a map of options";
	default:
		return "text";
	}
}
