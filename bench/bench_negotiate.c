/* bench/bench_negotiate.c - one step after the other, as the server answers. */
#include "bench/bench_negotiate.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool starts(const char *text, const char *with)
{
	return !strncmp(text, with, strlen(with));
}

static void names_of(const struct client *c, char *user, char *password, size_t room)
{
	const struct options *o = c->loop->options;

	snprintf(user, room, "%s%u", o->user_prefix, o->first_user + c->number);
	snprintf(password, room, "%s%u", o->password, o->first_user + c->number);
}

/* XEP-0388: login and resource, and a token if one is wanted. */
static void begin_sasl2(struct client *c)
{
	const struct options *o = c->loop->options;
	const struct scram_account *a = &c->loop->accounts[c->number];
	char user[100], password[100], text[SCRAM_TEXT];
	bool fast = o->login == LOGIN_TOKEN && a->token[0];

	names_of(c, user, password, sizeof(user));
	if (fast) {
		token_proof(a, user, text);
	} else if (!scram_begin(&c->scram, o->mech, user, password, text)) {
		client_lose(c, "name or password too long");
		return;
	}
	client_sendf(c,
		"<authenticate xmlns='urn:xmpp:sasl:2' mechanism='%s'>"
		"<initial-response>%s</initial-response>"
		"<user-agent id='00000000-0000-4000-8000-%012x'/>"
		"<bind xmlns='urn:xmpp:bind:0'/>%s</authenticate>",
		fast ? "HT-SHA-256-NONE" : mech_name(o->mech), text, o->first_user + c->number,
		fast ? "<fast xmlns='urn:xmpp:fast:0'/>"
			: o->login == LOGIN_TOKEN
			? "<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>"
			: "");
	c->step = STEP_SASL2;
}

/* Who has a token knows from the last time what is offered, and does not wait for it. */
static bool goes_ahead(const struct client *c)
{
	return c->ssl && c->goal == GOAL_SESSION && c->loop->options->login == LOGIN_TOKEN &&
		c->loop->accounts[c->number].token[0];
}

static void open_stream(struct client *c)
{
	scan_restart(&c->scan);
	client_sendf(c,
		"<?xml version='1.0'?><stream:stream to='%s' version='1.0' xml:lang='en' "
		"xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>",
		c->loop->options->domain);
	c->step = STEP_FEATURES;
	if (goes_ahead(c))
		begin_sasl2(c);
}

void negotiate_handshake(struct client *c)
{
	int n;

	if (!c->ssl) {
		c->ssl = SSL_new(c->loop->tls);
		SSL_set_fd(c->ssl, c->fd);
		SSL_set_connect_state(c->ssl);
		SSL_set_tlsext_host_name(c->ssl, c->loop->options->domain);
		if (c->loop->options->tls == BENCH_DIRECT_TLS)
			SSL_set_alpn_protos(c->ssl, (const uint8_t *)"\x0bxmpp-client", 12);
	}
	c->step = STEP_HANDSHAKE;
	ERR_clear_error();
	n = SSL_do_handshake(c->ssl);
	if (n == 1) {
		client_wants_write(c, false);
		open_stream(c);
		return;
	}
	switch (SSL_get_error(c->ssl, n)) {
	case SSL_ERROR_WANT_READ:
		client_wants_write(c, false);
		break;
	case SSL_ERROR_WANT_WRITE:
		client_wants_write(c, true);
		break;
	default:
		client_lose(c, "TLS handshake failed");
	}
}

static void begin_sasl(struct client *c)
{
	enum bench_mech mech = c->loop->options->mech;
	char user[100], password[100], text[SCRAM_TEXT];

	names_of(c, user, password, sizeof(user));
	if (!scram_begin(&c->scram, mech, user, password, text)) {
		client_lose(c, "name or password too long");
		return;
	}
	client_sendf(c, "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='%s'>%s</auth>",
		mech_name(mech), text);
	c->step = mech == MECH_PLAIN ? STEP_SUCCESS : STEP_CHALLENGE;
}

static void begin_register(struct client *c)
{
	char user[100], password[100];

	names_of(c, user, password, sizeof(user));
	client_sendf(c,
		"<iq type='set' id='reg'><query xmlns='jabber:iq:register'>"
		"<username>%s</username><password>%s</password></query></iq>",
		user, password);
	c->step = STEP_REGISTER;
}

static void on_features(struct client *c, const char *text)
{
	const char *session;

	if (!strstr(text, "features")) {
		client_lose(c, text);
	} else if (c->authenticated && c->resume) {
		client_send(c, c->resume, strlen(c->resume));
		c->step = STEP_RESUME;
	} else if (c->authenticated) {
		if (!c->loop->features)
			c->loop->features = strdup(text);
		session = strstr(text, "urn:ietf:params:xml:ns:xmpp-session");
		c->wants_session = session && strncmp(session + 36, "><optional", 10);
		client_sendf(c,
			"<iq type='set' id='bind'>"
			"<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>");
		c->step = STEP_BIND;
	} else if (c->loop->options->tls == BENCH_STARTTLS && !c->ssl) {
		client_sendf(c, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>");
		c->step = STEP_PROCEED;
	} else if (c->goal == GOAL_ACCOUNT) {
		begin_register(c);
	} else if (c->loop->options->login != LOGIN_SASL) {
		begin_sasl2(c);
	} else {
		begin_sasl(c);
	}
}

static void on_challenge(struct client *c, const char *text)
{
	struct loop *l = c->loop;
	const char *from = strchr(text, '>'), *to = strrchr(text, '<');
	char user[100], password[100], answer[SCRAM_TEXT];

	names_of(c, user, password, sizeof(user));
	if (!starts(text, "<challenge") || !from || to <= from ||
		!scram_answer(&c->scram, &l->accounts[c->number], l->options->mech, password,
			from + 1, (size_t)(to - from - 1), answer)) {
		client_lose(c, text);
		return;
	}
	client_sendf(c, "<response xmlns='%s'>%s</response>",
		c->step == STEP_SASL2 ? "urn:xmpp:sasl:2" : "urn:ietf:params:xml:ns:xmpp-sasl",
		answer);
	if (c->step != STEP_SASL2)
		c->step = STEP_SUCCESS;
}

/* <success/> with the address, and perhaps a token. */
static void on_sasl2(struct client *c, const char *text)
{
	static const char who[] = "<authorization-identifier>", token[] = " token='";
	struct scram_account *a = &c->loop->accounts[c->number];
	const char *jid = strstr(text, who), *given = strstr(text, token);

	if (strstr(text, "features")) /* of before, when it has not waited for them */
		return;
	if (starts(text, "<challenge")) {
		on_challenge(c, text);
		return;
	}
	if (!starts(text, "<success") || !jid) {
		a->token[0] = 0; /* by password again */
		client_lose(c, text);
		return;
	}
	jid += sizeof(who) - 1;
	c->jid = strndup(jid, strcspn(jid, "<"));
	if (given)
		snprintf(a->token, sizeof(a->token), "%.*s",
			(int)strcspn(given + sizeof(token) - 1, "'"), given + sizeof(token) - 1);
	c->authenticated = true;
	c->step = STEP_SASL2_FEATURES;
}

static void become_ready(struct client *c)
{
	c->managed = false;
	if (c->loop->options->sm)
		client_sendf(c, "<enable xmlns='urn:xmpp:sm:3' resume='true'/>");
	if (c->loop->options->carbons)
		client_sendf(
			c, "<iq type='set' id='carbons'><enable xmlns='urn:xmpp:carbons:2'/></iq>");
	client_sendf(c, "<presence/>");
	c->step = STEP_READY;
	c->events->ready(c);
}

/* linnet-relay has greeted us. Its pairs are those who come one after the other. */
static void relayed(struct client *c)
{
	if (asprintf(&c->jid, "%s%u@%s/relay", c->loop->options->user_prefix, c->number,
		    c->loop->options->domain) < 0)
		abort();
	c->step = STEP_READY;
	c->events->ready(c);
}

static void on_bound(struct client *c, const char *text)
{
	const char *from = strstr(text, "<jid>"), *to = from ? strchr(from + 5, '<') : NULL;

	if (!starts(text, "<iq") || !attr_is(text, "type", "result") || !to) {
		client_lose(c, text);
		return;
	}
	c->jid = strndup(from + 5, (size_t)(to - from - 5));
	if (!c->wants_session) {
		become_ready(c);
		return;
	}
	client_sendf(c,
		"<iq type='set' id='sess'>"
		"<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/></iq>");
	c->step = STEP_SESSION;
}

/* What is there already (RFC 6120 §8.3.3.2 conflict) is as good as made. */
static void on_registered(struct client *c, const char *text)
{
	if (!starts(text, "<iq") ||
		!(attr_is(text, "type", "result") || strstr(text, "<conflict"))) {
		client_lose(c, text);
		return;
	}
	c->step = STEP_READY;
	c->events->ready(c);
}

void negotiate_stanza(struct client *c, const char *text)
{
	switch (c->step) {
	case STEP_FEATURES:
		on_features(c, text);
		break;
	case STEP_PROCEED:
		if (starts(text, "<proceed"))
			negotiate_handshake(c);
		else
			client_lose(c, text);
		break;
	case STEP_CHALLENGE:
		on_challenge(c, text);
		break;
	case STEP_SUCCESS:
		if (starts(text, "<success")) {
			c->authenticated = true;
			open_stream(c);
		} else {
			client_lose(c, text);
		}
		break;
	case STEP_SASL2:
		on_sasl2(c, text);
		break;
	case STEP_SASL2_FEATURES:
		become_ready(c);
		break;
	case STEP_BIND:
		on_bound(c, text);
		break;
	case STEP_SESSION:
		if (attr_is(text, "type", "result"))
			become_ready(c);
		break;
	case STEP_RESUME:
		c->step = STEP_READY;
		c->events->stanza(c, text);
		break;
	case STEP_REGISTER:
		on_registered(c, text);
		break;
	default:
		break;
	}
}

void negotiate_opened(struct client *c)
{
	if (c->loop->options->relay)
		relayed(c);
}

void negotiate_begin(struct client *c)
{
	if (c->loop->options->relay)
		c->step = STEP_FEATURES; /* waits for the greeting */
	else if (c->loop->options->tls == BENCH_DIRECT_TLS)
		negotiate_handshake(c);
	else
		open_stream(c);
}
