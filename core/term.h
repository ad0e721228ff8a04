/* core/term.h - what travels in requests, events and answers: a kind, a payload, and how to destroy
 * it. Whoever is handed a struct term * owns what it takes from it; the rest is dropped for it
 * afterwards. A term passed by value is given away. */
#pragma once

#include "core/attr.h"

struct term {
	int kind; /* the receiver's own numbers from 0 up, or one of those below */
	uint32_t ref; /* a timer's event: which timer; 0 otherwise */
	void *data;
	void (*drop)(void *data); /* NULL: nothing to destroy */
};
#define TERM_TIMEOUT (-1) /* nothing came within the time that the last return asked for */

/* A term without payload, and one that owns data. */
#define TERM(k) ((struct term){ .kind = (k) })
#define TERM_OF(k, d, fn) ((struct term){ .kind = (k), .data = (d), .drop = (fn) })

/* The payload is the caller's from now on. */
static inline void *term_take(struct term *t)
{
	void *data = t->data;

	t->data = NULL;
	t->drop = NULL;
	return data;
}
static inline void term_drop(struct term *t)
{
	if (t->drop)
		t->drop(t->data);
	t->data = NULL;
	t->drop = NULL;
}
