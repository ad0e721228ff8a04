/* net/sm_element.c - pure functions of an element. */
#include "net/sm_element.h"

#include <stdlib.h>
#include <string.h>

bool sm_read_h(const struct elem *e, uint32_t *out)
{
	const char *text = elem_attr(e, "h");
	unsigned long long value;
	char *end;

	if (!text || *text < '0' || *text > '9')
		return false;
	value = strtoull(text, &end, 10);
	*out = (uint32_t)value;
	return !*end && value <= UINT32_MAX;
}

static bool is_true(const char *value)
{
	return value && (!strcmp(value, "true") || !strcmp(value, "1"));
}

uint64_t sm_time_to_wait(const struct sm_conf *conf, const struct elem *enable)
{
	const char *asked = elem_attr(enable, "max");
	uint64_t most = (uint64_t)conf->max_resume_timeout_ms;
	uint64_t ms = (uint64_t)conf->resume_timeout_ms;

	if (!ms || !is_true(elem_attr(enable, "resume")))
		return 0;
	if (asked && *asked >= '0' && *asked <= '9')
		ms = strtoull(asked, NULL, 10) > UINT32_MAX / 1000
			? UINT32_MAX
			: strtoull(asked, NULL, 10) * 1000;
	return ms < most ? ms : most;
}
