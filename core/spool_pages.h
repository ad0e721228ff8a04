/* core/spool_pages.h - the spool's file as pages of 64 KB: opening, growing, who has which. Shared
 * by core/spool_pages.c, which does that, and core/spool.c, which puts records into them. */
#pragma once

#include <stdatomic.h>

#include "core/attr.h"

#define SPOOL_PAGE 65536u
#define SPOOL_PAGES_MAX 65536u /* of one file, the first ones included */
#define SPOOL_FIRST 5u /* before it: the header, and what every page is used for */

/* found: it has pages of a process before, which are all free until they are claimed anew. */
int spool_pages_open(const char *path, uint64_t max_bytes, bool *found);
enum spool_end { SPOOL_ENDS, SPOOL_IS_LENT };
void spool_pages_close(enum spool_end end);
/* Another process may open the file; nothing is written to it, or made larger, meanwhile. 0 or a
 * negative errno. */
int spool_pages_lend(void);
int spool_pages_take_back(void);
/* One more than the last page there is. Grows. */
ANY_THREAD uint32_t spool_pages_end(void);
/* Once all that was found has been claimed: gives back to the disk what is free at the end. */
void spool_pages_trim(void);

ANY_THREAD void *spool_page_at(uint32_t page);
ANY_THREAD uint32_t spool_page_of(const void *in_it);
/* What the file says it is used for; 0: nothing. The rest is core/spool.c's. */
ANY_THREAD _Atomic uint32_t *spool_page_use(uint32_t page);
/* All zero, as it came from the disk. */
ANY_THREAD bool spool_page_is_fresh(uint32_t page);

/* n pages in a row: the first, or 0 when there are none. Wakes who makes more. */
ANY_THREAD uint32_t spool_pages_claim(unsigned n);
void spool_pages_claim_found(uint32_t page, unsigned n); /* main, at the opening */
/* Their use is 0 again. */
ANY_THREAD void spool_pages_give_back(uint32_t page, unsigned n);
