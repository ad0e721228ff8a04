/* core/mo.h - one compiled gettext catalogue (a .mo file) in memory.
 * Read once, checked whole, then only looked at: any thread, without locks. libintl is not used
 * because it chooses the language by the process's or thread's locale, not by an argument. Both
 * byte orders are read; plural forms and contexts are not. */
#pragma once

#include "core/attr.h"

struct mo {
	const unsigned char *bytes; /* not owned; outlive it */
	uint32_t count; /* texts; the first one, "", is the header */
	uint32_t originals, translations; /* where their tables begin */
	bool big_endian;
};

/* 0, or -EINVAL: it is no catalogue, or a damaged one. */
int mo_read(const void *bytes, size_t len, struct mo *out);
/* The translation, or NULL when there is none. */
const char *mo_find(const struct mo *m, const char *english);
/* All of them, in order of the originals. */
void mo_each(const struct mo *m,
	void (*fn)(const char *english, const char *translation, void *arg), void *arg);
