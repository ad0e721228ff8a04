/* Another server's bytes against a whole server in one process: stream header, dialback, stream
 * management, stanzas. The input begins with how far the stream has come: '0' it has just
 * connected, '1' its header was answered, anything else it may send for remote.example and goes
 * both ways. There is no way out to any server, so what it asks for about itself is refused.
 * Whatever it sends, what it gets is well-formed XML, a client is served still, and when it is gone
 * nothing of it is left. */

#include "core/job.h"
#include "net/s2s_in.h"
#include "net/s2s_in_stream.h"
#include "router/account.h"
#include "router/directory.h"
#include "router/route.h"
#include "tests/support/visitor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPEN                                                                                     \
	"<stream:stream xmlns='jabber:server' xmlns:db='jabber:server:dialback' to='localhost' " \
	"from='remote.example' version='1.0' xmlns:stream='http://etherx.jabber.org/streams'>"
#define BIDI "<bidi xmlns='urn:xmpp:bidi'/>"

static const char modules[] = "{ping: {}, version: {}, time: {}, disco: {}, echo: {}}";

/* --- the server --- */

static void start_server(void)
{
	struct host_conf *conf = host_conf_new();

	job_check();
	rcu_thread_begin();
	log_level = LOG_LEVEL_NONE;
	directory_init();
	REQUIRE(jobs_start(1) == 0 && auth_start(NULL) == 0 && shards_start(1) == 0);
	accounts_start();
	conf->language = "en";
	conf->s2s_access = "all";
	conf->s2s_dialback = true;
	conf->sm = (struct sm_conf){ .resume_timeout_ms = 60000,
		.max_resume_timeout_ms = 60000,
		.max_ack_queue = 100,
		.max_ack_bytes = 1 << 20,
		.ack_timeout_ms = 60000 };
	host = host_new("localhost", conf);
	start_modules(modules);
	REQUIRE(route_register_host(host) == 0);
	open_port((struct listen_conf){ 0 });
}

static bool nobody_is_left(void)
{
	return s2s_in_count() == 0 && atomic_load(&listener.connections) == 0;
}

/* --- the other server --- */

static void note(const struct s2s_in_info *info, void *arg)
{
	*(struct actor_id *)arg = info->id;
}

/* As if the authoritative server had said yes. */
static void believe(void *arg)
{
	struct s2s_question *q = xcalloc(1, sizeof(*q));
	struct s2s_in *c;

	shard_check(NULL);
	c = s2s_in_of_actor(actor_find(*(struct actor_id *)arg));
	REQUIRE(c);
	q->request = (struct s2s_request){ .from = "remote.example",
		.to = "localhost",
		.theirs = "remote.example",
		.ours = "localhost" };
	q->verify.verdict = S2S_VALID;
	fsm_event_now(&c->fsm, &(struct term){ .kind = S2S_IN_VERIFIED, .data = q });
	free(q);
}

static void come_so_far(struct visitor *v, uint8_t how_far)
{
	struct actor_id id = ACTOR_NONE;

	if (how_far == '0')
		return;
	say(v, OPEN, sizeof(OPEN) - 1);
	if (how_far == '1')
		return;
	say(v, BIDI, sizeof(BIDI) - 1);
	s2s_in_each(note, &id);
	on_shard(0, believe, &id);
	settle();
}

/* --- what must hold --- */

/* A stream of its own is served. */
static void check_next(void)
{
	static const char verify[] =
		OPEN "<db:verify from='remote.example' to='localhost' id='1'>abc"
		     "</db:verify></stream:stream>";
	struct visitor v;

	arrive(&v, s2s_in_accepted);
	say(&v, verify, sizeof(verify) - 1);
	buf_append_char(&v.heard, 0);
	REQUIRE(strstr(v.heard->data, "type='invalid'"));
	close(v.fd);
	buf_unref(v.heard);
	settle();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned inputs;
	struct visitor v;

	if (!host)
		start_server();
	if (!size || size > 16384)
		return 0;
	arrive(&v, s2s_in_accepted);
	come_so_far(&v, *data);
	for (size_t at = 1, n; at < size; at += n) {
		n = size - at < 4096 ? size - at : 4096;
		say(&v, (const char *)data + at, n);
	}
	check_documents(&v);
	close(v.fd);
	buf_unref(v.heard);
	settle();
	if (inputs++ % 32 == 0)
		check_next();
	s2s_in_kick_all(STREAM_RESET); /* those that would wait to be resumed */
	for (unsigned turn = 0; !nobody_is_left() && turn < TURNS; turn++)
		wait_a_turn();
	REQUIRE(nobody_is_left());
	rcu_quiescent();
	return 0;
}
