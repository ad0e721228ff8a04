/* tests/support/visitor.h - one host and one port in a fuzz target's process, and whoever connects
 * to it: bytes in, all that is answered out. One shard. */
#pragma once

#include <errno.h>
#include <libxml/parser.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/conf.h"
#include "core/mem.h"
#include "modules/registry.h"
#include "net/acceptor.h"
#include "net/limits.h"
#include "tests/support/on_shard.h"

static struct host *host; /* NULL: the server has not been started yet */
static struct listener listener;
static struct listener_options options;
static const struct conf_prefix address = { .bytes = { [10] = 0xff, [11] = 0xff, 127, 0, 0, 1 },
	.bits = 128 };

static void start_modules(const char *modules)
{
	struct conf_errors *e = conf_errors_new();
	struct conf_file *f = conf_file_parse("modules", modules, strlen(modules), e);

	REQUIRE(f && registry_start_host(host, conf_root(f), e) == 0);
	conf_file_free(f);
	conf_errors_free(e);
}

/* What is not said in conf is as every target wants it. */
static void open_port(struct listen_conf conf)
{
	conf.max_stanza_size = 20000;
	conf.max_stanza_size_unauthenticated = 10000;
	conf.negotiation_timeout_ms = 3600000;
	atomic_init(&options.refs, 1);
	options.conf = conf;
	atomic_init(&listener.refs, 1);
	rcu_set(listener.options, &options);
}

static void pass_by(void *arg UNUSED)
{
}

/* The shard has seen what it was sent, and answered. */
static void settle(void)
{
	for (int i = 0; i < 4; i++)
		on_shard(0, pass_by, NULL);
}

/* For what a job thread or a clean end has a part in, too: some ten seconds of these are enough. */
#define TURNS 10000
UNUSED static void wait_a_turn(void)
{
	const struct timespec moment = { .tv_nsec = 1000000 };

	nanosleep(&moment, NULL);
	settle();
}

struct visitor {
	int fd;
	struct buf *heard; /* all of it */
};

/* accepted: what the port makes of a connection, as c2s_accepted(). */
static void arrive(struct visitor *v, void (*accepted)(struct msg *m))
{
	struct accepted *a = xcalloc(1, sizeof(*a));
	const int much = 4 << 20;
	int fd[2];

	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
	setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &much, sizeof(much));
	v->fd = fd[1];
	v->heard = buf_new(1024);
	REQUIRE(limits_begin(&address, 0));
	a->msg.run = accepted;
	a->fd = fd[0];
	a->listener = &listener;
	a->options = listener_options_ref(&options);
	a->address = address;
	atomic_fetch_add(&listener.refs, 1);
	atomic_fetch_add(&listener.connections, 1);
	shard_post(shard_at(0), &a->msg);
}

static void hear(struct visitor *v)
{
	static char room[65536];
	ssize_t n;

	while ((n = recv(v->fd, room, sizeof(room), 0)) > 0)
		buf_append(&v->heard, room, (size_t)n);
}

static void say(struct visitor *v, const char *text, size_t len)
{
	/* A server that has closed may not have read it all. */
	REQUIRE(send(v->fd, text, len, MSG_NOSIGNAL) == (ssize_t)len || errno == EPIPE ||
		errno == ECONNRESET);
	settle();
	hear(v);
}

UNUSED static void leave(struct visitor *v)
{
	close(v->fd);
	buf_unref(v->heard);
	settle();
}

/* Each document in what somebody got is well-formed; the last may be without its end. */
static void check_documents(struct visitor *v)
{
	static const char declaration[] = "<?xml version='1.0'?>", end[] = "</stream:stream>";
	const char *at, *next;

	buf_append_char(&v->heard, 0);
	for (at = v->heard->data; *at; at = next) {
		struct buf *b;
		xmlDoc *doc;

		next = strstr(at + 1, declaration);
		next = next ? next : at + strlen(at);
		b = buf_of(at, (size_t)(next - at));
		if (b->len < sizeof(end) || memcmp(next - (sizeof(end) - 1), end, sizeof(end) - 1))
			buf_append(&b, end, sizeof(end) - 1);
		doc = xmlReadMemory(b->data, (int)b->len, NULL, NULL,
			XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING | XML_PARSE_HUGE);
		REQUIRE(doc);
		xmlFreeDoc(doc);
		buf_unref(b);
	}
}
