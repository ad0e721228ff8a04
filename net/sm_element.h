/* net/sm_element.h - what the elements of XEP-0198 say, from clients as from servers. */
#pragma once

#include "core/attr.h"
#include "router/host.h"
#include "xml/stanza.h"

/* Attribute h, of <a/> and <resume/>: an xs:unsignedInt. False: there is none. */
bool sm_read_h(const struct elem *e, uint32_t *out);
/* How long the state of a peer that says <enable/> waits for it, in ms: what it asks for within
 * what it may have. 0: it cannot be resumed. */
uint64_t sm_time_to_wait(const struct sm_conf *conf, const struct elem *enable);
