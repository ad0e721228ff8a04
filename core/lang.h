/* core/lang.h - what the server says to people, in their language.
 * Texts are written in English where they are said; gettext catalogues (po/) have them in other
 * languages. The catalogues are part of the program: they always fit its texts, and nothing has to
 * be found at run time. They are read before main() and never change, so any thread asks without a
 * lock. tools/texts collects the English texts from the sources and checks the catalogues.
 * Texts that are parameters of functions listed there (build_error(), stream_error() ...) are
 * collected as they stand; those functions look them up. Elsewhere tr() says both. */
#pragma once

#include "core/attr.h"

/* Marks a text for the catalogues where it cannot be looked up yet, as in a table. */
#define TR(english) english

/* The text in the language asked for: its catalogue by RFC 4647 §3.4 (de-AT, then de), or the text
 * itself when there is none. lang is a tag of BCP 47, from a peer as well; NULL: English. */
const char *tr(const char *lang, const char *english) __attribute__((format_arg(2)));
/* The tag of the catalogue that serves the first wish best, or else the second, or else "en". Lives
 * for ever; NULL is no wish. */
const char *lang_pick(const char *wanted, const char *otherwise);
/* A tag of lang_pick()'s in one byte: its place among all. Any other text: English's, 0. */
unsigned lang_index(const char *tag); /* NULL is fine */
const char *lang_tag(unsigned index);
/* Every language there is, English first. */
void lang_each(void (*fn)(const char *tag, void *arg), void *arg);
