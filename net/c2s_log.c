/* net/c2s_log.c - what a client stream says in the log, and all it says when it is followed. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "net/c2s_stream.h"
#include "router/acks.h"

struct names {
	char connection[24], address[CONF_ADDRESS_TEXT_MAX];
	char bare[JID_TEXT_MAX], full[JID_TEXT_MAX]; /* "" before there is a JID */
};

static void names_write(const struct c2s *c, struct names *n)
{
	const struct session_origin origin = session_origin(&c->session);

	snprintf(n->connection, sizeof(n->connection), "c%" PRIx64, c->session.id.v);
	conf_address_write(&origin.address, n->address);
	n->bare[0] = n->full[0] = 0;
	if (c->session.jid) {
		jid_write_bare(c->session.jid, n->bare);
		jid_write(c->session.jid, n->full);
	}
}

bool c2s_is_followed(struct c2s *c)
{
	unsigned version = log_follow_version();
	struct names n;

	if (c->follow_version == version)
		return c->followed;
	names_write(c, &n);
	c->follow_version = version;
	c->followed = log_follow_matches(n.bare, n.full, n.connection) ||
		log_follow_matches(n.address, NULL, NULL);
	return c->followed;
}

void c2s_log_write(struct c2s *c, enum log_level level, const char *what,
	const struct log_field *fields, unsigned n)
{
	struct log_field all[C2S_LOG_FIELDS_MAX + 3];
	unsigned ours = 0;
	struct names names;

	REQUIRE(n <= C2S_LOG_FIELDS_MAX);
	names_write(c, &names);
	all[ours++] = L_STR("connection", names.connection);
	all[ours++] = L_STR("address", names.address);
	if (names.full[0])
		all[ours++] = L_STR("jid", names.full);
	memcpy(all + ours, fields, n * sizeof(*fields));
	log_write(level, "c2s", what, all, ours + n);
}

/* Payloads stay out: they hold what people say, and passwords. */
void c2s_log_stanza_write(struct c2s *c, const char *what, const struct stanza *s)
{
	char to[JID_TEXT_MAX] = "", from[JID_TEXT_MAX] = "";

	if (s->to)
		jid_write(s->to, to);
	if (s->from)
		jid_write(s->from, from);
	c2s_log(c, LOG_LEVEL_NONE, what, L_STR("name", s->root->name),
		L_STR("type", elem_attr(s->root, "type")), L_STR("id", s->id), L_STR("from", from),
		L_STR("to", to),
		L_STR("payload", elem_first(s->root) ? elem_first(s->root)->ns : ""),
		L_INT("bytes", s->bytes));
}
