/* tests/support/asking.h - asks an IQ handler as the dispatcher would and reads its answer as text.
 * For unit tests: no threads, no routing. */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "router/iq.h"
#include "xml/builder.h"
#include "xml/parser.h"

/* With its head read, not yet sealed. */
static inline struct stanza *parse_unsealed(const char *text)
{
	const struct parser_limits limits = { 65536, PARSER_DEPTH, PARSER_ATTRS };
	struct stanza *s = NULL;

	cr_assert_eq(parse_element(text, strlen(text), &limits, &s), PARSER_OK, "%s", text);
	cr_assert_eq(stanza_read_head(s), STANZA_OK, "%s", text);
	return s;
}

static inline struct stanza *parse_sealed(const char *text)
{
	struct stanza *s = parse_unsealed(text);

	stanza_seal(s);
	return s;
}

/* As in a stream of clients. The caller frees. */
static inline char *stanza_text(struct stanza *s)
{
	struct buf *wire = stanza_wire(s);
	char *text = strndup(wire->data, wire->len);

	buf_unref(wire);
	return text;
}

/* What a handler answers to a request: the answer's text, or "error NAME", or "later" or "ignore".
 * The caller frees. */
static inline char *ask(
	iq_handler *fn, struct host *h, const void *conf, void *arg, const char *request)
{
	struct stanza *s = parse_sealed(request), *answer;
	struct builder b;
	struct iq iq = { .stanza = s,
		.from = s->from,
		.to = s->to,
		.payload = stanza_iq_child(s),
		.set = s->type == IQ_SET,
		.host = h,
		.conf = conf,
		.arg = arg };
	char text[64];
	int result;

	build_iq_result(&b, s);
	result = fn(&iq, &b);
	stanza_unref(s);
	if (result == 0) {
		char *wire;

		answer = build_end(&b);
		wire = stanza_text(answer);
		stanza_unref(answer);
		return wire;
	}
	build_drop(&b);
	if (result > 0)
		snprintf(text, sizeof(text), "error %s", stanza_error_name(result));
	return strdup(result > 0 ? text : result == IQ_LATER ? "later" : "ignore");
}
