/* net/base64.h - RFC 4648 §4, strict as RFC 6120 §13.9.1 asks: nothing but the alphabet, padding
 * only where it belongs, and one text only for the same bytes (§3.5). No state: any thread. */
#pragma once

#include <sys/types.h>

#include "core/attr.h"

/* Characters for this many bytes, without the NUL that base64_encode() adds. */
#define BASE64_LEN(bytes) (((size_t)(bytes) + 2) / 3 * 4)

size_t base64_encode(
	const void *bytes, size_t len, char *out); /* BASE64_LEN(len) + 1; returns length */
/* out: len / 4 * 3 bytes; returns how many were written, or -1. */
ssize_t base64_decode(const char *text, size_t len, uint8_t *out);
