/* net/places.c - a list and what it holds. */
#include "net/places.h"

#include <arpa/inet.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/mem.h"

struct places *places_ref(const struct places *p)
{
	struct places *counted = (struct places *)p;

	atomic_fetch_add_explicit(&counted->refs, 1, memory_order_relaxed);
	return counted;
}

void places_unref(const struct places *p)
{
	struct places *counted = (struct places *)p;

	if (!counted || atomic_fetch_sub_explicit(&counted->refs, 1, memory_order_acq_rel) != 1)
		return;
	for (unsigned i = 0; i < p->n; i++) {
		dns_answer_unref(p->at[i].tlsa);
		free((char *)p->at[i].host);
	}
	free((char *)p->why);
	free(counted);
}

const char *place_text(const struct place *p, char text[PLACE_TEXT_MAX])
{
	char address[INET6_ADDRSTRLEN];
	bool v6 = p->address.any.sa_family == AF_INET6;

	inet_ntop(p->address.any.sa_family,
		v6 ? (const void *)&p->address.in6.sin6_addr : &p->address.in.sin_addr, address,
		sizeof(address));
	snprintf(text, PLACE_TEXT_MAX, v6 ? "[%s]:%u" : "%s:%u", address, (unsigned)p->port);
	return text;
}
