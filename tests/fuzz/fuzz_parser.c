/* What a stream may send, in chunks whose sizes the input chooses. What comes out must not depend
 * on the chunks; a stanza written and read again is the same, from raw bytes as from its tree. */
#include <stdlib.h>
#include <string.h>

#include "core/mem.h"
#include "xml/builder.h"
#include "xml/parser.h"

static const struct parser_limits limits = { 4096, 16, 16 };

/* All that the events said. */
struct told {
	struct buf *text;
	unsigned stop_every; /* stops at each n-th element */
	unsigned elements;
};

static bool on_start(void *arg, const struct stanza *head, const char *default_ns)
{
	struct told *told = arg;

	elem_wire(head->root, default_ns, &told->text);
	return true;
}

static struct buf *written(const struct elem *e)
{
	struct buf *b = buf_new(0);

	elem_wire(e, NS_CLIENT, &b);
	return b;
}

static bool same(const struct buf *a, const struct buf *b)
{
	return a->len == b->len && !memcmp(a->data, b->data, a->len);
}

/* Written and read again, s says the same. */
static void check_round_trip(struct stanza *s)
{
	static const struct parser_limits wide = { 1 << 20, 1000, 1000 };
	struct buf *wire = stanza_wire(s), *tree = written(s->root), *again;
	struct stanza *back;

	REQUIRE(parse_stanza(wire->data, wire->len, &wide, &back) == PARSER_OK);
	again = written(back->root);
	REQUIRE(same(again, tree));
	REQUIRE(back->kind == s->kind && back->type == s->type);
	stanza_unref(back);
	buf_unref(again);
	REQUIRE(parse_stanza(tree->data, tree->len, &wide, &back) == PARSER_OK);
	again = written(back->root);
	REQUIRE(same(again, tree));
	stanza_unref(back);
	buf_unref(again);
	buf_unref(tree);
	buf_unref(wire);
}

/* A copy must be free of the original. */
static struct stanza *copy_of(struct stanza *s)
{
	struct builder b;

	build_begin(&b, s->root->name, s->root->ns);
	for (const struct attr *a = s->root->attrs; a; a = a->next)
		if (a->ns)
			build_attr_ns(&b, a->name, a->ns, a->value);
		else
			build_attr(&b, a->name, a->value);
	for (const struct node *n = s->root->first; n; n = n->next) {
		if (n->kind == NODE_ELEM) {
			build_copy(&b, container_of(n, const struct elem, node));
		} else {
			const struct text *t = container_of(n, const struct text, node);

			build_cdata(&b, t->data, t->len);
		}
	}
	if (!stanza_read_head(b.stanza)) /* a bad address would be our own mistake */
		return build_end(&b);
	build_drop(&b);
	return NULL;
}

static bool on_stanza(void *arg, struct stanza *s)
{
	struct told *told = arg;
	struct buf *b = written(s->root), *other;
	struct stanza *copy;

	buf_append(&told->text, b->data, b->len);
	stanza_seal(s);
	check_round_trip(s);
	copy = copy_of(s);
	stanza_unref(s);
	if (copy) {
		other = written(copy->root);
		REQUIRE(same(b, other));
		buf_unref(other);
		stanza_unref(copy);
	}
	buf_unref(b);
	return !told->stop_every || ++told->elements % told->stop_every;
}

static bool on_end(void *arg)
{
	struct told *told = arg;

	buf_append_char(&told->text, '$');
	return true;
}

static const struct parser_events events = { on_start, on_stanza, on_end };

/* Sizes from the first bytes, over and over; each chunk alone in memory. */
ON_SHARD static int feed_in_chunks(
	struct parser *p, const uint8_t *sizes, const char *text, size_t len)
{
	int error = PARSER_OK;
	size_t at = 0, n, used;

	for (unsigned i = 0; at < len && (!error || error == PARSER_STOPPED); i++) {
		char *chunk;

		n = (size_t)(sizes[i % 3] & 63) + 1;
		n = n > len - at ? len - at : n;
		chunk = xmemdup(text + at, n);
		error = parser_feed(p, chunk, n, &used);
		REQUIRE(used <= n && (error || used == n));
		free(chunk);
		at += error == PARSER_STOPPED ? used : n;
	}
	return error == PARSER_STOPPED ? PARSER_OK : error;
}

ON_SHARD int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
ON_SHARD int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct parser_pool *pool = parser_pool_new(20);
	struct told whole = { .text = buf_new(0) }, cut = { .text = buf_new(0) };
	struct parser *p;
	size_t used;
	int error, other;

	if (size >= 4) {
		const char *text = (const char *)data + 3;
		struct stanza *s;

		p = parser_new(pool, &limits, &events, &whole);
		error = parser_feed(p, text, size - 3, &used);
		cut.stop_every = data[0] >> 6;
		parser_free(p);
		p = parser_new(pool, &limits, &events, &cut);
		other = feed_in_chunks(p, data, text, size - 3);
		REQUIRE(parser_held_bytes(p) < 3 * limits.stanza_bytes);
		/* Only which of several faults comes first may differ: a size, most of all. */
		REQUIRE(!error == !other);
		REQUIRE(same(whole.text, cut.text));
		parser_reset(p);
		error = parser_feed(p, "<s xmlns='jabber:client'><iq/></s>", 34, &used);
		REQUIRE(error == PARSER_OK || error == PARSER_STOPPED);
		parser_free(p);
		if (!parse_element(text, size - 3, &limits, &s)) {
			stanza_seal(s);
			stanza_unref(s);
		}
	}
	parser_pool_free(pool);
	buf_unref(whole.text);
	buf_unref(cut.text);
	return 0;
}
