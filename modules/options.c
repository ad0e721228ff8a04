/* modules/options.c - reads the settings of one module. */
#include "modules/options.h"

#include <stdio.h>
#include <stdlib.h>

#include "modules/registry.h"

struct common_conf {
	const struct conf_node *iqdisc;
	int64_t max_queue;
};

#define NUMBER_TEXT_(n) #n
#define NUMBER_TEXT(n) NUMBER_TEXT_(n)
#define QUEUES_MAX 1024

static const struct conf_item common_items[] = {
	{ "iqdisc", CONF_RAW, FIELD(struct common_conf, iqdisc, const struct conf_node *),
		.unit = "no_queue, one_queue, parallel or {queues: N}",
		.help = "Where the module's requests are answered, instead of where each is by "
			"default: no_queue (at once, by the thread that read the request), "
			"one_queue (a thread of its own, in order), {queues: N} (N queues on the "
			"job threads, an account always in the same one) or parallel (the job "
			"threads, in no order)." },
	{ "max_queue", CONF_INT, FIELD(struct common_conf, max_queue, int64_t),
		.preset = NUMBER_TEXT(IQ_MAX_QUEUE), .unit = "requests", .min = 1, .max = 1000000,
		.help = "How many requests may wait or be worked on at once; one more is answered "
			"with resource-constraint, type wait." },
	{ 0 }
};

/* ejabberd's. */
static const struct conf_hint hints[] = {
	{ "db_type|ram_db_type|*cache_life_time|*cache_missed|*cache_size|*use_cache|"
	  "store_current_id",
		"what lasts is in the server's one database; take it out" },
	{ "password_strength", "this is password_min_length" },
	{ "captcha_protected", "there are no captchas yet" },
	{ "allow_modules", "no module registers accounts but this one; take it out" },
	{ NULL, NULL },
};

const struct conf_item *options_common(const struct module *m)
{
	return m->iq ? common_items : NULL;
}

/* The options stand in front of the module's own part, so that whoever has that can count them. */
static struct options *options_of(const void *conf)
{
	return *(struct options **)((const char *)conf - sizeof(max_align_t));
}

void options_drop(struct options *o)
{
	if (!o || atomic_fetch_sub_explicit(&o->refs, 1, memory_order_acq_rel) > 1)
		return;
	arena_fini(&o->arena);
	free(o);
}

static void disc_read(struct options *o, const struct conf_node *n, struct conf_errors *e)
{
	static const struct {
		const char *word;
		enum iq_discipline kind;
	} plain[] = { { "no_queue", IQ_NO_QUEUE }, { "one_queue", IQ_ONE_QUEUE },
		{ "parallel", IQ_PARALLEL } };
	static const struct conf_item queues = { "queues", CONF_INT, .min = 1, .max = QUEUES_MAX };
	const struct conf_node *n_queues = conf_node_get(n, "queues");
	struct conf_guess guess = { .given = conf_node_text(n) };
	int64_t number = 1;

	o->disc_given = true;
	if (n_queues && conf_node_count(n) == 1) {
		o->disc.kind = IQ_QUEUES;
		conf_fill_value(&queues, n_queues, &number, &o->arena, e);
		o->disc.queues = (unsigned)number;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
		if (conf_node_kind(n) == CONF_SCALAR &&
			strcmp(conf_node_text(n), plain[i].word) == 0) {
			o->disc.kind = plain[i].kind;
			return;
		}
		conf_guess(&guess, plain[i].word);
	}
	conf_fail_guess(e, n, &guess,
		"iqdisc: expected no_queue, one_queue, parallel or {queues: N}, found \"%s\"",
		conf_node_text(n));
}

static void disc_check(const struct options *o, const struct module *m, const struct conf_node *at,
	struct conf_errors *e)
{
	bool queues = o->disc.kind != IQ_NO_QUEUE;

	for (const struct iq_row *row = o->disc_given ? m->iq : NULL; row && row->ns; row++) {
		if (queues ? !row->lane : !row->blocks)
			continue;
		conf_fail(e, at,
			queues ? "iqdisc: %s has queues of its own, one for each account, so it is "
				 "no_queue"
			       : "iqdisc: %s asks the database, so it cannot be no_queue",
			m->name);
		return;
	}
}

struct options *options_read(
	const struct module *m, const struct conf_node *map, struct conf_errors *e)
{
	struct options *o = xcalloc(1, sizeof(*o));
	struct common_conf common = { .max_queue = IQ_MAX_QUEUE };
	struct options **front;
	unsigned before = conf_errors_count(e);
	const char *wrong;
	struct conf_part parts[2];

	atomic_init(&o->refs, 1);
	arena_init(&o->arena, NULL, 0);
	front = arena_zalloc(&o->arena, sizeof(max_align_t) + m->conf_size);
	*front = o;
	o->conf = (char *)front + sizeof(max_align_t);
	parts[0] = (struct conf_part){ .rows = m->conf, .out = (void *)o->conf };
	parts[1] = (struct conf_part){ options_common(m), &common, hints };
	conf_fill_parts(parts, ARRAY_LEN(parts), map, &o->arena, e);
	o->disc.max_queue = (unsigned)common.max_queue;
	if (common.iqdisc) {
		disc_read(o, common.iqdisc, e);
		disc_check(o, m, common.iqdisc, e);
	}
	wrong = m->check && conf_errors_count(e) == before ? m->check(o->conf, &o->arena) : NULL;
	if (wrong)
		conf_fail_key(e, map, "%s", wrong);
	return o;
}

struct iqdisc options_disc(const struct options *o, const struct iq_row *row)
{
	struct iqdisc disc = o->disc;

	if (!o->disc_given) {
		disc.kind = row->disc;
		disc.queues = row->queues ? row->queues : IQ_ROW_QUEUES;
	}
	return disc;
}

const void *module_conf_hold(struct module_instance *mi)
{
	const void *conf = module_conf(mi);

	atomic_fetch_add_explicit(&options_of(conf)->refs, 1, memory_order_relaxed);
	return conf;
}

void module_conf_drop(const void *held)
{
	if (held)
		options_drop(options_of(held));
}

/* As in settings; NULL: what each row has by default. */
static const char *disc_text(const struct options *o, char text[IQDISC_TEXT_MAX])
{
	return o->disc_given ? iqdisc_text(&o->disc, text) : NULL;
}

static void common_differences(const struct options *before, const struct options *after,
	void (*fn)(const struct conf_change *change, void *arg), void *arg)
{
	static const struct conf_item as_text = { "iqdisc", CONF_STRING };
	char was[IQDISC_TEXT_MAX], now[IQDISC_TEXT_MAX];
	struct conf_change change = { .path = "iqdisc",
		.item = &as_text,
		.before = disc_text(before, was),
		.after = disc_text(after, now) };

	if (strcmp(log_text(change.before), log_text(change.after)) != 0)
		fn(&change, arg);
	if (before->disc.max_queue == after->disc.max_queue)
		return;
	snprintf(was, sizeof(was), "%u", before->disc.max_queue);
	snprintf(now, sizeof(now), "%u", after->disc.max_queue);
	change = (struct conf_change){
		.path = "max_queue", .item = &common_items[1], .before = was, .after = now
	};
	fn(&change, arg);
}

void options_differences(const struct module *m, const struct options *before,
	const struct options *after, void (*fn)(const struct conf_change *change, void *arg),
	void *arg)
{
	if (m->conf)
		conf_differences(m->conf, before->conf, after->conf, fn, arg);
	if (m->iq)
		common_differences(before, after, fn, arg);
}

static bool disc_equal(const struct options *a, const struct options *b)
{
	if (a->disc_given != b->disc_given || a->disc.max_queue != b->disc.max_queue)
		return false;
	return !a->disc_given || (a->disc.kind == b->disc.kind && a->disc.queues == b->disc.queues);
}

/* Nodes of the file that was read for a are gone with it, so they cannot be compared later. */
static bool keeps_nodes(const struct conf_item *rows)
{
	for (; rows && rows->type != CONF_END; rows++)
		if (rows->type == CONF_RAW || keeps_nodes(rows->rows) || keeps_nodes(rows->item))
			return true;
	return false;
}

bool options_same(const struct module *m, const struct options *a, const struct options *b)
{
	return disc_equal(a, b) && !keeps_nodes(m->conf) &&
		(!m->conf || conf_same(m->conf, a->conf, b->conf));
}

static void note_restart(const struct conf_change *change, void *arg)
{
	bool *restart = arg;

	*restart |= change->applies != CONF_AT_RELOAD;
}

bool options_need_restart(
	const struct module *m, const struct options *before, const struct options *after)
{
	bool restart = false;

	if (m->conf && !keeps_nodes(m->conf))
		conf_differences(m->conf, before->conf, after->conf, note_restart, &restart);
	return restart;
}
