/* bench/bench_options.h - what a run is told. */
#pragma once

#include "bench/bench_process.h"
#include "core/attr.h"

enum bench_tls { BENCH_PLAIN, BENCH_STARTTLS, BENCH_DIRECT_TLS };
enum bench_mech { MECH_SCRAM_SHA_1, MECH_SCRAM_SHA_256, MECH_PLAIN };

struct options {
	const char *scenario; /* NULL with do_register or list alone */
	const char *host, *domain;
	const char *user_prefix, *password;
	uint16_t port;
	enum bench_tls tls;
	enum bench_mech mech;
	unsigned users; /* user0 .. */
	unsigned first_user;
	unsigned parallel; /* logins under way at once */
	unsigned inflight; /* messages or pings of one pair or user on the way */
	unsigned size; /* bytes of a message's body */
	double seconds, warmup;
	uint64_t messages; /* ends the measurement when it comes before its time; 0: none */
	bool do_register; /* make the accounts first, XEP-0077 */
	bool list; /* print the accounts and end */
	bool relay; /* no XMPP server: linnet-relay, so nobody logs in */
	bool one_address; /* all from the kernel's choice instead of spread over 127.0.0.0/8 */
	bool json;
	struct processes server;
};

/* Ends the program on a wrong option. */
void options_read(struct options *o, int argc, char **argv);
/* What is measured, in one line. */
void options_title(const struct options *o, char *out, size_t room);
