/* tests/unit/bench/test_json.c - a run as JSON, read back by jansson. */
#include <criterion/criterion.h>
#include <jansson.h>

#include "tests/unit/bench/finished_run.h"

static struct run run;
static struct options options;

static json_t *read_back(void)
{
	char *text = written(run_json, &run);
	json_error_t error;
	json_t *json;

	cr_assert_not_null(text);
	json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
	cr_assert_not_null(json, "%s: %s", error.text, text);
	free(text);
	return json;
}

Test(json, every_figure_stands_under_its_name)
{
	json_t *json;

	finished_run(&run, &options);
	json = read_back();
	for (unsigned i = 0; i < run.figures.n; i++) {
		const struct figure *f = &run.figures.at[i];
		json_t *value = json_object_get(json, f->name);

		cr_assert_not_null(value, "%s", f->name);
		if (f->value == f->value)
			cr_expect_float_eq(json_number_value(value), f->value, 0.001);
		else
			cr_expect(json_is_null(value));
		if (*f->unit)
			cr_expect_str_eq(json_string_value(json_object_get(
						 json_object_get(json, "units"), f->name)),
				f->unit);
	}
	json_decref(json);
}

Test(json, the_run_is_told)
{
	char title[200];
	json_t *json;

	finished_run(&run, &options);
	json = read_back();
	snprintf(title, sizeof(title), "chat: %s", AWKWARD);
	cr_expect_str_eq(json_string_value(json_object_get(json, "run")), title);
	cr_expect_str_eq(json_string_value(json_object_get(json, "scenario")), "chat");
	cr_expect_eq(json_integer_value(json_object_get(json, "processes")), 2);
	cr_expect(json_is_false(json_object_get(json, "good")));
	cr_expect(json_is_true(json_object_get(json, "generator_was_limit")));
	json_decref(json);
}

Test(json, buckets_hold_all_operations)
{
	json_t *json, *list, *one;
	json_int_t n = 0, before = -1;
	size_t i;

	finished_run(&run, &options);
	json = read_back();
	list = json_object_get(json_object_get(json, "buckets"), "latency");
	json_array_foreach (list, i, one) {
		cr_expect_gt(json_integer_value(json_array_get(one, 0)), before);
		before = json_integer_value(json_array_get(one, 0));
		n += json_integer_value(json_array_get(one, 1));
	}
	cr_expect_eq(n, (json_int_t)run.report.timings[0].hist.n);
	json_decref(json);
}

Test(json, the_timeline_is_whole)
{
	json_t *json, *list;

	finished_run(&run, &options);
	json = read_back();
	list = json_object_get(json, "timeline");
	cr_assert_eq(json_array_size(list), run.timeline.n);
	cr_expect_str_eq(
		json_string_value(json_object_get(json_array_get(list, 0), "phase")), "login");
	cr_expect_not_null(json_object_get(json_array_get(list, 0), "server_memory"));
	cr_expect_null(
		json_object_get(json_array_get(list, 15), "server_memory"), "it was not looked at");
	json_decref(json);
}

Test(json, a_full_disk_is_told)
{
	FILE *full = fopen("/dev/full", "w");

	finished_run(&run, &options);
	cr_assert_not_null(full);
	cr_expect_not(run_json(&run, full));
	fclose(full);
}
