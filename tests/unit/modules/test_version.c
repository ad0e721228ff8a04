/* tests/unit/modules/test_version.c - XEP-0092, and the two other answers made of nothing but the
 * machine: XEP-0202 and the developer's guide's processor time. */
#include <stdio.h>
#include <time.h>

#include "modules/module.h"
#include "tests/support/asking.h"

extern const struct module module_version, module_time, module_cputime;

struct version_conf {
	bool show_os;
};

Test(version, section_3_name_and_version_are_required)
{
	struct version_conf conf = { .show_os = false };
	char *answer = ask(module_version.iq[0].fn, NULL, &conf, NULL,
		"<iq xmlns='jabber:client' type='get' from='romeo@montague.net/orchard' "
		"to='montague.net' id='version_1'><query xmlns='jabber:iq:version'/></iq>");

	cr_expect_str_eq(answer,
		"<iq type='result' id='version_1' to='romeo@montague.net/orchard' "
		"from='montague.net'>"
		"<query xmlns='jabber:iq:version'><name>Linnet</name><version>" LINNET_VERSION
		"</version></query></iq>");
	free(answer);
}

Test(version, section_5_os_only_when_asked_for)
{
	struct version_conf conf = { .show_os = true };
	char *answer = ask(module_version.iq[0].fn, NULL, &conf, NULL,
		"<iq xmlns='jabber:client' type='get' from='a@b.c/d' to='b.c' id='1'>"
		"<query xmlns='jabber:iq:version'/></iq>");

	cr_expect(strstr(answer, "<os>Linux</os>"), "%s", answer);
	free(answer);
}

static const struct {
	const char *zone, *offset;
} zones[] = {
	/* XEP-0202 §2: tzo as in XEP-0082 §3.2 */
	{ "UTC0", "+00:00" },
	{ "EST5", "-05:00" },
	{ "IST-5:30", "+05:30" },
	{ "NPT-5:45", "+05:45" },
	{ "NST3:30", "-03:30" },
};

Test(time, section_2_offset_and_utc)
{
	for (size_t i = 0; i < ARRAY_LEN(zones); i++) {
		char wanted[64];
		char *answer, *utc;
		struct tm tm = { 0 };
		time_t before = time(NULL), told;

		setenv("TZ", zones[i].zone, 1);
		tzset();
		answer = ask(module_time.iq[0].fn, NULL, NULL, NULL,
			"<iq xmlns='jabber:client' type='get' from='a@b.c/d' to='b.c' id='1'>"
			"<time xmlns='urn:xmpp:time'/></iq>");
		snprintf(wanted, sizeof(wanted), "<tzo>%s</tzo><utc>", zones[i].offset);
		utc = strstr(answer, wanted);
		cr_assert(utc, "%s in %s", wanted, answer);
		utc = strptime(utc + strlen(wanted), "%Y-%m-%dT%H:%M:%SZ", &tm);
		cr_assert(utc && strncmp(utc, "</utc>", 6) == 0, "%s", answer);
		told = timegm(&tm);
		cr_expect(told >= before && told <= time(NULL), "%s", answer);
		free(answer);
	}
}

Test(cputime, guide_8_1_seconds_with_three_decimals)
{
	double seconds = -1;
	int end = 0;
	char *answer = ask(module_cputime.iq[0].fn, NULL, NULL, NULL,
		"<iq xmlns='jabber:client' type='get' from='a@b.c/d' to='b.c' id='1'>"
		"<query xmlns='ejabberd:cputime'/></iq>");

	sscanf(answer,
		"<iq type='result' id='1' to='a@b.c/d' from='b.c'><query xmlns='ejabberd:cputime'>"
		"<cputime>%lf</cputime></query></iq>%n",
		&seconds, &end);
	cr_expect(seconds >= 0 && (size_t)end == strlen(answer), "%s", answer);
	cr_expect_eq(strcspn(strchr(strstr(answer, "<cputime>"), '.') + 1, "<"), 3, "%s", answer);
	free(answer);
}
