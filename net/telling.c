/* net/telling.c - makes a line. */
#include "net/telling.h"

#include <stdarg.h>
#include <stdio.h>

void tell(struct telling *t, const char *format, ...)
{
	char line[TELLING_MAX];
	va_list args;

	if (!t)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	t->step(t, line);
}
