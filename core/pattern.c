/* core/pattern.c - patterns as small programs, run for all ways through them at once (Thompson). */
#include "core/pattern.h"

#include <string.h>

#define CODE_MAX 512 /* instructions of one pattern */
#define RANGES_MAX 128 /* of all its sets together */
#define DEPTH_MAX 32 /* parentheses */
#define REPEAT_MAX 256 /* in {} */

enum op { OP_CHAR, OP_ANY, OP_SET, OP_NOT_SET, OP_SPLIT, OP_JUMP, OP_BEGIN, OP_END, OP_MATCH };
/* Jumps are relative, so that a piece of code can be moved and copied. */
struct instruction {
	uint8_t op;
	uint8_t ranges; /* OP_SET, OP_NOT_SET: how many */
	int16_t x, y; /* OP_SPLIT, OP_JUMP: ways on; OP_SET: x is the first range */
	uint32_t character; /* OP_CHAR */
};
struct range {
	uint32_t first, last;
};
struct pattern {
	const struct instruction *code;
	const struct range *ranges;
	unsigned n;
};

/* ---- Characters. */

/* The next character; bytes that are no UTF-8 count as themselves. */
static uint32_t next_char(const char **text)
{
	const uint8_t *s = (const uint8_t *)*text;
	unsigned more = s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 1 : s[0] < 0xf0 ? 2 : s[0] < 0xf5 ? 3 : 0;
	uint32_t c = more ? s[0] & (0x3fu >> more) : s[0];

	for (unsigned i = 1; i <= more; i++) {
		if ((s[i] & 0xc0) != 0x80) {
			(*text)++;
			return s[0];
		}
		c = c << 6 | (s[i] & 0x3f);
	}
	*text += more + 1;
	return c;
}

/* ---- Compiling. */

struct compiler {
	struct instruction code[CODE_MAX];
	struct range ranges[RANGES_MAX];
	unsigned n, n_ranges, depth;
	const char *at;
	const char *why; /* the first mistake */
};

static void mistake(struct compiler *c, const char *why)
{
	if (!c->why)
		c->why = why;
	c->at = ""; /* nothing more is read */
}

static struct instruction *emit(struct compiler *c, enum op op)
{
	static struct instruction nowhere;

	if (c->n == CODE_MAX) {
		mistake(c, "a smaller pattern");
		nowhere = (struct instruction){ 0 };
		return &nowhere;
	}
	c->code[c->n] = (struct instruction){ .op = (uint8_t)op };
	return &c->code[c->n++];
}

/* Makes room for one instruction before the piece that begins at start. */
static struct instruction *emit_before(struct compiler *c, unsigned start, enum op op)
{
	struct instruction *last = emit(c, op);

	if (c->why)
		return last;
	memmove(&c->code[start + 1], &c->code[start], (c->n - 1 - start) * sizeof(c->code[0]));
	c->code[start] = (struct instruction){ .op = (uint8_t)op };
	return &c->code[start];
}

/* The next character as it is: read first, because a mistake ends the reading. */
static void emit_char(struct compiler *c)
{
	uint32_t character = next_char(&c->at);

	emit(c, OP_CHAR)->character = character;
}

static void emit_split(struct compiler *c, int x, int y)
{
	struct instruction *i = emit(c, OP_SPLIT);

	i->x = (int16_t)x;
	i->y = (int16_t)y;
}

static void emit_copy(struct compiler *c, const struct instruction *piece, unsigned n)
{
	for (unsigned i = 0; i < n && !c->why; i++)
		*emit(c, OP_ANY) = piece[i];
}

static void add_range(struct compiler *c, uint32_t first, uint32_t last)
{
	if (c->n_ranges == RANGES_MAX)
		mistake(c, "a pattern with smaller sets");
	else
		c->ranges[c->n_ranges++] = (struct range){ first, last };
}

static const struct char_class {
	const char *name;
	struct range ranges[4];
} classes[] = {
	{ "alnum", { { '0', '9' }, { 'A', 'Z' }, { 'a', 'z' } } },
	{ "alpha", { { 'A', 'Z' }, { 'a', 'z' } } },
	{ "digit", { { '0', '9' } } },
	{ "lower", { { 'a', 'z' } } },
	{ "upper", { { 'A', 'Z' } } },
	{ "space", { { '\t', '\r' }, { ' ', ' ' } } },
	{ "punct", { { '!', '/' }, { ':', '@' }, { '[', '`' }, { '{', '~' } } },
	{ "xdigit", { { '0', '9' }, { 'A', 'F' }, { 'a', 'f' } } },
	{ "word", { { '0', '9' }, { 'A', 'Z' }, { '_', '_' }, { 'a', 'z' } } },
};

static bool add_class(struct compiler *c, const char *name, size_t len)
{
	for (size_t i = 0; i < ARRAY_LEN(classes); i++) {
		if (strlen(classes[i].name) != len || memcmp(classes[i].name, name, len))
			continue;
		for (unsigned r = 0; r < 4 && classes[i].ranges[r].last; r++)
			add_range(c, classes[i].ranges[r].first, classes[i].ranges[r].last);
		return true;
	}
	return false;
}

/* "digit" for \d and \D; NULL: the backslash stands before a character as it is. */
static const char *escape_class(char letter)
{
	switch (letter | 0x20) {
	case 'd':
		return "digit";
	case 'w':
		return "word";
	case 's':
		return "space";
	default:
		return NULL;
	}
}

/* One thing in []: a range, a class, a character. */
static void parse_set_part(struct compiler *c)
{
	uint32_t first, last;

	if (c->at[0] == '[' && c->at[1] == ':') {
		const char *name = c->at + 2;
		size_t len = strcspn(name, ":");

		c->at = name + len + 2;
		if (strncmp(name + len, ":]", 2) || !add_class(c, name, len))
			mistake(c, "a class such as [:alpha:] or [:digit:]");
		return;
	}
	if (*c->at == '\\' && c->at[1]) {
		const char *name = escape_class(c->at[1]);

		c->at++;
		if (name) {
			if (*c->at++ < 'a')
				mistake(c, "\\d, \\w or \\s in []");
			else
				add_class(c, name, strlen(name));
			return;
		}
	}
	first = last = next_char(&c->at);
	if (c->at[0] == '-' && c->at[1] && c->at[1] != ']') {
		c->at++;
		if (*c->at == '\\' && c->at[1])
			c->at++;
		last = next_char(&c->at);
	}
	if (first > last)
		mistake(c, "a range from the smaller to the greater character");
	add_range(c, first, last);
}

/* Behind the opening bracket. */
static void parse_set(struct compiler *c, char negation)
{
	unsigned first = c->n_ranges;
	struct instruction *set;
	bool negated = *c->at == negation || *c->at == '^';

	if (negated)
		c->at++;
	do { /* a bracket in the first place stands for itself */
		if (!*c->at) {
			mistake(c, "a ] to the [");
			return;
		}
		parse_set_part(c);
	} while (*c->at != ']' && !c->why);
	if (c->why)
		return;
	c->at++;
	set = emit(c, negated ? OP_NOT_SET : OP_SET);
	set->x = (int16_t)first;
	set->ranges = (uint8_t)(c->n_ranges - first);
}

static void parse_alternatives(struct compiler *c);

static void parse_escape(struct compiler *c)
{
	const char *name = escape_class(*c->at);
	bool letter = (*c->at | 0x20) >= 'a' && (*c->at | 0x20) <= 'z';
	unsigned first = c->n_ranges;
	struct instruction *set;

	if (!*c->at || (letter && !name) || (*c->at >= '0' && *c->at <= '9')) {
		mistake(c, "a special character, d, w or s after the backslash");
		return;
	}
	if (!name) {
		emit_char(c);
		return;
	}
	add_class(c, name, strlen(name));
	set = emit(c, *c->at < 'a' ? OP_NOT_SET : OP_SET);
	set->x = (int16_t)first;
	set->ranges = (uint8_t)(c->n_ranges - first);
	if (*c->at)
		c->at++;
}

static void parse_group(struct compiler *c)
{
	if (++c->depth > DEPTH_MAX) {
		mistake(c, "fewer parentheses in one another");
		return;
	}
	if (c->at[0] == '?' && c->at[1] == ':')
		c->at += 2;
	parse_alternatives(c);
	if (*c->at == ')')
		c->at++;
	else
		mistake(c, "a ) to the (");
	c->depth--;
}

static void parse_atom(struct compiler *c)
{
	switch (*c->at) {
	case '(':
		c->at++;
		parse_group(c);
		break;
	case '[':
		c->at++;
		parse_set(c, '^');
		break;
	case '\\':
		c->at++;
		parse_escape(c);
		break;
	case '.':
		c->at++;
		emit(c, OP_ANY);
		break;
	case '^':
		c->at++;
		emit(c, OP_BEGIN);
		break;
	case '$':
		c->at++;
		emit(c, OP_END);
		break;
	case '*':
	case '+':
	case '?':
	case '{':
		mistake(c, "something to repeat before *, +, ? or {");
		break;
	default:
		emit_char(c);
	}
}

static int parse_number(struct compiler *c)
{
	int n = -1;

	for (; *c->at >= '0' && *c->at <= '9'; c->at++) {
		n = (n < 0 ? 0 : n) * 10 + (*c->at - '0');
		if (n > REPEAT_MAX) {
			mistake(c, "at most 256 repetitions");
			return -1;
		}
	}
	return n;
}

static void repeat_any(struct compiler *c, unsigned start)
{
	int len = (int)(c->n - start);
	struct instruction *split = emit_before(c, start, OP_SPLIT);

	split->x = 1;
	split->y = (int16_t)(len + 2);
	emit(c, OP_JUMP)->x = (int16_t)(-len - 1);
}

static void repeat_optional(struct compiler *c, unsigned start)
{
	int len = (int)(c->n - start);
	struct instruction *split = emit_before(c, start, OP_SPLIT);

	split->x = 1;
	split->y = (int16_t)(len + 1);
}

/* {min,max}: max -1 means without end. */
static void repeat_counted(struct compiler *c, unsigned start, int min, int max)
{
	struct instruction piece[CODE_MAX];
	unsigned n = c->n - start;

	memcpy(piece, &c->code[start], n * sizeof(piece[0]));
	c->n = start;
	for (int i = 0; i < min && !c->why; i++)
		emit_copy(c, piece, n);
	for (int i = min; i < max && !c->why; i++) {
		emit_split(c, 1, (int)n + 1);
		emit_copy(c, piece, n);
	}
	if (max < 0) {
		start = c->n;
		emit_copy(c, piece, n);
		if (!c->why)
			repeat_any(c, start);
	}
}

static void parse_counts(struct compiler *c, unsigned start)
{
	int min = parse_number(c), max = min;

	if (*c->at == ',') {
		c->at++;
		max = parse_number(c);
	}
	if (min < 0 || *c->at != '}' || (max >= 0 && max < min)) {
		mistake(c, "{n}, {n,} or {n,m}");
		return;
	}
	c->at++;
	repeat_counted(c, start, min, max);
}

static void parse_repeated(struct compiler *c)
{
	unsigned start = c->n;

	parse_atom(c);
	while (*c->at && strchr("*+?{", *c->at) && !c->why) {
		switch (*c->at++) {
		case '*':
			repeat_any(c, start);
			break;
		case '+':
			emit_split(c, -(int)(c->n - start), 1);
			break;
		case '?':
			repeat_optional(c, start);
			break;
		default:
			parse_counts(c, start);
		}
	}
}

static void parse_alternatives(struct compiler *c)
{
	unsigned start = c->n;

	while (*c->at && *c->at != ')' && *c->at != '|')
		parse_repeated(c);
	if (*c->at == '|') {
		int len = (int)(c->n - start);
		struct instruction *split = emit_before(c, start, OP_SPLIT);
		unsigned jump;

		split->x = 1;
		split->y = (int16_t)(len + 2);
		jump = c->n;
		emit(c, OP_JUMP);
		c->at += !c->why;
		parse_alternatives(c);
		if (!c->why)
			c->code[jump].x = (int16_t)(c->n - jump);
	}
}

static int finish(struct compiler *c, struct arena *a, struct pattern **out, const char **why)
{
	struct instruction *code;
	struct range *ranges;
	struct pattern *p;

	emit(c, OP_MATCH);
	if (c->why) {
		*why = c->why;
		return PATTERN_BAD;
	}
	p = arena_zalloc(a, sizeof(*p));
	p->n = c->n;
	p->code = code = arena_alloc(a, c->n * sizeof(*code));
	memcpy(code, c->code, c->n * sizeof(*code));
	p->ranges = ranges = arena_alloc(a, (c->n_ranges + 1) * sizeof(*ranges));
	memcpy(ranges, c->ranges, c->n_ranges * sizeof(*ranges));
	*out = p;
	return 0;
}

int pattern_regexp(const char *text, struct arena *a, struct pattern **out, const char **why)
{
	struct compiler c = { .at = text };

	parse_alternatives(&c);
	if (*c.at == ')')
		mistake(&c, "a ( to the )");
	return finish(&c, a, out, why);
}

int pattern_glob(const char *text, struct arena *a, struct pattern **out, const char **why)
{
	struct compiler c = { .at = text };

	emit(&c, OP_BEGIN);
	while (*c.at) {
		switch (*c.at) {
		case '*':
			c.at++;
			emit(&c, OP_ANY);
			repeat_any(&c, c.n - 1);
			break;
		case '?':
			c.at++;
			emit(&c, OP_ANY);
			break;
		case '[':
			c.at++;
			parse_set(&c, '!');
			break;
		case '\\':
			if (c.at[1])
				c.at++;
			/* fall through */
		default:
			emit_char(&c);
		}
	}
	emit(&c, OP_END);
	return finish(&c, a, out, why);
}

/* ---- Matching. */

/* Instructions that wait for the next character, each once. */
struct ways {
	unsigned n;
	uint16_t at[CODE_MAX];
	uint64_t seen[CODE_MAX / 64];
	bool matched;
};

static void ways_clear(struct ways *w)
{
	w->n = 0;
	memset(w->seen, 0, sizeof(w->seen));
}

static void go(const struct pattern *p, struct ways *w, unsigned at, bool begin, bool end)
{
	for (;;) {
		const struct instruction *i = &p->code[at];

		if (w->seen[at / 64] & (UINT64_C(1) << (at % 64)))
			return;
		w->seen[at / 64] |= UINT64_C(1) << (at % 64);
		switch (i->op) {
		case OP_JUMP:
			at = (unsigned)((int)at + i->x);
			break;
		case OP_SPLIT:
			go(p, w, (unsigned)((int)at + i->x), begin, end);
			at = (unsigned)((int)at + i->y);
			break;
		case OP_BEGIN:
		case OP_END:
			if (!(i->op == OP_BEGIN ? begin : end))
				return;
			at++;
			break;
		case OP_MATCH:
			w->matched = true;
			return;
		default:
			w->at[w->n++] = (uint16_t)at;
			return;
		}
	}
}

static bool takes(const struct pattern *p, const struct instruction *i, uint32_t c)
{
	if (i->op == OP_CHAR)
		return i->character == c;
	if (i->op == OP_ANY)
		return true;
	for (unsigned r = 0; r < i->ranges; r++) {
		const struct range *range = &p->ranges[i->x + (int)r];

		if (c >= range->first && c <= range->last)
			return i->op == OP_SET;
	}
	return i->op == OP_NOT_SET;
}

bool pattern_matches(const struct pattern *p, const char *text)
{
	struct ways both[2] = { 0 }, *now = &both[0], *next = &both[1];
	bool begin = true;

	for (;;) {
		struct ways *spare = now;
		uint32_t c;

		go(p, now, 0, begin, !*text); /* a match may begin anywhere */
		if (now->matched || !*text)
			return now->matched;
		c = next_char(&text);
		ways_clear(next);
		for (unsigned i = 0; i < now->n; i++)
			if (takes(p, &p->code[now->at[i]], c))
				go(p, next, now->at[i] + 1u, false, !*text);
		if (next->matched)
			return true;
		now = next;
		next = spare;
		begin = false;
	}
}
