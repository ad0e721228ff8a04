/* modules/announce.h - messages of the operator to everybody, for the module's addresses and ad-hoc
 * commands, for linnetctl and for whatever else has something to announce. */
#pragma once

#include "modules/campaign.h"
#include "modules/motd.h"

enum announcement { /* ejabberd's addresses: host/announce/... */
	ANNOUNCE_ONLINE, /* online */
	ANNOUNCE_ALL, /* all */
	ANNOUNCE_MOTD, /* motd: kept, and told to who is connected */
	ANNOUNCE_MOTD_UPDATE, /* motd/update: kept */
	ANNOUNCE_MOTD_DELETE, /* motd/delete */
};
/* On one host, where mod_announce runs, or h NULL: on all where it does. notice: not for
 * ANNOUNCE_MOTD_DELETE. *out_id: the campaign's number, 0 when there is none. 0, 1: there was no
 * message of the day to delete; -ENODEV: the module does not run there; else as campaign_begin().
 */
ON_JOB int announce(
	struct host *h, enum announcement what, const struct notice *notice, unsigned *out_id);
/* The hosts where mod_announce runs; fn may block. */
ON_JOB void announce_each_host(void (*fn)(struct host *h, void *arg), void *arg);
