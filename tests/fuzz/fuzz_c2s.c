/* A client's bytes against a whole server in one process: stream, login, routing, modules. The
 * input begins with how far the client has come: '0' it has just connected, anything else it has a
 * bound resource. In the rest, the byte 1 stands for its bare JID, 2 for its full one and 3 for
 * the full JID of somebody else who is connected. Whatever it sends, what it gets is well-formed
 * XML, nobody else suffers, and when it is gone nothing of it is left. */

#include "core/job.h"
#include "net/c2s.h"
#include "router/account.h"
#include "router/directory.h"
#include "tests/support/visitor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OPEN                                                                 \
	"<stream:stream xmlns='jabber:client' to='localhost' version='1.0' " \
	"xmlns:stream='http://etherx.jabber.org/streams'>"
#define LOGIN                                                                                     \
	OPEN "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='ANONYMOUS'>=</auth>" OPEN \
	     "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"              \
	     "<resource>r</resource></bind></iq>"

static const char modules[] = "{ping: {}, version: {}, time: {}, disco: {}, echo: {}, "
			      "cputime: {iqdisc: no_queue}}";

/* --- the server --- */

static void start_server(void)
{
	struct host_conf *conf = host_conf_new();

	job_check();
	rcu_thread_begin();
	log_level = LOG_LEVEL_ERROR;
	directory_init();
	REQUIRE(jobs_start(1) == 0 && auth_start(NULL) == 0 && shards_start(1) == 0);
	accounts_start();
	conf->sasl_mechanisms = SASL_ANONYMOUS | SASL_PLAIN | SASL_SCRAM_SHA_256;
	conf->anonymous = conf->legacy_auth = conf->sasl2 = true;
	conf->max_sessions = 10;
	conf->max_out_bytes = 1 << 20;
	conf->auth_fails = 0;
	conf->language = "en";
	host = host_new("localhost", conf);
	start_modules(modules);
	REQUIRE(route_register_host(host) == 0);
	open_port((struct listen_conf){ 0 });
}

static bool only_the_witness_is_left(void)
{
	return c2s_count() == 1 && directory_count() == 1 &&
		atomic_load(&listener.connections) == 1;
}

/* --- a client --- */

/* The full JID that the answer to bind gives. */
static char *log_in(struct visitor *v)
{
	const char *at = NULL;

	say(v, LOGIN, sizeof(LOGIN) - 1);
	for (unsigned turn = 0; !at && turn < TURNS; turn++) {
		if (turn)
			wait_a_turn();
		hear(v);
		buf_append_char(&v->heard, 0);
		v->heard->len--;
		at = strstr(v->heard->data, "<jid>");
	}
	if (!at)
		fprintf(stderr, "instead of a resource: %s\n", v->heard->data);
	REQUIRE(at);
	return xstrndup(at + 5, strcspn(at + 5, "<"));
}

/* --- what must hold --- */

static struct visitor witness;
static char *witness_jid;

static void check_witness(void)
{
	static const char ping[] =
		"<iq type='get' id='w' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>";

	witness.heard->len = 0;
	say(&witness, ping, sizeof(ping) - 1);
	buf_append_char(&witness.heard, 0);
	REQUIRE(strstr(witness.heard->data, "id='w'"));
	witness.heard->len = 0;
}

/* The input with names where their bytes stand. */
static struct buf *with_names(const uint8_t *data, size_t size, const char *jid)
{
	struct buf *b = buf_new(size + 64);

	for (size_t i = 0; i < size; i++) {
		if (data[i] == 1 && jid)
			buf_append(&b, jid, strcspn(jid, "/"));
		else if (data[i] == 2 && jid)
			buf_append(&b, jid, strlen(jid));
		else if (data[i] == 3)
			buf_append(&b, witness_jid, strlen(witness_jid));
		else
			buf_append_char(&b, (char)data[i]);
	}
	return b;
}

static void begin(void)
{
	start_server();
	arrive(&witness, c2s_accepted);
	witness_jid = log_in(&witness);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned inputs;
	AUTO(free_ptr) char *jid = NULL;
	struct visitor v;
	struct buf *text;

	if (!host)
		begin();
	if (!size || size > 16384)
		return 0;
	arrive(&v, c2s_accepted);
	if (*data != '0')
		jid = log_in(&v);
	text = with_names(data + 1, size - 1, jid);
	for (size_t at = 0, n; at < text->len; at += n) {
		n = text->len - at < 4096 ? text->len - at : 4096;
		say(&v, text->data + at, n);
	}
	buf_unref(text);
	check_documents(&v);
	leave(&v);
	if (inputs++ % 32 == 0)
		check_witness();
	for (unsigned turn = 0; !only_the_witness_is_left() && turn < TURNS; turn++)
		wait_a_turn();
	REQUIRE(only_the_witness_is_left());
	rcu_quiescent();
	return 0;
}
