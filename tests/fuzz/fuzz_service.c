/* A component's bytes against a whole server in one process: stream, handshake, routing, modules
 * that give components rights. The input begins with how far the component has come: '0' it has
 * just connected, '1' its header is answered, anything else it serves its domain. In the rest, the
 * byte 1 stands for its domain, 2 for the host and 3 for the other component's domain. Whatever it
 * sends, what it gets is well-formed XML, the other component is served, and when it is gone
 * nothing of it is left. */
#include <inttypes.h>
#include <openssl/evp.h>

#include "core/job.h"
#include "net/service.h"
#include "router/account.h"
#include "router/component.h"
#include "router/directory.h"
#include "tests/support/visitor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OURS "fuzz.example"
#define OTHER "other.example"
#define SECRET "secret"

static const char modules[] =
	"{ping: {}, disco: {}, version: {}, echo: {},"
	" privilege: {roster: {both: all}, message: {outgoing: all},"
	" presence: {managed_entity: all}, iq: {'urn:q': {both: all}}},"
	" delegation: {namespaces: {'urn:d': {access: all}, 'jabber:iq:version': {access: all}}}}";

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
	components_start();
	conf->language = "en";
	host = host_new("localhost", conf);
	start_modules(modules);
	REQUIRE(route_register_host(host) == 0);
	open_port((struct listen_conf){ .module = LISTEN_SERVICE,
		.password = SECRET,
		.check_from = true,
		.max_out_bytes = 1 << 20 });
}

static bool only_the_other_is_left(void)
{
	return service_count() == 1 && components_count() == 1 &&
		atomic_load(&listener.connections) == 1;
}

/* --- a component --- */

static const char *find_heard(struct visitor *v, const char *what)
{
	const char *at = NULL;

	for (unsigned turn = 0; !at && turn < TURNS; turn++) {
		if (turn)
			wait_a_turn();
		hear(v);
		buf_append_char(&v->heard, 0);
		v->heard->len--;
		at = strstr(v->heard->data, what);
	}
	if (!at)
		fprintf(stderr, "no %s in: %s\n", what, v->heard->data);
	REQUIRE(at);
	return at;
}

/* The header and its answer; the stream's id. */
static void open_stream(struct visitor *v, const char *domain, char id[17])
{
	AUTO(free_ptr)
	char *head = xprintf("<stream:stream xmlns='jabber:component:accept' "
			     "xmlns:stream='http://etherx.jabber.org/streams' "
			     "to='%s'>",
		domain);

	say(v, head, strlen(head));
	memcpy(id, find_heard(v, "id='") + 4, 16);
	id[16] = 0;
}

static void serve(struct visitor *v, const char *domain)
{
	char id[17], text[128] = "<handshake>";
	unsigned char digest[EVP_MAX_MD_SIZE];
	AUTO(free_ptr) char *clear = NULL;
	unsigned len;

	open_stream(v, domain, id);
	clear = xprintf("%s%s", id, SECRET);
	REQUIRE(EVP_Digest(clear, strlen(clear), digest, &len, EVP_sha1(), NULL) == 1);
	for (unsigned i = 0; i < len; i++)
		sprintf(text + strlen(text), "%02x", digest[i]);
	strcat(text, "</handshake>");
	say(v, text, strlen(text));
	find_heard(v, "<handshake/>");
}

/* --- what must hold --- */

static struct visitor other;

static void check_other(void)
{
	static const char ping[] = "<iq type='get' id='w' from='" OTHER "' to='localhost'>"
				   "<ping xmlns='urn:xmpp:ping'/></iq>";

	other.heard->len = 0;
	say(&other, ping, sizeof(ping) - 1);
	find_heard(&other, "id='w'");
	other.heard->len = 0;
}

/* The input with names where their bytes stand. */
static struct buf *with_names(const uint8_t *data, size_t size)
{
	static const char *const names[] = { NULL, OURS, "localhost", OTHER };
	struct buf *b = buf_new(size + 64);

	for (size_t i = 0; i < size; i++) {
		if (data[i] && data[i] < ARRAY_LEN(names))
			buf_append(&b, names[data[i]], strlen(names[data[i]]));
		else
			buf_append_char(&b, (char)data[i]);
	}
	return b;
}

static void begin(void)
{
	start_server();
	arrive(&other, service_accepted);
	serve(&other, OTHER);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static unsigned inputs;
	struct visitor v;
	struct buf *text;
	char id[17];

	if (!host)
		begin();
	if (!size || size > 16384)
		return 0;
	arrive(&v, service_accepted);
	if (*data == '1')
		open_stream(&v, OURS, id);
	else if (*data != '0')
		serve(&v, OURS);
	text = with_names(data + 1, size - 1);
	for (size_t at = 0, n; at < text->len; at += n) {
		n = text->len - at < 4096 ? text->len - at : 4096;
		say(&v, text->data + at, n);
	}
	buf_unref(text);
	check_documents(&v);
	leave(&v);
	if (inputs++ % 32 == 0)
		check_other();
	for (unsigned turn = 0; !only_the_other_is_left() && turn < TURNS; turn++)
		wait_a_turn();
	REQUIRE(only_the_other_is_left());
	rcu_quiescent();
	return 0;
}
