/* tests/unit/modules/test_caps_cache.c - features by hash: in memory with a bound, and lasting. */
#include "core/mem.h"
#include "core/rcu.h"
#include "modules/caps_cache.h"
#include "tests/support/asking.h"
#include "tests/support/database.h"

static void begin(void)
{
	rcu_thread_begin();
	database_begin();
	cr_assert_eq(caps_cache_start(), 0);
}

static void end(void)
{
	caps_cache_stop();
	rcu_wait_later();
	rcu_wait_later();
	database_end();
	rcu_thread_end();
}
TestSuite(caps_cache, .init = begin, .fini = end);

static struct caps_features *features(const char *inside)
{
	AUTO(free_ptr)
	char *text =
		xprintf("<query xmlns='http://jabber.org/protocol/disco#info'>%s</query>", inside);
	struct stanza *s = parse_unsealed(text);
	struct caps_features *f = caps_features_read(s->root);

	stanza_unref(s);
	return f;
}

static void add(const char *key, const char *inside)
{
	struct caps_features *f = features(inside);

	caps_cache_add(key, f);
	caps_features_unref(f);
}

Test(caps_cache, features)
{
	struct caps_features *f = features(
		"<feature var='b'/><feature var='a'/><feature/><feature xmlns='x' var='c'/>"
		"<identity category='client' type='pc'/>");

	cr_expect_eq(f->n, 2);
	cr_expect(caps_features_have(f, "a") && caps_features_have(f, "b"));
	cr_expect_not(caps_features_have(f, "c") || caps_features_have(f, "") ||
		caps_features_have(NULL, "a"));
	caps_features_unref(f);
	f = features("");
	cr_expect_eq(f->n, 0);
	cr_expect_not(caps_features_have(f, "a"));
	caps_features_unref(f);
}

Test(caps_cache, lasts)
{
	struct caps_features *f;

	add("1:sha-1:x", "<feature var='b'/><feature var='a b'/>");
	add("1:sha-1:empty", "");
	cr_expect_null(caps_cache_find("1:sha-1:y"));
	cr_expect(caps_features_have(caps_cache_find("1:sha-1:x"), "a b"));
	caps_cache_stop(); /* what was in memory is gone */
	cr_assert_eq(caps_cache_start(), 0);
	cr_expect_null(caps_cache_find("1:sha-1:x"));
	cr_expect_eq(caps_cache_load("1:sha-1:y", &f), 0);
	cr_expect_null(f);
	cr_expect_eq(caps_cache_load("1:sha-1:empty", &f), 0);
	cr_expect_eq(f->n, 0);
	caps_features_unref(f);
	cr_expect_eq(caps_cache_load("1:sha-1:x", &f), 0);
	cr_expect_eq(f->n, 2);
	cr_expect(caps_features_have(f, "a b") && caps_features_have(f, "b"));
	cr_expect_eq(caps_cache_find("1:sha-1:x"), f);
	caps_features_unref(f);
	cr_expect_eq(caps_cache_clear(), 2);
	cr_expect_null(caps_cache_find("1:sha-1:x"));
	cr_expect_eq(caps_cache_load("1:sha-1:x", &f), 0);
	cr_expect_null(f);
}

Test(caps_cache, what_cannot_stand_in_a_line_is_not_kept)
{
	add("1:sha-1:x", "<feature var='a&#10;b'/>");
	cr_expect_null(caps_cache_find("1:sha-1:x"));
}

Test(caps_cache, bounds)
{
	static char inside[CAPS_FEATURES_BYTES + 64];
	unsigned large = 0;
	char key[32];

	for (int i = 0; i < 6000; i++) {
		snprintf(key, sizeof(key), "1:sha-1:%d", i);
		add(key, "<feature var='a'/>");
		rcu_quiescent();
	}
	cr_expect_leq(caps_cache_count(), 4096);
	cr_expect_geq(caps_cache_count(), 2500, "%u", caps_cache_count());
	cr_expect(caps_cache_find(key), "the newest is there");
	strcpy(inside, "<feature var='");
	memset(inside + 14, 'x', CAPS_FEATURES_BYTES);
	strcpy(inside + 14 + CAPS_FEATURES_BYTES, "'/>");
	cr_expect_null(features(inside), "too much");
	strcpy(inside + 14 + CAPS_FEATURES_BYTES - 1000, "'/>");
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "2:sha-1:%d", i);
		add(key, inside);
		rcu_quiescent();
	}
	for (int i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "2:sha-1:%d", i);
		large += caps_cache_find(key) != NULL;
	}
	cr_expect_leq(large * (CAPS_FEATURES_BYTES - 1000), 16 << 20, "%u", large);
	cr_expect_geq(large, 500, "%u", large);
}
