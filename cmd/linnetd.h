/* cmd/linnetd.h - the server as a whole: how it starts, reloads and ends, and the commands that an
 * operator has for it. main and the control thread. */
#pragma once

#include <jansson.h>
#include <stdio.h>

#include "cmd/linnetd_settings.h"
#include "core/attr.h"
#include "core/command.h"
#include "net/stream.h"
#include "xml/jid.h"

struct host;
struct tls_store;

/* linnetd_server.c */
/* Everything, in order; on a failure what had started is stopped and stderr has the reasons. 0 or
 * negative. Both paths outlive the server; pid_file NULL: as the settings say. main. */
int server_start(const char *settings_path, const char *pid_file);
/* Ends it: clients are told and get a moment. False: it had ended by itself, as its parts did not
 * stay up. main. */
bool server_stop(void);
const char *server_settings_path(void);
struct tls_store *server_tls(void);

/* linnetd_reload.c */
/* Reads the settings file and applies it, or with dry_run only tells, without starting modules or
 * opening the log. What changed and what waits for a restart, each an object with its line; or NULL
 * and *why has all errors (the caller frees): then nothing has changed. One caller at a time; the
 * others wait. Any registered thread that may block. */
json_t *server_reload(bool dry_run, char **why);
void reload_init(void); /* once, at the start */
/* No reload between the two: for who changes what reloads change. As server_reload(). */
void reload_hold(void);
void reload_release(void);
void reload_and_log(void); /* for SIGHUP: the outcome goes to the log and to systemd */

/* linnetd_certificates.c */
struct tls_change;
/* Between those in use and those prepared. */
void certificate_differences(
	struct tls_store *store, const struct tls_change *change, difference_fn *fn, void *arg);

/* linnetd_commands.c, linnetd_accounts.c, linnetd_sessions.c, linnetd_dns.c, linnetd_s2s.c,
 * linnetd_supervisor.c, linnetd_stored.c, linnetd_reports.c, linnetd_roster.c, linnetd_caps.c,
 * linnetd_groups.c */
void commands_add(void); /* all of them; once */
void commands_add_accounts(void);
void commands_add_sessions(void);
void commands_add_dns(void);
void commands_add_s2s(void);
void commands_add_supervisor(void);
void commands_add_privacy(void);
void commands_add_push(void);
void commands_add_stored(void);
void commands_add_reports(void);
void commands_add_rosters(void);
void commands_add_messages(void);
void commands_add_announce(void);
void commands_add_caps(void);
void commands_add_clients(void);
void commands_add_components(void);
void commands_add_groups(void);
unsigned kick_sessions(const struct jid *whom, enum stream_condition why, const char *text);
enum hook_next end_removed_sessions(void *subject, void *arg); /* hangs on account_removed_hook */
enum hook_next end_revoked_sessions(void *subject, void *arg); /* on user_agent_revoked_hook */
json_t *time_value(int64_t seconds); /* "2026-11-21T12:00:00Z" */

/* linnetd_account.c: what commands about one account have in common. On job threads. */
/* The argument `host`, counted, or NULL and the answer says why. */
struct host *host_of_args(const json_t *args, struct command_answer *answer);
/* The same, and the argument `user` prepared into user (JID_PART_MAX + 1 bytes). */
struct host *account_of_args(const json_t *args, char *user, struct command_answer *answer);
/* Those two, first in a table of struct command_arg. */
#define ACCOUNT_ARGS                                                             \
	{ "user", ARG_STRING, .help = "The part of the address before the @." }, \
	{                                                                        \
		"host", ARG_HOST, .help = "A host of this server."               \
	}
/* The same, where the module runs whose tables are looked at; module NULL: the server's own. */
struct host *account_of_module(
	const char *module, const json_t *args, char *user, struct command_answer *answer);
/* What went wrong with the database: a negative errno. */
void command_fail_db(struct command_answer *answer, int64_t error);
/* {what: n}, or n is what went wrong with the database. */
void command_number(struct command_answer *answer, const char *what, int64_t n);
/* Counts, or removes and counts, something of the account in the arguments: fn says how many there
 * were, or a negative errno, and that is the answer. */
typedef int64_t account_number_fn(struct host *h, const struct jid *account, const json_t *args);
ON_JOB void command_number_of(const char *module, const char *what, account_number_fn *fn,
	const json_t *args, struct command_answer *answer);
/* Lists something of it: fn adds a row for each, and returns a negative errno when it cannot. */
typedef int account_list_fn(struct host *h, const struct jid *account, json_t *rows);
ON_JOB void command_list_of(
	const char *module, account_list_fn *fn, const json_t *args, struct command_answer *answer);

/* linnetd_reference.c */
/* A page of the manual (linnetd_options.h); false: there is no such page. */
bool reference_print(const char *page, FILE *out);
/* linnetd_doap.c: its page linnet.doap. */
void doap_print(FILE *out);
