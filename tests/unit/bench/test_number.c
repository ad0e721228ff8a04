/* tests/unit/bench/test_number.c - numbers in texts, of this run alone. */
#include "bench/bench_number.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

static struct options options = { .users = 1 };
static struct loop loop = { .options = &options };
static struct client client;

static void begin(void)
{
	client_init(&client, &loop, 0, NULL);
}

static void end(void)
{
	client_fini(&client);
}

TestSuite(number, .init = begin, .fini = end);

static const char *written(uint64_t number, unsigned size)
{
	options.size = size;
	client.out_len = 0;
	send_numbered(&client, number);
	client_send(&client, "", 1);
	return client.out;
}

Test(number, comes_back)
{
	static const uint64_t numbers[] = { 0, 1, 1000000, UINT64_MAX };
	uint64_t read = 7;

	for (size_t i = 0; i < ARRAY_LEN(numbers); i++) {
		cr_expect(read_numbered(written(numbers[i], 100), &read));
		cr_expect_eq(read, numbers[i]);
	}
}

Test(number, text_has_the_size_asked_for)
{
	cr_expect_eq(strlen(written(5, 100)), 100);
	cr_expect_eq(strlen(written(5, 1000)), 1000);
	cr_expect_gt(strlen(written(5, 0)), strlen(run_tag()), "or what the number needs");
}

Test(number, names_with_the_mark_are_passed_over)
{
	uint64_t read;
	char text[200];

	snprintf(text, sizeof(text), "<message from='%s-3@rooms'><body>%s.42 xx</body></message>",
		run_tag(), run_tag());
	cr_expect(read_numbered(text, &read));
	cr_expect_eq(read, 42);
}

Test(number, other_runs_are_not_read)
{
	uint64_t read;
	char text[200];

	cr_expect_not(read_numbered("<body>b123.4.42 xx</body>", &read));
	cr_expect_not(read_numbered("", &read));
	snprintf(text, sizeof(text), "<body>%s.42x</body>", run_tag());
	cr_expect_not(read_numbered(text, &read), "no number");
	snprintf(text, sizeof(text), "<body>%s-1</body>", run_tag());
	cr_expect_not(read_numbered(text, &read), "a name");
}
