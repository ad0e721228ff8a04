/* core/log.c - composes lines on the caller's stack and hands them in, without a lock, to the
 * writer thread. Orders to the writer (flush, new destination, end)
 * travel the same way, so they keep their place among the lines. */
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core/crash.h"
#include "core/intake.h"
#include "core/mem.h"
#include "core/metric.h"

#define LINE_BYTES 16384u /* a longer line is cut and says so */
#define LINE_TAIL 64u /* kept free for what closes a cut line */
#define WAITING_BYTES (1u << 20) /* lines not yet written; past it they are lost */
#define OUT_BYTES 65536u /* one write to the destination */
#define GATHER_MS 5 /* after a wake-up: lines of that time are written together */
#define STUCK_MS 1000 /* a destination that takes nothing for this long loses lines */
#define FOLLOW_BYTES 3200u /* a full JID and its NUL */

_Atomic int log_level = LOG_LEVEL_WARNING;
_Atomic bool log_following;

enum item_kind { ITEM_LINE, ITEM_FLUSH, ITEM_SWITCH, ITEM_END };
struct item {
	struct intake_item node;
	enum item_kind kind;
};
struct line {
	struct item item;
	uint32_t len;
	char text[];
};
/* Lives on the stack of whoever gives it and waits. */
struct order {
	struct item item;
	int fd; /* ITEM_SWITCH: the new destination; then the old one, for the giver to close */
	sem_t done;
};

/* Any thread. */
static struct intake items;
static _Atomic uint32_t waiting_bytes, waiting_lines;
static _Atomic uint64_t lost; /* lines since this was last told */
static _Atomic bool is_open;
static _Atomic int format_now;
static struct metric lost_total = METRIC_COUNTER(
	"log_lines_lost_total", "Log lines lost because the destination was too slow or full");

/* log_open(), log_reopen() and log_close(), under control. */
static pthread_mutex_t control = PTHREAD_MUTEX_INITIALIZER;
static pthread_t writer;
static char *path_now; /* owned; NULL: stderr */
static int bell = -1; /* made once and never closed: late lines may still ring it */

static const char *const level_names[] = { "none", "error", "warning", "info", "debug" };

/* --- composing a line ------------------------------------------------------------------------ */

struct composer {
	char *at, *end; /* end leaves LINE_TAIL free */
	bool json;
	bool cut;
};

static void put(struct composer *c, const char *bytes, size_t len)
{
	if (len > (size_t)(c->end - c->at)) {
		c->cut = true;
		return;
	}
	memcpy(c->at, bytes, len);
	c->at += len;
}

static void put_text(struct composer *c, const char *text)
{
	put(c, text, strlen(text));
}

/* Length of the well-formed UTF-8 sequence at p (RFC 3629), and what it encodes; 0: not one. */
static unsigned utf8_at(const unsigned char *p, uint32_t *code)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned len = p[0] < 0x80 ? 1
		: p[0] < 0xc0      ? 0
		: p[0] < 0xe0      ? 2
		: p[0] < 0xf0      ? 3
		: p[0] < 0xf8      ? 4
				   : 0;

	if (len < 2) {
		*code = p[0];
		return len;
	}
	*code = p[0] & (0x7fu >> len);
	for (unsigned i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80) /* the NUL at the end stops here too */
			return 0;
		*code = *code << 6 | (p[i] & 0x3f);
	}
	if (*code < least[len] || *code > 0x10ffff || (*code >= 0xd800 && *code < 0xe000))
		return 0;
	return len;
}

/* What a terminal or a reader of lines could take for something else than text. */
static bool is_treacherous(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029 ||
		(code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069) ||
		code == 0x200e || code == 0x200f || code == 0xfeff;
}

static void put_escape(struct composer *c, uint32_t code)
{
	char escape[8];

	switch (code) {
	case '\n':
		put(c, "\\n", 2);
		break;
	case '\r':
		put(c, "\\r", 2);
		break;
	case '\t':
		put(c, "\\t", 2);
		break;
	default:
		snprintf(escape, sizeof(escape), "\\u%04x", (unsigned)(code & 0xffff));
		put(c, escape, 6);
	}
}

static void put_escaped(struct composer *c, const char *value)
{
	const unsigned char *p = (const unsigned char *)value;
	char escape[8];
	uint32_t code;

	while (*p && !c->cut) {
		unsigned len = utf8_at(p, &code);

		if (!len) {
			if (c->json)
				put(c, "\\ufffd", 6);
			else if (snprintf(escape, sizeof(escape), "\\x%02x", *p) > 0)
				put(c, escape, 4);
			len = 1;
		} else if (code == '"' || code == '\\') {
			put(c, (char[]){ '\\', (char)code }, 2);
		} else if (is_treacherous(code)) {
			put_escape(c, code);
		} else {
			put(c, (const char *)p, len);
		}
		p += len;
	}
}

/* logfmt leaves plain words bare. */
static bool is_bare_word(const char *value)
{
	const unsigned char *p = (const unsigned char *)value;

	while (*p > ' ' && *p < 0x7f && *p != '"' && *p != '\\' && *p != '=')
		p++;
	return !*p && p != (const unsigned char *)value;
}

static void put_value(struct composer *c, const char *value)
{
	if (!c->json && is_bare_word(value)) {
		put_text(c, value);
		return;
	}
	put(c, "\"", 1);
	if (c->cut)
		return;
	put_escaped(c, value);
	*c->at++ = '"'; /* the tail has room */
}

static void put_key(struct composer *c, const char *key)
{
	if (c->json) {
		put(c, ",\"", 2);
		put_escaped(c, key);
		put(c, "\":", 2);
	} else {
		put(c, " ", 1);
		put_text(c, key);
		put(c, "=", 1);
	}
}

static void put_field(struct composer *c, const struct log_field *f)
{
	char *before = c->at, *begin;
	char digits[24];

	put_key(c, f->key);
	if (c->cut) { /* no key without a value */
		c->at = before;
		return;
	}
	begin = c->at;
	if (f->text) {
		put_value(c, f->text);
	} else {
		snprintf(digits, sizeof(digits), "%" PRId64, f->number);
		put_text(c, digits);
	}
	if (c->at == begin)
		c->at = before;
}

/* RFC 3339 in UTC with milliseconds. gmtime_r() would take glibc's time zone lock. */
static void put_time(struct composer *c)
{
	struct timespec now;
	char text[40];
	int64_t days, era_day, year;
	unsigned second, year_day, month, day;

	clock_gettime(CLOCK_REALTIME, &now);
	days = now.tv_sec / 86400;
	second = (unsigned)(now.tv_sec % 86400);
	/* Years begin in March, so that the leap day is their last. */
	days += 719468;
	era_day = days % 146097;
	year = (era_day - era_day / 1460 + era_day / 36524 - era_day / 146096) / 365;
	year_day = (unsigned)(era_day - (365 * year + year / 4 - year / 100));
	month = (5 * year_day + 2) / 153;
	day = year_day - (153 * month + 2) / 5 + 1;
	month = month < 10 ? month + 3 : month - 9;
	year += days / 146097 * 400 + (month <= 2);
	snprintf(text, sizeof(text), "%04d-%02u-%02uT%02u:%02u:%02u.%03uZ", (int)year, month, day,
		second / 3600, second / 60 % 60, second % 60, (unsigned)(now.tv_nsec / 1000000));
	put_text(c, text);
}

/* Fills text (LINE_BYTES) and returns the length, newline included. */
static size_t compose(char *text, enum log_level level, const char *part, const char *what,
	const struct log_field *fields, unsigned n)
{
	struct composer c = { .at = text, .end = text + LINE_BYTES - LINE_TAIL };
	const char *name = level == LOG_LEVEL_NONE ? "trace" : log_level_name((int)level);

	c.json = atomic_load_explicit(&format_now, memory_order_relaxed) == LOG_FORMAT_JSON;
	put_text(&c, c.json ? "{\"time\":\"" : "time=");
	put_time(&c);
	put_text(&c, c.json ? "\"" : "");
	put_field(&c, &L_STR("level", name));
	put_field(&c, &L_STR("part", part));
	put_field(&c, &L_STR("what", what));
	for (unsigned i = 0; i < n && !c.cut; i++)
		put_field(&c, &fields[i]);
	c.end += LINE_TAIL;
	if (c.cut)
		put_text(&c, c.json ? ",\"cut\":1" : " cut=1");
	put_text(&c, c.json ? "}\n" : "\n");
	return (size_t)(c.at - text);
}

/* --- the writer's side ----------------------------------------------------------------------- */

struct output {
	int fd;
	unsigned lines; /* in bytes[] */
	size_t len;
	char bytes[OUT_BYTES];
};

/* 0, or a negative errno after some or none of it was written. */
static int write_all(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = write(fd, bytes, len);

		if (n >= 0) {
			bytes += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN) {
			if (poll(&(struct pollfd){ .fd = fd, .events = POLLOUT }, 1, STUCK_MS) <= 0)
				return -EAGAIN;
		} else if (errno != EINTR) {
			return -errno;
		}
	}
	return 0;
}

static void lose(uint64_t lines)
{
	atomic_fetch_add_explicit(&lost, lines, memory_order_relaxed);
	metric_add(&lost_total, (int64_t)lines);
}

/* A destination that works again first tells what it missed. */
static void output_flush(struct output *o)
{
	uint64_t missed;
	char text[LINE_BYTES];
	size_t len;

	if (o->len && write_all(o->fd, o->bytes, o->len) < 0) {
		lose(o->lines);
	} else {
		missed = atomic_exchange_explicit(&lost, 0, memory_order_relaxed);
		if (missed) {
			len = compose(text, LOG_LEVEL_ERROR, "log", "lines lost",
				&L_INT("count", missed), 1);
			if (write_all(o->fd, text, len) < 0)
				atomic_fetch_add_explicit(&lost, missed, memory_order_relaxed);
		}
	}
	o->len = 0;
	o->lines = 0;
}

static void output_line(struct output *o, const struct line *l)
{
	if (l->len > sizeof(o->bytes) - o->len)
		output_flush(o);
	memcpy(o->bytes + o->len, l->text, l->len);
	o->len += l->len;
	o->lines++;
}

/* Returns true when the order was to end. */
static bool obey(struct output *o, struct order *order)
{
	bool end = order->item.kind == ITEM_END;
	int fd = o->fd;

	output_flush(o);
	if (order->item.kind == ITEM_SWITCH) {
		o->fd = order->fd;
		order->fd = fd;
	}
	sem_post(&order->done); /* the order is gone now */
	return end;
}

static bool write_items(struct output *o)
{
	struct intake_item *node = intake_take(&items);
	bool end = false;

	while (node) {
		struct item *i = container_of(node, struct item, node);

		node = node->next;
		if (i->kind == ITEM_LINE) {
			struct line *l = container_of(i, struct line, item);

			output_line(o, l);
			atomic_fetch_sub_explicit(&waiting_bytes, l->len, memory_order_relaxed);
			atomic_fetch_sub_explicit(&waiting_lines, 1, memory_order_relaxed);
			free(l);
		} else {
			end |= obey(o, container_of(i, struct order, item));
		}
	}
	output_flush(o);
	return end;
}

static void *writer_main(void *arg)
{
	/* What comes meanwhile rings no bell and shares the write. */
	const struct timespec gather = { .tv_nsec = GATHER_MS * 1000000 };
	struct output *o = arg;
	uint64_t rings;

	pthread_setname_np(pthread_self(), "log");
	while (!write_items(o)) {
		while (read(bell, &rings, sizeof(rings)) < 0 && errno == EINTR)
			;
		nanosleep(&gather, NULL);
	}
	if (o->fd != STDERR_FILENO)
		close(o->fd);
	free(o);
	return NULL;
}

/* --- the callers' side ----------------------------------------------------------------------- */

static void hand_in(struct item *i)
{
	uint64_t one = 1;

	if (intake_push(&items, &i->node) && write(bell, &one, sizeof(one)) < 0) {
		/* The counter is full, so it rings already. */
	}
}

void log_write(enum log_level level, const char *part, const char *what,
	const struct log_field *fields, unsigned n)
{
	char text[LINE_BYTES];
	int saved_errno = errno;
	size_t len = compose(text, level, part, what, fields, n);
	struct line *l;

	if (!atomic_load_explicit(&is_open, memory_order_acquire)) {
		write_all(STDERR_FILENO, text, len);
	} else if (atomic_fetch_add_explicit(&waiting_bytes, (uint32_t)len, memory_order_relaxed) +
			len >
		WAITING_BYTES) {
		atomic_fetch_sub_explicit(&waiting_bytes, (uint32_t)len, memory_order_relaxed);
		lose(1);
	} else {
		atomic_fetch_add_explicit(&waiting_lines, 1, memory_order_relaxed);
		l = xmalloc(sizeof(*l) + len);
		l->item.kind = ITEM_LINE;
		l->len = (uint32_t)len;
		memcpy(l->text, text, len);
		hand_in(&l->item);
	}
	errno = saved_errno;
}

/* Gives an order and waits until the writer has obeyed. Only while there is a writer. */
static void order_writer(struct order *order)
{
	sem_init(&order->done, 0, 0);
	hand_in(&order->item);
	while (sem_wait(&order->done) < 0)
		;
	sem_destroy(&order->done);
}

static int open_path(const char *path)
{
	int fd;

	if (!path)
		return STDERR_FILENO;
	fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	return fd < 0 ? -errno : fd;
}

static int start_writer(int fd)
{
	struct output *o = xmalloc(sizeof(*o));
	sigset_t all, before;
	int error;

	o->fd = fd;
	o->len = 0;
	o->lines = 0;
	sigfillset(&all); /* signals are main's */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&writer, NULL, writer_main, o);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (error)
		free(o);
	return -error;
}

/* A new destination for the running writer. */
static void switch_to(int fd)
{
	struct order order = { .item.kind = ITEM_SWITCH, .fd = fd };

	order_writer(&order);
	if (order.fd != STDERR_FILENO)
		close(order.fd);
}

int log_open(const char *path, enum log_format format)
{
	int fd, error = 0;

	pthread_mutex_lock(&control);
	fd = open_path(path);
	if (fd >= 0 && bell < 0)
		bell = eventfd(0, EFD_CLOEXEC);
	if (fd < 0) {
		error = fd;
	} else if (bell < 0) {
		error = -errno;
	} else if (atomic_load(&is_open)) {
		switch_to(fd);
	} else {
		metric_register(&lost_total);
		error = start_writer(fd);
	}
	if (error) {
		if (fd >= 0 && fd != STDERR_FILENO)
			close(fd);
	} else {
		free(path_now);
		path_now = path ? xstrdup(path) : NULL;
		crash_write_to(path);
		atomic_store(&format_now, (int)format);
		atomic_store_explicit(&is_open, true, memory_order_release);
	}
	pthread_mutex_unlock(&control);
	return error;
}

int log_prepare(const char *path)
{
	return open_path(path);
}

void log_commit(int prepared, const char *path, enum log_format format)
{
	pthread_mutex_lock(&control);
	switch_to(prepared);
	free(path_now);
	path_now = path ? xstrdup(path) : NULL;
	atomic_store(&format_now, (int)format);
	pthread_mutex_unlock(&control);
}

void log_abandon(int prepared)
{
	if (prepared >= 0 && prepared != STDERR_FILENO)
		close(prepared);
}

unsigned log_waiting(void)
{
	return atomic_load_explicit(&waiting_lines, memory_order_relaxed);
}

int log_reopen(void)
{
	int fd = 0;

	pthread_mutex_lock(&control);
	if (atomic_load(&is_open) && path_now) {
		fd = open_path(path_now);
		if (fd >= 0)
			switch_to(fd);
	}
	pthread_mutex_unlock(&control);
	return fd < 0 ? fd : 0;
}

void log_flush(void)
{
	struct order order = { .item.kind = ITEM_FLUSH };

	pthread_mutex_lock(&control);
	if (atomic_load(&is_open))
		order_writer(&order);
	pthread_mutex_unlock(&control);
}

void log_close(void)
{
	struct order order = { .item.kind = ITEM_END };

	pthread_mutex_lock(&control);
	if (atomic_load(&is_open)) {
		atomic_store(&is_open, false);
		order_writer(&order);
		pthread_join(writer, NULL);
		free(path_now);
		path_now = NULL;
	}
	pthread_mutex_unlock(&control);
}

/* --- following, seldom, levels --------------------------------------------------------------- */

static pthread_mutex_t follow_lock = PTHREAD_MUTEX_INITIALIZER; /* never held during I/O */
static char followed[FOLLOW_BYTES];
static _Atomic unsigned follow_version;

void log_follow(const char *jid_or_connection)
{
	pthread_mutex_lock(&follow_lock);
	snprintf(followed, sizeof(followed), "%s", jid_or_connection ? jid_or_connection : "");
	atomic_store_explicit(&log_following, followed[0] != 0, memory_order_release);
	atomic_fetch_add_explicit(&follow_version, 1, memory_order_release);
	pthread_mutex_unlock(&follow_lock);
}

unsigned log_follow_version(void)
{
	return atomic_load_explicit(&follow_version, memory_order_acquire);
}

bool log_follow_matches(const char *bare_jid, const char *full_jid, const char *connection)
{
	const char *const names[] = { bare_jid, full_jid, connection };
	bool matches = false;

	pthread_mutex_lock(&follow_lock);
	for (unsigned i = 0; i < ARRAY_LEN(names) && !matches; i++)
		matches = followed[0] && names[i] && strcmp(names[i], followed) == 0;
	pthread_mutex_unlock(&follow_lock);
	return matches;
}

bool log_seldom(struct log_seldom *s, uint32_t *left_out)
{
	struct timespec now;
	int64_t now_ms, next_ms = atomic_load_explicit(&s->next_ms, memory_order_relaxed);

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	now_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
	if (now_ms < next_ms ||
		!atomic_compare_exchange_strong_explicit(&s->next_ms, &next_ms, now_ms + 1000,
			memory_order_relaxed, memory_order_relaxed)) {
		atomic_fetch_add_explicit(&s->left_out, 1, memory_order_relaxed);
		return false;
	}
	*left_out = atomic_exchange_explicit(&s->left_out, 0, memory_order_relaxed);
	return true;
}

int log_level_parse(const char *name)
{
	/* ejabberd: 0 none, 1 critical, 2 error, 3 warning, 4 info, 5 debug. */
	static const char *const numbers[] = { "0", "2", "3", "4", "5" };

	for (unsigned i = 0; i < ARRAY_LEN(level_names); i++)
		if (strcasecmp(name, level_names[i]) == 0 || strcmp(name, numbers[i]) == 0)
			return (int)i;
	return strcmp(name, "1") == 0 || strcasecmp(name, "critical") == 0 ? LOG_LEVEL_ERROR : -1;
}

const char *log_level_name(int level)
{
	return level >= 0 && level < (int)ARRAY_LEN(level_names) ? level_names[level] : "unknown";
}
