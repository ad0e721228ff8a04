/* cmd/linnetd_manual.h - all options for people, from the rows that parse them. One thread. */
#pragma once

#include <stdio.h>

#include "core/conf.h"

/* Chapter by chapter, the modules with their options last. */
void manual_reference(FILE *out, enum conf_format format);
/* Every option commented out, with its default or an example. */
void manual_example(FILE *out);
