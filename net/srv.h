/* net/srv.h - the order in which the targets of SRV records are tried. RFC 2782. */
#pragma once

#include "core/attr.h"

struct srv_choice {
	uint16_t priority, weight;
	unsigned index; /* the caller's */
};
/* Lower priorities first; among equal ones by lot, each with a chance that its weight gives it.
 * random(below): evenly from 0 to below - 1. */
void srv_order(struct srv_choice *at, unsigned n, uint32_t (*random)(uint32_t below));
