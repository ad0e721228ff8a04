/* A client's first flight of TLS: what we read of a hello ourselves (server_name, ALPN), tickets,
 * and whatever follows. The first byte says how the connection was made and how the rest is cut. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/mem.h"
#include "core/rcu.h"
#include "tests/support/certificate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct tls_store *store;

static void begin(void)
{
	rcu_thread_begin();
	store = store_with_certificate("localhost");
}

/* What came from the client, read as a connection would. */
static int take(struct tls *t)
{
	static char room[TLS_READ_ROOM];
	size_t got;

	return tls_read(t, room, sizeof(room), &got);
}

static int feed(struct tls *t, int fd, const uint8_t *data, size_t size, size_t piece)
{
	bool shaken = false;
	int says = TLS_WANT_READ;

	for (size_t at = 0; at < size && says <= TLS_WANT_WRITE; at += piece) {
		size_t n = size - at < piece ? size - at : piece;

		REQUIRE(send(fd, data + at, n, MSG_NOSIGNAL) == (ssize_t)n);
		says = shaken ? take(t) : tls_handshake(t);
		shaken |= !says;
	}
	return says;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	unsigned how = size ? *data : 0;
	struct tls_info info;
	struct tls *t;
	int fd[2];

	if (!store)
		begin();
	if (!size || size > 65536)
		return 0;
	REQUIRE(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fd) == 0);
	t = tls_new(store, fd[0], how & 1 ? "localhost" : NULL, how & 2 ? TLS_DIRECT : TLS_STARTTLS,
		NULL);
	REQUIRE(t);
	if (feed(t, fd[1], data + 1, size - 1, how & 4 ? 7 : 65536) == TLS_FAILED)
		REQUIRE(*tls_error(t));
	tls_info(t, &info);
	REQUIRE(!info.sni || strlen(info.sni) < 256);
	tls_shutdown(t);
	tls_free(t);
	close(fd[0]);
	close(fd[1]);
	rcu_quiescent();
	return 0;
}
