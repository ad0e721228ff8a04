/* modules/adhoc.h - commands that people find and run with their clients: XEP-0050 (Ad-Hoc
 * Commands). mod_adhoc answers the requests and keeps the sessions of commands with several
 * stages; a module offers its commands from a function on adhoc_hook:
 *
 *   static enum hook_next offer(void *subject, void *arg)
 *   {
 *           adhoc_offer(subject, commands, ARRAY_LEN(commands), may(subject), arg);
 *           return HOOK_GO_ON;
 *   }
 *
 * The hook runs for each request, on a shard or a job thread, and does not block; a command runs on
 * a job thread. Its module may be stopped meanwhile: it relies on nothing that stop() frees. */
#pragma once

#include "core/arena.h"
#include "core/hook.h"
#include "router/host.h"
#include "router/iq.h"
#include "xml/builder.h"
#include "xml/form.h"

struct adhoc;

/* The rest of what run() returns is an enum stanza_error. */
#define ADHOC_DONE 0 /* completed; notes and a form of results are in the answer */
#define ADHOC_MORE (-1) /* the answer holds the next form */
#define ADHOC_WRONG (-2) /* what was filled in will not do: a->problem says why, if set */

/* Constant, and lives for ever. */
struct adhoc_command {
	const char *node;
	const char *name; /* for people; TR() */
	const char *instructions; /* TR(); NULL: none */
	const char *form_type; /* of the form; NULL: none */
	/* The first form, sent before run() is called; NULL: there is none, and run() is called at
	 * once. What is required is there when run() is called. */
	const struct form_row *fields;
	/* What a field of that form holds when it is sent; NULL: nothing. May be NULL itself.
	 * Blocks if it likes. */
	const char *(*preset)(struct adhoc *a, const struct form_row *field);
	int (*run)(struct adhoc *a); /* on a job thread */
};

enum adhoc_action { ADHOC_EXECUTE, ADHOC_NEXT, ADHOC_PREV, ADHOC_COMPLETE };
/* One step of one command. */
struct adhoc {
	const struct iq *iq;
	struct host *host;
	const struct adhoc_command *command;
	void *arg; /* as offered */
	const char *lang; /* of lang_pick(); one for all stages: §3.8 */
	struct arena *arena; /* for this step */
	enum adhoc_action action;
	const struct elem *form; /* what was filled in; NULL: nothing yet */
	struct builder *answer; /* inside <command/> */
	const char *problem; /* ADHOC_WRONG: English, TR() */
	/* The command's own between its stages: */
	unsigned stage; /* 0 for the first form */
	void *data; /* NULL at first */
	void (*free)(void *data); /* of data; whoever ends the session calls it */
};

struct adhoc_search;
/* In a function on adhoc_hook: these are mine. allowed: whoever asks may run them. */
void adhoc_offer(struct adhoc_search *s, const struct adhoc_command *commands, unsigned n,
	bool allowed, void *arg);
/* Whose commands are asked for, and by whom. */
struct host *adhoc_search_host(const struct adhoc_search *s);
const struct jid *adhoc_search_from(const struct adhoc_search *s);
extern struct hook adhoc_hook; /* subject: struct adhoc_search */

/* In run(). Before the next form: which ways there are besides "cancel", as bits, 1 <<
 * ADHOC_NEXT; the default is the last of them. */
void adhoc_ways(struct adhoc *a, unsigned ways);
/* After everything else. type: "info", "warn" or "error"; what failed has an "error" (§3.7). text
 * is in the person's language already. */
void adhoc_note(struct adhoc *a, const char *type, const char *text);
