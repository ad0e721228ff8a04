/* bench/bench_attr.h - attributes of the first tag of a stanza, as it was written: not unescaped,
 * namespaces and all. */
#pragma once

#include "core/attr.h"

/* text is NUL-terminated. False: there is no such attribute. */
bool attr_of(const char *text, const char *name, const char **value, size_t *len);
bool attr_is(const char *text, const char *name, const char *value);
/* As a number, or -1. */
int64_t attr_number(const char *text, const char *name);
