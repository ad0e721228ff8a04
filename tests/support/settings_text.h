/* tests/support/settings_text.h - settings read from YAML in a test. */
#pragma once

#include <criterion/criterion.h>
#include <string.h>

#include "core/conf.h"

struct settings_text {
	struct conf_file *file;
	struct conf_errors *errors;
	const struct conf_node *root;
};

static inline struct settings_text settings_text(const char *yaml)
{
	struct settings_text t = { .errors = conf_errors_new() };

	t.file = conf_file_parse("test.yml", yaml, strlen(yaml), t.errors);
	cr_assert(t.file, "%s", yaml);
	t.root = conf_root(t.file);
	return t;
}

static inline void settings_text_end(struct settings_text *t)
{
	conf_errors_free(t->errors);
	conf_file_free(t->file);
}
