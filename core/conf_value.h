/* core/conf_value.h - one settings value between its text and its field; for core/conf*.c alone. */
#pragma once

#include "core/conf.h"

/* Types whose value is one word or number in the file. */
bool conf_is_scalar(const struct conf_item *row);
bool conf_is_text(const struct conf_item *row); /* the field is a const char * */
size_t conf_field_bytes(const struct conf_item *row);

/* Reads text into the field. folder: where relative paths start, NULL for presets. */
bool conf_read_scalar(const struct conf_item *row, const char *text, const char *folder,
	void *field, struct arena *a);
/* The index of a word of .words, in whichever of its spellings and cases; -1: none of them. */
int conf_word_index(const char *const *words, const char *text);
/* Its first spelling. */
const char *conf_word(const char *const *words, unsigned index, struct arena *a);
/* "a whole number from 0 to 65535" */
const char *conf_expected(const struct conf_item *row, struct arena *a);
