/* modules/ldap_filter.c - filters made of settings and names (RFC 4515), and names found in values.
 */
#include <stdlib.h>
#include <string.h>

#include "core/buf.h"
#include "core/mem.h"
#include "modules/ldap.h"

static void append(struct buf **b, const char *text)
{
	buf_append(b, text, strlen(text));
}

/* RFC 4515 §3: what has a meaning in a filter, and what is no character at all. */
static void append_escaped(struct buf **b, const char *value)
{
	static const char hex[] = "0123456789abcdef";

	for (const char *c = value; *c; c++) {
		unsigned char byte = (unsigned char)*c;

		if (strchr("*()\\", *c) || byte < ' ' || byte == 0x7f) {
			buf_append_char(b, '\\');
			buf_append_char(b, hex[byte >> 4]);
			buf_append_char(b, hex[byte & 15]);
		} else {
			buf_append_char(b, *c);
		}
	}
}

static const char *name_of(const struct ldap_names *names, char letter)
{
	switch (letter) {
	case 'u':
		return names->user;
	case 'd':
		return names->domain;
	case 'D':
		return names->dn;
	default:
		return NULL;
	}
}

static void append_filled(struct buf **b, const char *template, const struct ldap_names *names)
{
	for (const char *c = template; *c; c++) {
		const char *name = *c == '%' ? name_of(names, c[1]) : NULL;

		if (name) {
			append_escaped(b, name);
			c++;
		} else {
			buf_append_char(b, *c);
		}
	}
}

/* The text of a buffer that is done with. */
static char *text_of(struct buf *b)
{
	char *text = xstrndup(b->data, b->len);

	buf_unref(b);
	return text;
}

char *ldap_fill(const char *template, const struct ldap_names *names)
{
	struct buf *b = buf_new(256);

	append_filled(&b, template, names);
	return text_of(b);
}

/* Where a user may be named, with a filter of everybody %u is the one star that is not escaped. */
static void append_uid(
	struct buf **b, const struct ldap_uid *uid, const char *user, const char *domain)
{
	const char *at = strstr(uid->pattern, "%u");

	append(b, "(");
	append(b, uid->name);
	append(b, "=");
	if (user || !at) {
		append_filled(b, uid->pattern, &(struct ldap_names){ user, domain, NULL });
	} else {
		AUTO(free_ptr) char *before = xstrndup(uid->pattern, (size_t)(at - uid->pattern));
		const struct ldap_names names = { NULL, domain, NULL };

		append_filled(b, before, &names);
		append(b, "*");
		append_filled(b, at + 2, &names);
	}
	append(b, ")");
}

char *ldap_user_filter(const struct ldap_conf *conf, const char *user, const char *domain)
{
	const struct ldap_uid *uids = conf->uids.at;
	struct buf *b = buf_new(256);

	append(&b, conf->filter ? "(&" : "");
	append(&b, conf->uids.n > 1 ? "(|" : "");
	for (size_t i = 0; i < conf->uids.n; i++)
		append_uid(&b, &uids[i], user, domain);
	append(&b, conf->uids.n > 1 ? ")" : "");
	append(&b, conf->filter ? conf->filter : "");
	append(&b, conf->filter ? ")" : "");
	return text_of(b);
}

/* A piece of a pattern as it stands in values: with the domain. */
static char *as_value(const char *piece, size_t len, const char *domain)
{
	struct buf *b = buf_new(64);

	for (size_t i = 0; i < len; i++) {
		if (piece[i] == '%' && i + 1 < len && piece[i + 1] == 'd') {
			append(&b, domain);
			i++;
		} else {
			buf_append_char(&b, piece[i]);
		}
	}
	return text_of(b);
}

/* Attributes that name people are compared without regard to case. */
char *ldap_user_of(const struct ldap_uid *uid, const char *value, const char *domain)
{
	const char *at = strstr(uid->pattern, "%u");
	AUTO(free_ptr) char *head = NULL, *tail = NULL;
	size_t len = strlen(value), before, after;

	if (!at)
		return NULL;
	head = as_value(uid->pattern, (size_t)(at - uid->pattern), domain);
	tail = as_value(at + 2, strlen(at + 2), domain);
	before = strlen(head);
	after = strlen(tail);
	if (len <= before + after || strncasecmp(value, head, before) != 0 ||
		strcasecmp(value + len - after, tail) != 0)
		return NULL;
	return xstrndup(value + before, len - before - after);
}
