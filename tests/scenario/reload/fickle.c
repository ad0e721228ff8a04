/* A module for whole_test.py: counts what it answers since its start, does not start in a bad mood,
 * and keeps a secret. */
#include <errno.h>
#include <stdatomic.h>

#include "modules/module.h"

struct fickle_conf {
	const char *mood;
	const char *password;
	const char *word;
	const char *domain;
};

static const struct conf_item fickle_items[] = {
	{ "mood", CONF_STRING, FIELD(struct fickle_conf, mood, const char *), .preset = "good",
		.applies = CONF_AT_MODULE_START, .help = "bad: it does not start." },
	{ "password", CONF_SECRET, FIELD(struct fickle_conf, password, const char *),
		.help = "Never shown." },
	{ "word", CONF_STRING, FIELD(struct fickle_conf, word, const char *), .preset = "hello",
		.help = "What it answers." },
	{ "domain", CONF_STRING, FIELD(struct fickle_conf, domain, const char *),
		.preset = "fickle.@HOST@", .applies = CONF_AT_MODULE_START,
		.help = "A domain of its own." },
	{ 0 }
};

struct fickle {
	_Atomic int answered;
};

static void swallow(void *arg UNUSED, struct stanza *s UNUSED)
{
}

static int fickle_start(struct module_instance *mi)
{
	const struct fickle_conf *conf = module_conf(mi);

	if (!strcmp(conf->mood, "bad"))
		return -EPERM;
	mi->data = xcalloc(1, sizeof(struct fickle));
	return module_serve(mi, conf->domain, NULL, swallow, NULL);
}

static void fickle_stop(struct module_instance *mi)
{
	free(mi->data);
}

static int fickle_get(const struct iq *iq, struct builder *answer)
{
	struct module_instance *mi = iq->arg;
	const struct fickle_conf *conf = iq_conf(iq);
	struct fickle *f = mi->data;
	char count[16];

	snprintf(count, sizeof(count), "%d", atomic_fetch_add(&f->answered, 1) + 1);
	build_text(answer, "word", conf->word);
	build_text(answer, "count", count);
	return 0;
}

static const struct module fickle = {
	.abi = LINNET_MODULE_ABI,
	.name = "fickle",
	.help = "For a test.",
	.conf = fickle_items,
	.conf_size = sizeof(struct fickle_conf),
	.iq = (const struct iq_row[]){ { IQ_FOR_GET, IQ_LOCAL, "urn:test:fickle", IQ_NO_QUEUE,
					       fickle_get },
		{ 0 } },
	.start = fickle_start,
	.stop = fickle_stop,
};
LINNET_MODULE(fickle);
