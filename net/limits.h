/* net/limits.h - what one address may do before it has logged in.
 * Counts connections that are not authenticated yet and logins that failed, by IPv4 address or IPv6
 * /64. Asked at accept, at login and at the end, never on a stanza's way. Bounded: of addresses
 * that have nothing open the least recent failures are forgotten first. Any thread. */
#pragma once

#include "core/attr.h"
#include "core/conf.h"

/* One more connection that is not authenticated; false when the address has max already (0: no
 * bound), and then it is not counted. */
bool limits_begin(const struct conf_prefix *address, int64_t max);
void limits_end(const struct conf_prefix *address); /* it is authenticated, or gone */

/* A login failed; the window opens with the first failure. */
void limits_login_failed(const struct conf_prefix *address, int64_t window_ms);
/* Whether logins are refused: max failures within a window that is not over. 0: no bound. */
bool limits_login_blocked(const struct conf_prefix *address, int64_t max);

/* Logins that have failed are remembered over an upgrade: core/handover.h, part "limits". main. */
void limits_handover(void);
