/* core/lang.c - finds the catalogue for a language tag, and the text in it. */
#include "core/lang.h"

#include <string.h>
#include <strings.h>

#include "core/mo.h"

#define TAG_MAX 64 /* what comes behind that in a peer's tag is not looked at */

/* The build lists what it made of po/: CATALOGUE(de, "de", "/.../de.mo"). */
#define CATALOGUE(id, tag, file)                                                  \
	__asm__(".pushsection .rodata\n"                                          \
		"linnet_mo_" #id ":\n.incbin \"" file "\"\nlinnet_mo_end_" #id    \
		":\n.popsection\n");                                              \
	extern const char linnet_mo_##id[] __attribute__((visibility("hidden"))), \
		linnet_mo_end_##id[] __attribute__((visibility("hidden")));
#include LINNET_CATALOGUES
#undef CATALOGUE

/* At most 256: lang_index(). */
static struct catalogue {
	const char *tag;
	const char *begin, *end; /* NULL: the texts themselves */
	struct mo mo;
} catalogues[] = {
	{ .tag = "en" },
#define CATALOGUE(id, tag, file) { tag, linnet_mo_##id, linnet_mo_end_##id, { 0 } },
#include LINNET_CATALOGUES
#undef CATALOGUE
};

__attribute__((constructor)) static void read_all(void)
{
	for (size_t i = 1; i < ARRAY_LEN(catalogues); i++) {
		struct catalogue *c = &catalogues[i];

		REQUIRE(!mo_read(c->begin, (size_t)(c->end - c->begin), &c->mo));
	}
}

/* Whether both begin with the same len characters, in any case: RFC 5646 §2.1.1. */
static bool begins_alike(const char *tag, const char *given, size_t len)
{
	return (tag[0] | 0x20) == (given[0] | 0x20) && strncasecmp(tag, given, len) == 0;
}

static size_t primary_len(const char *tag)
{
	return strcspn(tag, "-");
}

static const struct catalogue *exactly(const char *given, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(catalogues); i++)
		if (begins_alike(catalogues[i].tag, given, len) && !catalogues[i].tag[len])
			return &catalogues[i];
	return NULL;
}

/* One of the same language, as zh-CN is for zh. */
static const struct catalogue *of_language(const char *given, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(catalogues); i++) {
		const char *tag = catalogues[i].tag;

		if (begins_alike(tag, given, len) && primary_len(tag) == len)
			return &catalogues[i];
	}
	return NULL;
}

static const struct catalogue *look_up(const char *given)
{
	size_t len = given ? strnlen(given, TAG_MAX) : 0;

	while (len) {
		const struct catalogue *c = exactly(given, len);

		if (c)
			return c;
		while (len && given[len - 1] != '-')
			len--;
		if (len)
			len--; /* the last part and its hyphen are gone */
		if (len > 1 && given[len - 2] == '-')
			len -= 2; /* a single letter said what the part was: RFC 4647 §3.4 */
	}
	return given ? of_language(given, primary_len(given)) : NULL;
}

const char *tr(const char *lang, const char *english)
{
	const struct catalogue *c = look_up(lang);
	const char *found = c && c->begin ? mo_find(&c->mo, english) : NULL;

	return found ? found : english;
}

const char *lang_pick(const char *wanted, const char *otherwise)
{
	const struct catalogue *c = look_up(wanted);

	if (!c)
		c = look_up(otherwise);
	return c ? c->tag : catalogues[0].tag;
}

unsigned lang_index(const char *tag)
{
	const struct catalogue *c = tag ? exactly(tag, strnlen(tag, TAG_MAX)) : NULL;

	return c ? (unsigned)(c - catalogues) : 0;
}

const char *lang_tag(unsigned index)
{
	return catalogues[index].tag;
}

void lang_each(void (*fn)(const char *tag, void *arg), void *arg)
{
	for (size_t i = 0; i < ARRAY_LEN(catalogues); i++)
		fn(catalogues[i].tag, arg);
}
