/* net/sm_element.c - what elements say, and writing them. */
#include "net/sm_element.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xml/builder.h"

bool sm_read_h(const struct elem *e, uint32_t *out)
{
	const char *text = elem_attr(e, "h");
	unsigned long long value;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	value = strtoull(text, &end, 10);
	*out = (uint32_t)value;
	return !*end && value <= UINT32_MAX;
}

static bool is_true(const char *value)
{
	return value && (!strcmp(value, "true") || !strcmp(value, "1"));
}

uint64_t sm_time_to_wait(const struct sm_conf *conf, const struct elem *enable)
{
	const char *asked = elem_attr(enable, "max");
	uint64_t most = (uint64_t)conf->max_resume_timeout_ms;
	uint64_t ms = (uint64_t)conf->resume_timeout_ms;

	if (!ms || !is_true(elem_attr(enable, "resume")))
		return 0;
	if (asked && *asked >= '0' && *asked <= '9')
		ms = strtoull(asked, NULL, 10) > UINT32_MAX / 1000
			? UINT32_MAX
			: strtoull(asked, NULL, 10) * 1000;
	return ms < most ? ms : most;
}

ON_SHARD static void send_text(struct stream *st, const char *text)
{
	conn_write(&st->conn, buf_of(text, strlen(text)), NULL);
}

void sm_send_request(struct stream *st)
{
	send_text(st, "<r xmlns='urn:xmpp:sm:3'/>");
}

void sm_send_answer(struct stream *st, uint32_t h)
{
	char text[64];

	snprintf(text, sizeof(text), "<a xmlns='urn:xmpp:sm:3' h='%" PRIu32 "'/>", h);
	send_text(st, text);
}

struct too_high {
	uint32_t h, sent;
};

static void build_too_high(struct builder *b, const void *arg)
{
	const struct too_high *t = arg;

	build_open(b, "handled-count-too-high", NS_SM);
	build_attr_int(b, "h", t->h);
	build_attr_int(b, "send-count", t->sent);
	build_close(b);
}

void sm_send_too_high(struct stream *st, uint32_t h, uint32_t sent)
{
	struct too_high t = { h, sent };

	stream_error_with(st, STREAM_UNDEFINED_CONDITION,
		"You acknowledged more stanzas than you were sent.", build_too_high, &t);
}
