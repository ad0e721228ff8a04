/* bench/bench_options.h - what a run is told: one table makes the command line, --help and the man
 * page. To add an option: a field here, a row in bench_options.c. */
#pragma once

#include <stdio.h>

#include "bench/bench_process.h"
#include "core/attr.h"

enum bench_tls { BENCH_PLAIN, BENCH_STARTTLS, BENCH_DIRECT_TLS };
enum bench_mech { MECH_SCRAM_SHA_1, MECH_SCRAM_SHA_256, MECH_PLAIN };
enum bench_login { LOGIN_SASL, LOGIN_SASL2, LOGIN_TOKEN };
enum bench_to { TO_FULL, TO_BARE };

struct options {
	const char *scenario; /* NULL with do_register, list, help or man alone */
	const char *host, *domain;
	const char *user_prefix, *password;
	unsigned port;
	enum bench_tls tls;
	enum bench_mech mech;
	enum bench_login login;
	enum bench_to to; /* JIDs that messages are sent to */
	unsigned users; /* user0 .. */
	unsigned first_user;
	unsigned processes; /* of the load generator; 0: as many as the limit of open files asks for
			     */
	unsigned parallel; /* logins under way at once */
	unsigned inflight; /* messages or pings of one pair or user on the way */
	unsigned size; /* bytes of a message's body */
	unsigned fanout; /* contacts of a user, occupants of a room, subscribers of a node */
	unsigned batch; /* what is kept for one user before it is fetched; 0: the scenario's choice
			 */
	unsigned page; /* messages asked of an archive at once */
	double rate; /* operations per second of all users together; 0: closed loop */
	double seconds, warmup;
	uint64_t messages; /* ends the measurement when it comes before its time; 0: none */
	bool do_register; /* make the accounts first, XEP-0077 */
	bool list; /* print the accounts and end */
	bool sm; /* stream management: XEP-0198 */
	bool carbons; /* XEP-0280 */
	bool finish; /* measure until the server has nothing left to do */
	bool relay; /* no XMPP server: linnet-relay, so nobody logs in */
	bool one_address; /* all from the kernel's choice instead of spread over 127.0.0.0/8 */
	bool quiet; /* no live view */
	bool help, man; /* print that and end */
	const char *json, *html; /* files; "-": standard output; NULL: none */
	struct processes server;
};

/* False after saying on stderr what is wrong. The texts of argv are borrowed. */
bool options_read(struct options *o, int argc, char **argv);
void options_help(FILE *out);
/* The man page linnet-bench(1). */
void options_man(FILE *out);
/* What is measured, in one line. */
void options_title(const struct options *o, char *out, size_t room);
