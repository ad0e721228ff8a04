/* core/command.c - the table of commands, and the thread that runs them for linnetctl. */
#include "core/command.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/rcu.h"
#include "core/thread.h"

/* ---- The table ---- */

struct entry {
	const struct command *command;
	unsigned running; /* calls under way */
	struct entry *next;
};
static pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t call_ended = PTHREAD_COND_INITIALIZER;
static struct entry *table; /* by group and name; under table_lock */
static _Thread_local const struct entry *running_here;

static const char *const arg_type_names[] = {
	[ARG_STRING] = "string",
	[ARG_SECRET] = "secret",
	[ARG_INT] = "int",
	[ARG_JID] = "jid",
	[ARG_HOST] = "host",
	[ARG_COMMAND] = "command",
	[ARG_FILE] = "file",
	[ARG_FLAG] = "flag",
};

const char *command_arg_type_name(enum command_arg_type type)
{
	return arg_type_names[type];
}

static int order(const struct command *a, const struct command *b)
{
	int by_group = strcmp(a->group, b->group);

	return by_group ? by_group : strcmp(a->name, b->name);
}

static struct entry **find_entry(const char *name)
{
	struct entry **e = &table;

	while (*e && strcmp((*e)->command->name, name))
		e = &(*e)->next;
	return e;
}

void command_add(const struct command *c)
{
	struct entry *added = xcalloc(1, sizeof(*added)), **at = &table;

	added->command = c;
	pthread_mutex_lock(&table_lock);
	REQUIRE(!*find_entry(c->name));
	while (*at && order((*at)->command, c) < 0)
		at = &(*at)->next;
	added->next = *at;
	*at = added;
	pthread_mutex_unlock(&table_lock);
}

void command_remove(const struct command *c)
{
	struct entry **at, *e;

	pthread_mutex_lock(&table_lock);
	at = find_entry(c->name);
	e = *at;
	if (!e || e->command != c) {
		pthread_mutex_unlock(&table_lock);
		return;
	}
	*at = e->next;
	while (e->running > (e == running_here))
		pthread_cond_wait(&call_ended, &table_lock);
	if (e != running_here)
		free(e); /* else call_end() does */
	else
		e->command = NULL;
	pthread_mutex_unlock(&table_lock);
}

const struct command *command_find(const char *name)
{
	struct entry *e;

	pthread_mutex_lock(&table_lock);
	e = *find_entry(name);
	pthread_mutex_unlock(&table_lock);
	return e ? e->command : NULL;
}

void command_each(void (*fn)(const struct command *c, void *arg), void *arg)
{
	pthread_mutex_lock(&table_lock);
	for (const struct entry *e = table; e; e = e->next)
		fn(e->command, arg);
	pthread_mutex_unlock(&table_lock);
}

static struct entry *call_begin(const char *name)
{
	struct entry *e;

	REQUIRE(!running_here);
	pthread_mutex_lock(&table_lock);
	e = *find_entry(name);
	if (e)
		e->running++;
	pthread_mutex_unlock(&table_lock);
	running_here = e;
	return e;
}

static void call_end(struct entry *e)
{
	running_here = NULL;
	pthread_mutex_lock(&table_lock);
	e->running--;
	pthread_cond_broadcast(&call_ended);
	if (!e->command)
		free(e);
	pthread_mutex_unlock(&table_lock);
}

/* ---- The gate ---- */

static struct {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned holders, running;
	bool shut; /* the control socket closes: who waits has waited in vain */
} gate = { .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER };

void command_hold(void)
{
	bool reading = rcu_offline();

	pthread_mutex_lock(&gate.lock);
	gate.holders++;
	while (gate.running)
		pthread_cond_wait(&gate.changed, &gate.lock);
	pthread_mutex_unlock(&gate.lock);
	rcu_online(reading);
}

void command_release(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.holders--;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

/* False: the server is ending. */
static bool gate_enter(void)
{
	bool reading = rcu_offline(), opened;

	pthread_mutex_lock(&gate.lock);
	while (gate.holders && !gate.shut)
		pthread_cond_wait(&gate.changed, &gate.lock);
	opened = !gate.holders;
	gate.running += opened;
	pthread_mutex_unlock(&gate.lock);
	rcu_online(reading);
	return opened;
}

static void gate_leave(void)
{
	pthread_mutex_lock(&gate.lock);
	gate.running--;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

static void gate_shut(bool shut)
{
	pthread_mutex_lock(&gate.lock);
	gate.shut = shut;
	pthread_cond_broadcast(&gate.changed);
	pthread_mutex_unlock(&gate.lock);
}

/* ---- One request ---- */

const char *command_text(const json_t *args, const char *name)
{
	return json_string_value(json_object_get(args, name));
}

int64_t command_int(const json_t *args, const char *name, int64_t absent)
{
	const json_t *value = json_object_get(args, name);

	return json_is_integer(value) ? json_integer_value(value) : absent;
}

bool command_flag(const json_t *args, const char *name)
{
	return json_is_true(json_object_get(args, name));
}

void command_fail(struct command_answer *a, const char *format, ...)
{
	va_list args;

	if (a->error)
		return;
	va_start(args, format);
	if (vasprintf(&a->error, format, args) < 0)
		a->error = xstrdup("out of memory");
	va_end(args);
}

/* What is wrong with the value, or NULL. */
static const char *misfit(const struct command_arg *arg, const json_t *value)
{
	switch (arg->type) {
	case ARG_INT:
		return json_is_integer(value) ? NULL : "a whole number";
	case ARG_FLAG:
		return json_is_boolean(value) ? NULL : "true or false";
	default:
		return json_is_string(value) ? NULL : "a text";
	}
}

static const struct command_arg *find_arg(const struct command *c, const char *name)
{
	for (const struct command_arg *arg = c->args; arg && arg->name; arg++)
		if (!strcmp(arg->name, name))
			return arg;
	return NULL;
}

/* The first thing wrong with the arguments as a sentence for the caller to free, or NULL. */
static char *check_args(const struct command *c, json_t *args)
{
	const char *name;
	json_t *value;

	json_object_foreach (args, name, value) {
		const struct command_arg *arg = find_arg(c, name);
		const char *wanted = arg ? misfit(arg, value) : NULL;

		if (!arg)
			return xprintf("%s takes no argument '%.64s'", c->name, name);
		if (wanted)
			return xprintf("%s: '%s' must be %s", c->name, name, wanted);
	}
	for (const struct command_arg *arg = c->args; arg && arg->name; arg++)
		if (!arg->optional && arg->type != ARG_FLAG && !json_object_get(args, arg->name))
			return xprintf("%s needs '%s': %s", c->name, arg->name, arg->help);
	return NULL;
}

static json_t *usage_error(char *text)
{
	json_t *reply = json_pack("{s:s, s:b}", "error", text, "usage", 1);

	free(text);
	return reply;
}

static json_t *run(const struct command *c, json_t *args)
{
	struct command_answer answer = { 0 };
	json_t *reply;
	char *wrong = check_args(c, args);

	if (wrong)
		return usage_error(wrong);
	if (!c->always && !gate_enter())
		return json_pack("{s:s}", "error", "the server is ending");
	c->run(args, &answer);
	if (!c->always)
		gate_leave();
	if (answer.error)
		reply = json_pack("{s:s}", "error", answer.error);
	else
		reply = json_pack("{s:O?}", "result", answer.result);
	free(answer.error);
	json_decref(answer.result);
	return reply;
}

/* jansson owns the copy but hands out its address: the one place secrets would outlive the call. */
static void forget_texts(json_t *args)
{
	const char *name;
	json_t *value;

	json_object_foreach (args, name, value)
		if (json_is_string(value))
			wipe((char *)json_string_value(value), json_string_length(value));
}

static json_t *list_of(const char *const *words)
{
	json_t *list = words ? json_array() : NULL;

	for (; words && *words; words++)
		json_array_append_new(list, json_string(*words));
	return list;
}

static json_t *describe_args(const struct command *c)
{
	json_t *list = json_array();

	for (const struct command_arg *arg = c->args; arg && arg->name; arg++) {
		bool flag = arg->type == ARG_FLAG;

		json_array_append_new(list,
			json_pack("{s:s, s:s, s:b, s:b, s:s, s:o*}", "name", arg->name, "type",
				command_arg_type_name(arg->type), "optional", flag || arg->optional,
				"option", flag || arg->option, "help", arg->help, "words",
				list_of(arg->words)));
	}
	return list;
}

struct description {
	const char *only; /* NULL: all commands */
	json_t *list;
};

static void describe(const struct command *c, void *arg)
{
	struct description *d = arg;

	if (d->only && strcmp(d->only, c->name))
		return;
	json_array_append_new(d->list,
		json_pack("{s:s, s:s, s:s, s:o, s:o*}", "name", c->name, "group", c->group, "help",
			c->help, "args", describe_args(c), "columns", list_of(c->columns)));
}

static void run_help(const json_t *args, struct command_answer *answer)
{
	struct description d = { command_text(args, "command"), json_array() };

	command_each(describe, &d);
	if (d.only && !json_array_size(d.list))
		command_fail(answer, "there is no command '%.64s'", d.only);
	answer->result = d.list;
}

static const struct command help_command = {
	.name = "help",
	.group = "server",
	.help = "List the commands, or explain one of them.",
	.args =
		(const struct command_arg[]){
			{ "command", ARG_COMMAND, true, false, "The command to explain." }, { 0 } },
	.run = run_help,
};

json_t *command_request(char *line, size_t len)
{
	json_error_t where;
	json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &where), *reply;
	json_t *args = json_object_get(request, "args"), *no_args = NULL;
	const char *name = command_text(request, "command");
	struct entry *e = NULL;

	wipe(line, len);
	if (!args)
		args = no_args = json_object();
	if (!request)
		reply = usage_error(xprintf("the request is not JSON: %s", where.text));
	else if (!name || !json_is_object(args))
		reply = usage_error(xstrdup("a request is {\"command\": name, \"args\": {...}}"));
	else if (!(e = call_begin(name)))
		reply = usage_error(xprintf("there is no command '%.64s'", name));
	else
		reply = run(e->command, args);
	if (e)
		call_end(e);
	forget_texts(args);
	json_decref(no_args);
	json_decref(request);
	return reply ? reply : json_pack("{s:s}", "error", "the answer is not valid UTF-8");
}

/* ---- The control socket ---- */

#define CLIENT_IDLE_MS 600000 /* nothing read or written for so long: closed */
#define CLOSE_FLUSH_MS 1000 /* how long command_close() lets answers leave */
#define READ_BYTES 65536

struct client {
	int fd;
	uid_t uid;
	uint64_t moved_ms; /* when bytes last went either way */
	char *in; /* in_len bytes of one line and what follows it */
	size_t in_len, in_cap;
	size_t line_len; /* of the first line in `in` with its newline; 0: not complete */
	char *out; /* an answer on its way; NULL: none. Nothing is read meanwhile */
	size_t out_len, out_at;
	bool last; /* close when out has left */
	bool gone;
};

static struct {
	int fd, wake_fd;
	char *path;
	ino_t file;
	gid_t group; /* of the socket's file */
	unsigned mode;
	pthread_t thread;
	_Atomic bool closing;
	struct client clients[COMMAND_CLIENTS_MAX]; /* the thread's own; the first n */
	unsigned n;
} control = { .fd = -1, .wake_fd = -1 };

static bool peer_in_group(int fd, const struct ucred *peer)
{
	gid_t groups[256];
	socklen_t bytes = sizeof(groups);

	if (peer->gid == control.group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &bytes) < 0)
		return false;
	for (size_t i = 0; i < bytes / sizeof(groups[0]); i++)
		if (groups[i] == control.group)
			return true;
	return false;
}

/* The file's mode already keeps others out; this holds where the folder or a moved file does not.
 */
static bool peer_allowed(int fd, const struct ucred *peer)
{
	if (peer->uid == 0 || peer->uid == geteuid())
		return true;
	return (control.mode & 06) == 06 ||
		((control.mode & 060) == 060 && peer_in_group(fd, peer));
}

static void client_accept(void)
{
	AUTO(fd_close) int fd = accept4(control.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	struct ucred peer;
	socklen_t bytes = sizeof(peer);
	struct client *c;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
		return;
	if (!peer_allowed(fd, &peer)) {
		log_warning("command", "refused a control connection", L_INT("uid", peer.uid));
		return;
	}
	c = &control.clients[control.n++];
	*c = (struct client){ .fd = steal_fd(&fd), .uid = peer.uid, .moved_ms = clock_ms() };
}

static void client_fini(struct client *c)
{
	fd_close(&c->fd);
	if (c->in)
		wipe(c->in, c->in_cap);
	free(c->in);
	free(c->out);
}

static void client_find_line(struct client *c, size_t from)
{
	const char *end = memchr(c->in + from, '\n', c->in_len - from);

	c->line_len = end ? (size_t)(end - c->in) + 1 : 0;
}

static void client_write(struct client *c)
{
	ssize_t n = send(c->fd, c->out + c->out_at, c->out_len - c->out_at, MSG_NOSIGNAL);

	if (n < 0) {
		c->gone = errno != EAGAIN && errno != EINTR;
		return;
	}
	c->moved_ms = clock_ms();
	c->out_at += (size_t)n;
	if (c->out_at < c->out_len)
		return;
	free(c->out);
	c->out = NULL;
	c->gone = c->last;
}

static void client_answer(struct client *c, json_t *reply)
{
	char *text = json_dumps(reply, JSON_COMPACT);

	json_decref(reply);
	if (!text) {
		c->gone = true;
		return;
	}
	c->out_len = strlen(text) + 1;
	text[c->out_len - 1] = '\n'; /* in the NUL's place */
	c->out = text;
	c->out_at = 0;
	client_write(c);
}

/* Takes what has come, up to one line's bound. */
static void client_read(struct client *c)
{
	size_t from = c->in_len;
	ssize_t n;

	if (c->in_cap - c->in_len < READ_BYTES) {
		/* By hand: realloc() would leave a copy of a password behind. */
		size_t cap = c->in_cap * 2 + READ_BYTES;
		char *bigger = xmalloc(cap);

		if (c->in) {
			memcpy(bigger, c->in, c->in_len);
			wipe(c->in, c->in_cap);
		}
		free(c->in);
		c->in = bigger;
		c->in_cap = cap;
	}
	n = recv(c->fd, c->in + c->in_len, READ_BYTES, 0);
	if (n <= 0) {
		c->gone = n == 0 || (errno != EAGAIN && errno != EINTR);
		return;
	}
	c->moved_ms = clock_ms();
	c->in_len += (size_t)n;
	client_find_line(c, from);
	if (!c->line_len && c->in_len > COMMAND_LINE_MAX) {
		c->last = true;
		client_answer(c, usage_error(xstrdup("the request is longer than 1 MiB")));
	}
}

static void client_run(struct client *c)
{
	size_t len = c->line_len;
	json_t *reply = command_request(c->in, len - 1);

	memmove(c->in, c->in + len, c->in_len - len);
	c->in_len -= len;
	client_find_line(c, 0);
	client_answer(c, reply);
}

static bool client_ready(const struct client *c)
{
	return c->line_len && !c->out && !c->last;
}

static void client_turn(struct client *c, short events)
{
	if (c->out) {
		if (events & (POLLOUT | POLLERR | POLLHUP))
			client_write(c);
	} else if (!c->line_len && events) {
		client_read(c);
	}
	if (!c->gone && client_ready(c))
		client_run(c);
	if (clock_ms() - c->moved_ms > CLIENT_IDLE_MS)
		c->gone = true;
}

static void remove_gone(void)
{
	unsigned kept = 0;

	for (unsigned i = 0; i < control.n; i++) {
		if (control.clients[i].gone)
			client_fini(&control.clients[i]);
		else
			control.clients[kept++] = control.clients[i];
	}
	control.n = kept;
}

/* One sleep and what it brought: at most one command for each client, so that all get their turn.
 * rcu: the thread is offline while it sleeps. */
static void control_turn(int timeout_ms)
{
	bool closing = atomic_load(&control.closing);
	struct pollfd at[2 + COMMAND_CLIENTS_MAX] = {
		{ .fd = closing ? -1 : control.wake_fd, .events = POLLIN },
		{ .fd = closing || control.n == COMMAND_CLIENTS_MAX ? -1 : control.fd,
			.events = POLLIN },
	};
	unsigned n = control.n;
	bool reading;
	int woken;

	for (unsigned i = 0; i < n; i++) {
		const struct client *c = &control.clients[i];

		at[2 + i].fd = c->fd;
		at[2 + i].events = c->out ? POLLOUT : c->line_len ? 0 : POLLIN;
		if (client_ready(c))
			timeout_ms = 0;
	}
	reading = rcu_offline();
	woken = poll(at, 2 + n, timeout_ms);
	rcu_online(reading);
	if (woken < 0)
		return;
	for (unsigned i = 0; i < n; i++)
		client_turn(&control.clients[i], at[2 + i].revents);
	if (at[1].revents & POLLIN)
		client_accept();
	remove_gone();
}

static bool answers_leaving(void)
{
	for (unsigned i = 0; i < control.n; i++)
		if (control.clients[i].out)
			return true;
	return false;
}

static void *control_main(void *arg UNUSED)
{
	uint64_t until;

	rcu_thread_begin();
	while (!atomic_load(&control.closing))
		control_turn(CLIENT_IDLE_MS / 10);
	for (unsigned i = 0; i < control.n; i++)
		control.clients[i].last = true;
	for (until = clock_ms() + CLOSE_FLUSH_MS; answers_leaving() && clock_ms() < until;)
		control_turn(10);
	for (unsigned i = 0; i < control.n; i++)
		client_fini(&control.clients[i]);
	control.n = 0;
	rcu_thread_end();
	return NULL;
}

/* A socket file that nobody listens at is what a killed server left behind. */
static int remove_stale(const struct sockaddr_un *addr)
{
	AUTO(fd_close) int fd = -1;
	struct stat st;

	if (lstat(addr->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -EEXIST;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)addr, sizeof(*addr)))
		return -EADDRINUSE;
	if (errno != ECONNREFUSED)
		return -errno;
	return unlink(addr->sun_path) < 0 ? -errno : 0;
}

/* fchmod() before bind(): the file never exists with a wider mode than asked for. */
static int open_socket(const char *path, unsigned mode)
{
	AUTO(fd_close) int fd = -1;
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct stat st;
	int error;

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	error = remove_stale(&addr);
	if (error)
		return error;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || fchmod(fd, mode) < 0 ||
		bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	if (chmod(path, mode) < 0 || listen(fd, COMMAND_CLIENTS_MAX) < 0 || stat(path, &st) < 0) {
		error = -errno;
		unlink(path);
		return error;
	}
	control.group = st.st_gid;
	return steal_fd(&fd);
}

/* The file that bind() has made, to be told from another one of that name. */
static ino_t socket_file(const char *path)
{
	struct stat st;

	return lstat(path, &st) < 0 ? 0 : st.st_ino;
}

/* Takes path. */
static int listen_at(char *path, unsigned mode)
{
	int error;

	REQUIRE(control.fd < 0);
	control.fd = open_socket(path, mode);
	if (control.fd < 0) {
		free(path);
		return control.fd;
	}
	control.path = path;
	control.file = socket_file(path);
	control.mode = mode;
	atomic_store(&control.closing, false);
	gate_shut(false);
	if (command_find(help_command.name) == NULL)
		command_add(&help_command);
	control.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	error = control.wake_fd < 0 ? -errno
				    : thread_start(&control.thread, "control", control_main, NULL);
	if (!error)
		return 0;
	unlink(control.path);
	fd_close(&control.fd);
	fd_close(&control.wake_fd);
	free(control.path);
	return error;
}

int command_listen(const char *socket_path, unsigned mode)
{
	return listen_at(xstrdup(socket_path), mode);
}

int command_listen_beside(const char *socket_path, unsigned mode)
{
	return listen_at(xprintf("%s.new", socket_path), mode);
}

int command_publish(void)
{
	char *path = xstrndup(control.path, strlen(control.path) - strlen(".new"));

	if (rename(control.path, path) < 0) {
		free(path);
		return -errno;
	}
	free(control.path);
	control.path = path;
	return 0;
}

void command_close(void)
{
	bool reading;

	if (control.fd < 0)
		return;
	atomic_store(&control.closing, true);
	gate_shut(true);
	eventfd_write(control.wake_fd, 1);
	reading = rcu_offline(); /* its command may wait for a grace period */
	pthread_join(control.thread, NULL);
	rcu_online(reading);
	if (socket_file(control.path) == control.file)
		unlink(control.path);
	fd_close(&control.fd);
	fd_close(&control.wake_fd);
	free(control.path);
	command_remove(&help_command);
}
