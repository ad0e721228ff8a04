/* tests/scenario/clients/strophe_client.c - libstrophe, a client library in C, as its users use it.
 * Compiled and run by strophe_test.py; prints what happens, one line each, and ends with 0 when all
 * did that was asked for.
 *
 *   strophe_client CA register PORT JID PASSWORD
 *   strophe_client CA talk PORT starttls|direct JID PASSWORD PORT starttls|direct JID PASSWORD
 *
 * CA is the file of trusted certificates. register makes the account (XEP-0077). talk logs two
 * people in; the first speaks to the second, who answers; the first then pings the server and asks
 * what it can do. */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strophe.h>

#define NS_REGISTER "jabber:iq:register"
#define NS_PING "urn:xmpp:ping"

struct person {
	const char *jid; /* bare */
	xmpp_conn_t *conn;
	struct person *other; /* NULL: alone */
	bool speaks_first;
	bool available;
};

static xmpp_ctx_t *ctx;
static unsigned connected;
static bool finished; /* all was done that was asked for */

static void leave(struct person *p)
{
	xmpp_disconnect(p->conn);
	if (p->other)
		xmpp_disconnect(p->other->conn);
}

static int fail(struct person *p, const char *what)
{
	printf("%s: failed: %s\n", p->jid, what);
	leave(p);
	return 0;
}

static int finish(struct person *p)
{
	finished = true;
	leave(p);
	return 0;
}

/* Takes iq; handle is called with the answer. */
static void ask(struct person *p, xmpp_stanza_t *iq, xmpp_handler handle)
{
	xmpp_id_handler_add(p->conn, handle, xmpp_stanza_get_id(iq), p);
	xmpp_send(p->conn, iq);
	xmpp_stanza_release(iq);
}

static xmpp_stanza_t *add_child(xmpp_stanza_t *parent, const char *name, const char *text)
{
	xmpp_stanza_t *child = xmpp_stanza_new(ctx), *inner;

	xmpp_stanza_set_name(child, name);
	if (text) {
		inner = xmpp_stanza_new(ctx);
		xmpp_stanza_set_text(inner, text);
		xmpp_stanza_add_child(child, inner);
		xmpp_stanza_release(inner);
	}
	xmpp_stanza_add_child(parent, child);
	xmpp_stanza_release(child);
	return child; /* parent keeps it */
}

static xmpp_stanza_t *request(const char *type, const char *id, const char *name, const char *ns)
{
	xmpp_stanza_t *iq = xmpp_iq_new(ctx, type, id);

	xmpp_stanza_set_to(iq, "localhost");
	xmpp_stanza_set_ns(add_child(iq, name, NULL), ns);
	return iq;
}

static bool is_result(xmpp_stanza_t *iq)
{
	const char *type = xmpp_stanza_get_type(iq);

	return type && !strcmp(type, "result");
}

/* --- talking ------------------------------------------------------------------------------- */

static void say(struct person *p, const char *to, const char *text)
{
	xmpp_stanza_t *message = xmpp_message_new(ctx, "chat", to, NULL);

	xmpp_message_set_body(message, text);
	xmpp_send(p->conn, message);
	xmpp_stanza_release(message);
}

static int described(xmpp_conn_t *conn, xmpp_stanza_t *iq, void *arg)
{
	struct person *p = arg;
	xmpp_stanza_t *query = xmpp_stanza_get_child_by_ns(iq, XMPP_NS_DISCO_INFO), *child;

	(void)conn;
	if (!is_result(iq) || !query)
		return fail(p, "the server does not say what it can do");
	for (child = xmpp_stanza_get_children(query); child; child = xmpp_stanza_get_next(child)) {
		const char *name = xmpp_stanza_get_name(child);

		if (name && !strcmp(name, "identity"))
			printf("%s: the server is %s/%s\n", p->jid,
				xmpp_stanza_get_attribute(child, "category"),
				xmpp_stanza_get_attribute(child, "type"));
		else if (name && !strcmp(name, "feature"))
			printf("%s: the server can %s\n", p->jid,
				xmpp_stanza_get_attribute(child, "var"));
	}
	return finish(p);
}

static int ponged(xmpp_conn_t *conn, xmpp_stanza_t *iq, void *arg)
{
	struct person *p = arg;

	(void)conn;
	if (!is_result(iq))
		return fail(p, "a ping is not answered");
	printf("%s: ponged\n", p->jid);
	ask(p, request("get", "disco", "query", XMPP_NS_DISCO_INFO), described);
	return 0;
}

static int heard(xmpp_conn_t *conn, xmpp_stanza_t *message, void *arg)
{
	struct person *p = arg;
	char *text = xmpp_message_get_body(message);

	(void)conn;
	printf("%s: heard %s from %s\n", p->jid, text ? text : "nothing",
		xmpp_stanza_get_from(message));
	if (text)
		xmpp_free(ctx, text);
	if (p->speaks_first)
		ask(p, request("get", "ping", "ping", NS_PING), ponged);
	else
		say(p, xmpp_stanza_get_from(message), "and you & yours");
	return 1;
}

/* The own presence comes back: from now on messages to the account arrive here. */
static int saw_presence(xmpp_conn_t *conn, xmpp_stanza_t *presence, void *arg)
{
	struct person *p = arg;
	const char *from = xmpp_stanza_get_from(presence);
	struct person *first = p->speaks_first ? p : p->other;

	if (!from || strcmp(from, xmpp_conn_get_bound_jid(conn)))
		return 1;
	printf("%s: available\n", p->jid);
	p->available = true;
	if (p->other->available)
		say(first, first->other->jid, "hello <you>");
	return 0;
}

static void begin_talk(struct person *p)
{
	xmpp_stanza_t *presence = xmpp_presence_new(ctx);

	printf("%s: logged in, %s\n", p->jid,
		xmpp_conn_is_secured(p->conn) ? "secured" : "in plain");
	xmpp_handler_add(p->conn, heard, NULL, "message", NULL, p);
	xmpp_handler_add(p->conn, saw_presence, NULL, "presence", NULL, p);
	xmpp_send(p->conn, presence);
	xmpp_stanza_release(presence);
}

/* --- registering --------------------------------------------------------------------------- */

static int registered(xmpp_conn_t *conn, xmpp_stanza_t *iq, void *arg)
{
	struct person *p = arg;

	(void)conn;
	if (!is_result(iq))
		return fail(p, "not registered");
	printf("%s: registered\n", p->jid);
	return finish(p);
}

static int saw_form(xmpp_conn_t *conn, xmpp_stanza_t *iq, void *arg)
{
	struct person *p = arg;
	xmpp_stanza_t *query = xmpp_stanza_get_child_by_ns(iq, NS_REGISTER), *set;
	char *user = xmpp_jid_node(ctx, p->jid);

	if (!query || !xmpp_stanza_get_child_by_name(query, "username") ||
		!xmpp_stanza_get_child_by_name(query, "password")) {
		xmpp_free(ctx, user);
		return fail(p, "no form to register with");
	}
	set = request("set", "register", "query", NS_REGISTER);
	query = xmpp_stanza_get_children(set);
	add_child(query, "username", user);
	add_child(query, "password", xmpp_conn_get_pass(conn));
	ask(p, set, registered);
	xmpp_free(ctx, user);
	return 0;
}

static int saw_features(xmpp_conn_t *conn, xmpp_stanza_t *features, void *arg);

static void open_stream(struct person *p)
{
	xmpp_handler_add(p->conn, saw_features, XMPP_NS_STREAMS, "features", NULL, p);
	xmpp_conn_open_stream_default(p->conn);
}

static int may_proceed(xmpp_conn_t *conn, xmpp_stanza_t *answer, void *arg)
{
	const char *name = xmpp_stanza_get_name(answer);

	if (!name || strcmp(name, "proceed") || xmpp_conn_tls_start(conn))
		return fail(arg, "TLS does not begin");
	open_stream(arg);
	return 0;
}

static int saw_features(xmpp_conn_t *conn, xmpp_stanza_t *features, void *arg)
{
	struct person *p = arg;

	if (!xmpp_conn_is_secured(conn) && xmpp_stanza_get_child_by_ns(features, XMPP_NS_TLS)) {
		xmpp_handler_add(conn, may_proceed, XMPP_NS_TLS, NULL, NULL, p);
		xmpp_send_raw_string(conn, "<starttls xmlns='%s'/>", XMPP_NS_TLS);
	} else if (xmpp_stanza_get_child_by_ns(
			   features, "http://jabber.org/features/iq-register")) {
		ask(p, request("get", "form", "query", NS_REGISTER), saw_form);
	} else {
		fail(p, "registration is not offered");
	}
	return 0;
}

/* --- coming and going ---------------------------------------------------------------------- */

static void gone(struct person *p, int error, const xmpp_stream_error_t *why)
{
	printf("%s: gone\n", p->jid);
	if (error || why)
		printf("%s: error %d, %s\n", p->jid, error,
			why && why->text ? why->text : "no stream error");
	leave(p);
	if (!--connected)
		xmpp_stop(ctx);
}

static void talk_event(
	xmpp_conn_t *conn, xmpp_conn_event_t event, int error, xmpp_stream_error_t *why, void *arg)
{
	(void)conn;
	if (event == XMPP_CONN_CONNECT)
		begin_talk(arg);
	else
		gone(arg, error, why);
}

/* Of a connection whose stream is opened by hand: it tells of the opened stream too. */
static void register_event(
	xmpp_conn_t *conn, xmpp_conn_event_t event, int error, xmpp_stream_error_t *why, void *arg)
{
	(void)conn;
	if (event == XMPP_CONN_RAW_CONNECT)
		open_stream(arg);
	else if (event != XMPP_CONN_CONNECT)
		gone(arg, error, why);
}

static void begin(struct person *p, const char *ca, const char *password, long flags)
{
	p->conn = xmpp_conn_new(ctx);
	xmpp_conn_set_jid(p->conn, p->jid);
	xmpp_conn_set_pass(p->conn, password);
	xmpp_conn_set_cafile(p->conn, ca);
	xmpp_conn_set_flags(p->conn, flags);
	connected++;
}

static unsigned short port_of(const char *text)
{
	return (unsigned short)atoi(text);
}

/* how: PORT JID PASSWORD. */
static bool begin_registering(struct person *p, const char *ca, char **how)
{
	*p = (struct person){ .jid = how[1] };
	begin(p, ca, how[2], 0);
	return !xmpp_connect_raw(p->conn, "127.0.0.1", port_of(how[0]), register_event, p);
}

/* how: PORT TLS JID PASSWORD. */
static bool begin_talking(struct person *p, struct person *other, const char *ca, char **how)
{
	bool direct = !strcmp(how[1], "direct");

	p->jid = how[2];
	p->other = other;
	begin(p, ca, how[3], direct ? XMPP_CONN_FLAG_LEGACY_SSL : XMPP_CONN_FLAG_MANDATORY_TLS);
	return !xmpp_connect_client(p->conn, "127.0.0.1", port_of(how[0]), talk_event, p);
}

static int usage(void)
{
	fprintf(stderr,
		"strophe_client CA register PORT JID PASSWORD\n"
		"strophe_client CA talk PORT TLS JID PASSWORD PORT TLS JID PASSWORD\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct person people[2] = { { .speaks_first = true } };
	bool begun;

	setlinebuf(stdout);
	xmpp_initialize();
	ctx = xmpp_ctx_new(NULL, xmpp_get_default_logger(XMPP_LEVEL_DEBUG));
	if (argc == 6 && !strcmp(argv[2], "register"))
		begun = begin_registering(&people[0], argv[1], argv + 3);
	else if (argc == 11 && !strcmp(argv[2], "talk"))
		begun = begin_talking(&people[0], &people[1], argv[1], argv + 3) &&
			begin_talking(&people[1], &people[0], argv[1], argv + 7);
	else
		return usage();
	if (begun)
		xmpp_run(ctx);
	for (unsigned i = 0; i < 2; i++)
		if (people[i].conn)
			xmpp_conn_release(people[i].conn);
	xmpp_ctx_free(ctx);
	xmpp_shutdown();
	return !begun || !finished;
}
