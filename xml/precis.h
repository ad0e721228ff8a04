/* xml/precis.h - preparing international text: the PRECIS classes and profiles that XMPP uses.
 * RFC 8264 (framework), RFC 8265 (UsernameCaseMapped, OpaqueString), RFC 5892 (contextual rules),
 * UTS #46 and RFC 5891 for domains. Any thread; ICU's tables are shared and only read.
 * Each function writes at most max bytes and a NUL, and returns the length, or -1 when the text is
 * not allowed, not UTF-8, empty, or longer than max when prepared. Preparing again changes nothing.
 */
#pragma once

#include <stddef.h>

int precis_username(const char *text, size_t len, char *buffer, size_t max);
int precis_opaque(const char *text, size_t len, char *buffer, size_t max); /* passwords too */
int precis_domain(const char *text, size_t len, char *buffer, size_t max);
/* A domain in lower case as DNS and certificates have it: all labels ASCII (RFC 5890 A-labels). */
int precis_domain_ascii(const char *text, size_t len, char *buffer, size_t max);
