/* tests/support/dialling.h - TCP clients of listeners in the same process. Every wait has an end.
 */
#pragma once

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "core/rcu.h"
#include "net/c2s.h"

/* Its reads end after 10 s without a byte. */
static inline int dialling_socket(int family)
{
	const struct timeval patience = { .tv_sec = 10 };
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert_geq(fd, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return fd;
}

static inline bool dial_from(int fd, const char *ip, uint16_t port)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };

	if (inet_pton(AF_INET6, ip, &in6.sin6_addr) == 1)
		return connect(fd, (struct sockaddr *)&in6, sizeof(in6)) == 0;
	cr_assert_eq(inet_pton(AF_INET, ip, &in.sin_addr), 1);
	return connect(fd, (struct sockaddr *)&in, sizeof(in)) == 0;
}

/* A connection, or -1 when it is refused. */
static inline int dial(const char *ip, uint16_t port)
{
	int fd = dialling_socket(strchr(ip, ':') ? AF_INET6 : AF_INET);

	if (dial_from(fd, ip, port))
		return fd;
	close(fd);
	return -1;
}

/* Whether the one at the other end was closed without having been told anything. */
static inline bool is_turned_away(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, 0);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* Whether a client stream answers: it knows no such host. Ends the connection. */
static inline bool is_served(int fd)
{
	static const char open[] =
		"<stream:stream xmlns='jabber:client' to='nowhere.example' version='1.0' "
		"xmlns:stream='http://etherx.jabber.org/streams'>";
	char room[2048] = "";
	size_t have = 0;
	ssize_t n;

	if (send(fd, open, sizeof(open) - 1, MSG_NOSIGNAL) < 0)
		return false;
	while (have < sizeof(room) - 1 &&
		(n = recv(fd, room + have, sizeof(room) - 1 - have, 0)) > 0)
		have += (size_t)n;
	close(fd);
	return strstr(room, "<host-unknown ") != NULL;
}

/* Waits until there are so many client streams. */
static inline bool await_streams(int64_t n)
{
	const struct timespec nap = { .tv_nsec = 1000000 };
	bool reading = rcu_offline();

	for (int i = 0; i < 10000 && c2s_count() != n; i++)
		nanosleep(&nap, NULL);
	rcu_online(reading);
	return c2s_count() == n;
}
