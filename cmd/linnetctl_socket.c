/* cmd/linnetctl_socket.c - one JSON line to the server, one back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd/linnetctl.h"
#include "core/mem.h"

#define READ_BYTES 65536

int control_connect(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (strlen(path) >= sizeof(addr.sun_path))
		die(EXIT_NO_SERVER,
			"the path of the control socket is too long (%zu bytes, at most %zu): %s",
			strlen(path), sizeof(addr.sun_path) - 1, path);
	strcpy(addr.sun_path, path);
	if (fd < 0 || connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0) {
		const char *hint = errno == ECONNREFUSED ? " (it was killed, or is starting)"
			: errno == ENOENT ? " (is it running, with this data folder?)"
			: errno == EACCES ? " (this takes root, the server's own user, or whom the "
					    "socket's mode lets in)"
					  : "";

		die(EXIT_NO_SERVER, "no server answers at %s: %s%s", path, strerror(errno), hint);
	}
	return fd;
}

static void send_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			die(EXIT_NO_SERVER, "the server closed the connection: %s",
				strerror(errno));
		text += n;
		len -= (size_t)n;
	}
}

/* The answer's bytes without the newline; its bound is the server's. */
static char *read_line(int fd, size_t *out_len)
{
	size_t len = 0, cap = 0;
	char *text = NULL;

	for (;;) {
		ssize_t n;

		if (cap - len < READ_BYTES) {
			cap = cap * 2 + READ_BYTES;
			text = xrealloc(text, cap);
		}
		n = recv(fd, text + len, cap - len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			die(EXIT_NO_SERVER, "the server went away without an answer%s%s",
				n < 0 ? ": " : "", n < 0 ? strerror(errno) : "");
		len += (size_t)n;
		if (text[len - 1] == '\n')
			break;
	}
	*out_len = len - 1;
	return text;
}

json_t *control_ask(int fd, const char *command, json_t *args)
{
	json_t *request = json_pack("{s:s, s:o*}", "command", command, "args", args);
	char *line = request ? json_dumps(request, JSON_COMPACT) : NULL, *answer;
	json_t *reply, *result;
	const char *error;
	size_t len;

	if (!line)
		die(EXIT_USAGE, "the arguments are not valid UTF-8");
	len = strlen(line);
	line[len] = '\n'; /* in the NUL's place */
	send_all(fd, line, len + 1);
	wipe(line, len);
	free(line);
	json_decref(request);

	answer = read_line(fd, &len);
	reply = json_loadb(answer, len, 0, NULL);
	free(answer);
	error = json_string_value(json_object_get(reply, "error"));
	if (error)
		die(json_is_true(json_object_get(reply, "usage")) ? EXIT_USAGE : EXIT_FAILED, "%s",
			error);
	if (!json_is_object(reply))
		die(EXIT_NO_SERVER, "what answers there is not Linnet");
	result = json_incref(json_object_get(reply, "result"));
	json_decref(reply);
	return result;
}
