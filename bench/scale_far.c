/* bench/scale_far.c - clients of the least size: they look for what they wait for in what the
 * server writes, which a wire in memory brings unbroken, and answer it. */
#include "bench/scale.h"

#include <jemalloc/jemalloc.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "core/mem.h"

#define HELLO                                                                         \
	"<?xml version='1.0'?><stream:stream xmlns='jabber:client' to='" SCALE_DOMAIN \
	"' version='1.0' xmlns:stream='http://etherx.jabber.org/streams'>"
#define STARTTLS "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
#define AUTH "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'>=</auth>"
#define BIND                                                                    \
	"<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>" \
	"<resource>" SCALE_RESOURCE "</resource></bind></iq>"
#define BODY                                                                       \
	"O, wilt thou leave me so unsatisfied? What satisfaction canst thou have " \
	"to-night? The exchange of thy love."
#define ROOM 32768 /* for what one record or one write brings */

enum step { TO_STARTTLS, TO_PROCEED, TO_SHAKE, TO_AUTH, TO_SUCCESS, TO_BIND, TO_BOUND, READY };

struct far {
	SSL *ssl; /* owned; NULL: plain */
	uint8_t step; /* enum step: what it waits for */
	char local[33];
} __attribute__((aligned(64)));
static struct {
	struct far *at; /* owned pages, so that they are no part of the heap */
	size_t bytes;
	unsigned n;
	bool tls;
	SSL_CTX *ctx; /* owned */
} fars;

/* ---- the memory of the far ends' OpenSSL, apart from the server's ---- */

extern __typeof__(mallocx) mallocx __attribute__((weak));
extern __typeof__(rallocx) rallocx __attribute__((weak));
extern __typeof__(dallocx) dallocx __attribute__((weak));
extern __typeof__(mallctl) mallctl __attribute__((weak));

static unsigned far_arena;
static _Thread_local int far_flags; /* of mallocx(); 0: the server's */

static void *side_malloc(size_t bytes, const char *file, int line)
{
	(void)file, (void)line;
	return bytes ? mallocx(bytes, far_flags) : NULL;
}

static void side_free(void *p, const char *file, int line)
{
	(void)file, (void)line;
	if (p)
		dallocx(p, far_flags & MALLOCX_TCACHE_NONE);
}

static void *side_realloc(void *p, size_t bytes, const char *file, int line)
{
	if (p && bytes)
		return rallocx(p, bytes, far_flags);
	side_free(p, file, line);
	return side_malloc(bytes, file, line);
}

static void far_side(void)
{
	far_flags = mallctl ? MALLOCX_ARENA(far_arena) | MALLOCX_TCACHE_NONE : 0;
}

static void server_side(void)
{
	far_flags = 0;
}

static void part_memory(void)
{
	size_t len = sizeof(far_arena);

	if (!mallctl)
		return;
	REQUIRE(CRYPTO_set_mem_functions(side_malloc, side_realloc, side_free));
	REQUIRE(!mallctl("arenas.create", &far_arena, &len, NULL, 0));
}

uint64_t fars_tls_bytes(void)
{
	uint64_t epoch = 1;
	size_t bytes = 0, len = sizeof(bytes);
	char name[64];

	if (!mallctl)
		return 0;
	snprintf(name, sizeof(name), "stats.arenas.%u.resident", far_arena);
	mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch));
	return mallctl(name, &bytes, &len, NULL, 0) ? 0 : bytes;
}

/* ---- saying ---- */

ON_SHARD static void push_records(struct wire *w, struct far *f)
{
	char *bytes;
	long len = BIO_get_mem_data(SSL_get_wbio(f->ssl), &bytes);

	if (len > 0)
		wire_give(w, bytes, (size_t)len);
	(void)BIO_reset(SSL_get_wbio(f->ssl));
}

ON_SHARD static void say(struct wire *w, struct far *f, const char *text, size_t len)
{
	if (!f->ssl) {
		wire_give(w, text, len);
		return;
	}
	far_side();
	REQUIRE(SSL_write(f->ssl, text, (int)len) == (int)len);
	push_records(w, f);
	server_side();
}

#define SAY(w, f, text) say(w, f, text, sizeof(text) - 1)

void far_soon(unsigned number)
{
	__builtin_prefetch(&fars.at[number], 1);
	__builtin_prefetch(wire_at(number), 1);
}

void far_send(unsigned number, unsigned to)
{
	char text[512];
	int len = snprintf(text, sizeof(text),
		"<message to='%s@" SCALE_DOMAIN "/" SCALE_RESOURCE "' type='chat' id='%u'>"
		"<body>" BODY "</body></message>",
		fars.at[to].local, number);

	say(wire_at(number), &fars.at[number], text, (size_t)len);
}

/* ---- hearing ---- */

static const char *find(const char *text, size_t len, const char *what)
{
	return memmem(text, len, what, strlen(what));
}

ON_SHARD static void take_address(struct far *f, const char *jid, const char *end)
{
	const char *at = memchr(jid, '@', (size_t)(end - jid));

	REQUIRE(at && (size_t)(at - jid) < sizeof(f->local));
	memcpy(f->local, jid, (size_t)(at - jid));
}

ON_SHARD static void begin_tls(struct wire *w, struct far *f)
{
	far_side();
	f->ssl = SSL_new(fars.ctx);
	REQUIRE(f->ssl);
	SSL_set_bio(f->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
	SSL_set_connect_state(f->ssl);
	SSL_do_handshake(f->ssl);
	push_records(w, f);
	server_side();
}

ON_SHARD static void hear_messages(unsigned number, const char *text, size_t len)
{
	static const char end[] = "</message>";
	const char *at = text, *next;
	unsigned n = 0;

	while ((next = find(at, len - (size_t)(at - text), end))) {
		n++;
		at = next + sizeof(end) - 1;
	}
	if (n)
		far_received(number, n);
}

/* What it waits for, and what it then says. */
ON_SHARD static void hear(struct wire *w, struct far *f, const char *text, size_t len)
{
	static const char features[] = "</stream:features>";
	const char *at;

	switch ((enum step)f->step) {
	case TO_STARTTLS:
		if (find(text, len, features)) {
			f->step = TO_PROCEED;
			SAY(w, f, STARTTLS);
		}
		break;
	case TO_PROCEED:
		if (find(text, len, "<proceed")) {
			f->step = TO_SHAKE;
			begin_tls(w, f);
		}
		break;
	case TO_SHAKE: /* records only */
		break;
	case TO_AUTH:
		if (find(text, len, features)) {
			f->step = TO_SUCCESS;
			SAY(w, f, AUTH);
		}
		break;
	case TO_SUCCESS:
		if (find(text, len, "<success")) {
			f->step = TO_BIND;
			SAY(w, f, HELLO);
		}
		break;
	case TO_BIND:
		if (find(text, len, features)) {
			f->step = TO_BOUND;
			SAY(w, f, BIND);
		}
		break;
	case TO_BOUND:
		if ((at = find(text, len, "<jid>"))) {
			take_address(f, at + 5, text + len);
			f->step = READY;
			SAY(w, f, "<presence/>");
			far_ready(wire_index(w));
		}
		break;
	case READY:
		hear_messages(wire_index(w), text, len);
		break;
	}
}

ON_SHARD static void hear_records(struct wire *w, struct far *f, const char *bytes, size_t len)
{
	char text[ROOM];
	int n;

	far_side();
	BIO_write(SSL_get_rbio(f->ssl), bytes, (int)len);
	if (f->step == TO_SHAKE) {
		bool done = SSL_do_handshake(f->ssl) == 1;

		push_records(w, f);
		if (done) {
			f->step = TO_AUTH;
			SAY(w, f, HELLO);
		}
	}
	far_side();
	while (f->step != TO_SHAKE && (n = SSL_read(f->ssl, text, sizeof(text))) > 0) {
		server_side();
		hear(w, f, text, (size_t)n);
		far_side();
	}
	server_side();
}

static void wrote(struct wire *w, const struct iovec *pieces, unsigned n)
{
	struct far *f = &fars.at[wire_index(w)];

	shard_check(NULL);
	for (unsigned i = 0; i < n; i++) {
		if (f->ssl)
			hear_records(w, f, pieces[i].iov_base, pieces[i].iov_len);
		else
			hear(w, f, pieces[i].iov_base, pieces[i].iov_len);
	}
}

static void closed(struct wire *w)
{
	shard_check(NULL);
	wire_end(w);
}

/* ---- all of them ---- */

void fars_new(unsigned n, bool tls)
{
	part_memory();
	wires_new(n);
	fars.n = n;
	fars.tls = tls;
	fars.bytes = n * sizeof(*fars.at);
	fars.at =
		mmap(NULL, fars.bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	REQUIRE(fars.at != MAP_FAILED);
	madvise(fars.at, fars.bytes, MADV_HUGEPAGE);
	memset(fars.at, 0, fars.bytes); /* resident before anything is measured */
	for (unsigned i = 0; i < n; i++) {
		fars.at[i].step = tls ? TO_STARTTLS : TO_AUTH;
		wire_at(i)->wrote = wrote;
		wire_at(i)->closed = closed;
	}
	far_side();
	fars.ctx = tls ? SSL_CTX_new(TLS_client_method()) : NULL;
	if (fars.ctx) {
		SSL_CTX_set_session_cache_mode(fars.ctx, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_mode(fars.ctx, SSL_MODE_RELEASE_BUFFERS);
	}
	server_side();
}

void fars_free(void)
{
	far_side();
	for (unsigned i = 0; i < fars.n; i++)
		SSL_free(fars.at[i].ssl);
	SSL_CTX_free(fars.ctx);
	server_side();
	munmap(fars.at, fars.bytes);
	wires_free();
}

void far_start(unsigned number)
{
	SAY(wire_at(number), &fars.at[number], HELLO);
}

const char *far_local(unsigned number)
{
	return fars.at[number].local;
}
