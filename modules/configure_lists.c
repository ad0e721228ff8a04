/* modules/configure_lists.c - how many users and who: XEP-0133 §4.13-4.22.
 * Active is who has an available resource, idle who is connected without one. */
#include <errno.h>
#include <stdlib.h>

#include "core/job.h"
#include "modules/configure.h"
#include "modules/module.h"
#include "router/directory.h"

#define LISTED_MAX 1000 /* names in one answer */

/* ---- Who is connected */

enum who { WHO_ONLINE, WHO_ACTIVE, WHO_IDLE };
struct search {
	const char *host;
	enum who who;
	unsigned max; /* names wanted */
	uint64_t n; /* all there are */
	struct builder *answer; /* NULL: only counts */
};

static bool is_active(const struct sessions *s)
{
	for (unsigned i = 0; i < s->n; i++)
		if (s->at[i].available)
			return true;
	return false;
}

static void consider(const struct sessions *s, void *arg)
{
	const struct jid *jid = s->at[0].session->jid;
	struct search *search = arg;
	char text[JID_TEXT_MAX];

	if (strcmp(jid_domain(jid), search->host) != 0)
		return;
	if (search->who != WHO_ONLINE && is_active(s) != (search->who == WHO_ACTIVE))
		return;
	search->n++;
	if (!search->answer || search->n > search->max)
		return;
	jid_write_bare(jid, text);
	form_value(search->answer, text);
}

/* ---- Numbers */

static int tell_number(struct adhoc *a, const char *var, uint64_t n)
{
	const struct form_row row = {
		.var = var, .type = FORM_TEXT_SINGLE, .label = a->command->name
	};
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)n);
	form_open(a->answer, "result", NS_ADMIN);
	form_result(a->answer, a->lang, &row, text);
	build_close(a->answer);
	return ADHOC_DONE;
}

static int count_connected(struct adhoc *a, enum who who, const char *var)
{
	struct search s = { .host = a->host->name, .who = who };

	directory_each(consider, &s);
	return tell_number(a, var, s.n);
}

static int count_registered(struct adhoc *a)
{
	uint64_t n;
	int error;

	job_check();
	error = auth_count(a->host, &n);
	return error ? configure_outcome(a, error) : tell_number(a, "registeredusersnum", n);
}

/* A page of names; the last one, for the next page. */
struct page {
	struct builder *answer; /* NULL: only counts */
	const char *host;
	uint64_t n;
	char last[JID_PART_MAX + 1];
};

static void take_name(const char *user, void *arg)
{
	struct page *p = arg;

	p->n++;
	strcpy(p->last, user);
	if (p->answer) {
		AUTO(free_ptr) char *address = xprintf("%s@%s", user, p->host);

		form_value(p->answer, address);
	}
}

static int count_disabled(struct adhoc *a)
{
	struct page p = { .last = "" };
	uint64_t before;
	int error;

	job_check();
	do {
		AUTO(free_ptr) char *after = xstrdup(p.last);

		before = p.n;
		error = auth_list_disabled(a->host, after, LISTED_MAX, take_name, &p);
	} while (!error && p.n - before == LISTED_MAX);
	return error ? configure_outcome(a, error) : tell_number(a, "disabledusersnum", p.n);
}

static int count_online(struct adhoc *a)
{
	return count_connected(a, WHO_ONLINE, "onlineusersnum");
}

static int count_active(struct adhoc *a)
{
	return count_connected(a, WHO_ACTIVE, "activeusersnum");
}

static int count_idle(struct adhoc *a)
{
	return count_connected(a, WHO_IDLE, "idleusersnum");
}

/* ---- Lists */

static const char *const sizes[] = { "25", "50", "75", "100", "150", "200", "none", NULL };
static const struct form_row size_field[] = { { "max_items", FORM_LIST_SINGLE,
						      TR("Number of entries at most"),
						      .required = true, .options = sizes },
	{ 0 } };

static const char *preset_size(struct adhoc *a UNUSED, const struct form_row *field UNUSED)
{
	return "25";
}

static unsigned size_asked(struct adhoc *a)
{
	const char *text = form_text(a->form, "max_items", a->arena);
	int n = text ? atoi(text) : 0;

	return n > 0 && n < LISTED_MAX ? (unsigned)n : LISTED_MAX;
}

static void open_list(struct adhoc *a, const char *var)
{
	const struct form_row row = {
		.var = var, .type = FORM_JID_MULTI, .label = a->command->name
	};

	form_open(a->answer, "result", NS_ADMIN);
	form_field(a->answer, a->lang, &row);
}

static int close_list(struct adhoc *a)
{
	build_close(a->answer);
	build_close(a->answer);
	return ADHOC_DONE;
}

static int list_connected(struct adhoc *a, enum who who, const char *var)
{
	struct search s = {
		.host = a->host->name, .who = who, .max = size_asked(a), .answer = a->answer
	};

	open_list(a, var);
	directory_each(consider, &s);
	return close_list(a);
}

typedef int list_fn(struct host *h, const char *after, unsigned max,
	void (*fn)(const char *user, void *fn_arg), void *fn_arg);

static int list_accounts(struct adhoc *a, list_fn *list, const char *var)
{
	struct page p = { .answer = a->answer, .host = a->host->name };
	int error;

	open_list(a, var);
	error = list(a->host, "", size_asked(a), take_name, &p);
	return error ? configure_outcome(a, error) : close_list(a);
}

static int list_registered(struct adhoc *a)
{
	job_check();
	return list_accounts(a, auth_list, "registereduserjids");
}

static int list_disabled(struct adhoc *a)
{
	job_check();
	return list_accounts(a, auth_list_disabled, "disableduserjids");
}

static int list_online(struct adhoc *a)
{
	return list_connected(a, WHO_ONLINE, "onlineuserjids");
}

static int list_active(struct adhoc *a)
{
	return list_connected(a, WHO_ACTIVE, "activeuserjids");
}

static int list_idle(struct adhoc *a)
{
	return list_connected(a, WHO_IDLE, "idleuserjids");
}

/* ---- The table */

#define NUMBER(n, title, fn)                                        \
	{                                                           \
		.node = ADMIN_NODE(n), .name = (title), .run = (fn) \
	}
#define LIST(n, title, fn)                                                     \
	{                                                                      \
		.node = ADMIN_NODE(n), .name = (title), .form_type = NS_ADMIN, \
		.fields = size_field, .preset = preset_size, .run = (fn)       \
	}
static const struct adhoc_command commands[] = {
	NUMBER("get-registered-users-num", TR("Number of registered users"), count_registered),
	NUMBER("get-disabled-users-num", TR("Number of disabled users"), count_disabled),
	NUMBER("get-online-users-num", TR("Number of online users"), count_online),
	NUMBER("get-active-users-num", TR("Number of active users"), count_active),
	NUMBER("get-idle-users-num", TR("Number of idle users"), count_idle),
	LIST("get-registered-users-list", TR("List of registered users"), list_registered),
	LIST("get-disabled-users-list", TR("List of disabled users"), list_disabled),
	LIST("get-online-users-list", TR("List of online users"), list_online),
	LIST("get-active-users", TR("List of active users"), list_active),
	LIST("get-idle-users", TR("List of idle users"), list_idle),
};
const struct adhoc_commands list_commands = { commands, ARRAY_LEN(commands) };
