/* xml/fold.h - texts that people take for the same become the same bytes: for searching.
 * Unicode's NFKC_Casefold (UAX #31 §5.1): no case, no width, no ligatures, no invisible
 * characters; besides, white space at the ends goes and any run of it within is one space. Any
 * thread; ICU's tables are shared and only read. */
#pragma once

#include <stddef.h>

/* Writes at most max bytes and a NUL; a longer text is cut between two characters. Returns the
 * length; 0 too for what is not UTF-8. Only the first FOLD_READS_MAX bytes are looked at. */
#define FOLD_READS_MAX 1024
size_t text_fold(const char *text, size_t len, char *buffer, size_t max);

/* The most of text, len bytes of UTF-8, that fits in max bytes without cutting a character. */
size_t text_cut(const char *text, size_t len, size_t max);
