/* Accounts in the database, through router/auth.h as everybody else sees them. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/db.h"
#include "modules/module.h"

extern const struct module module_auth_internal;

static char folder[] = "/tmp/linnet-accounts-XXXXXX";
static char path[64];
static struct db *db;
static struct host *host, *other;
static struct module_instance on_host, on_other;

static void open_db(void)
{
	struct db_conf conf = {
		.driver = "sqlite", .path = path, .cache_bytes = 1 << 20, .max_queue = 100
	};

	cr_assert_eq(db_open(&conf, &db), 0);
	db_main_set(db);
	cr_assert_eq(user_agents_start(db), 0);
}

static struct host *host_at(const char *name, struct module_instance *mi)
{
	struct host_conf *conf = host_conf_new();
	struct host *h;

	conf->scram_iterations = 5000;
	h = host_new(name, conf);
	*mi = (struct module_instance){ .module = &module_auth_internal, .host = h };
	cr_assert_eq(module_auth_internal.start(mi), 0);
	return h;
}

static void setup(void)
{
	rcu_thread_begin();
	atomic_store(&log_level, LOG_LEVEL_NONE);
	cr_assert(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/db", folder);
	open_db();
	host = host_at("example.org", &on_host);
	other = host_at("example.net", &on_other);
}

static void teardown(void)
{
	static const char *const endings[] = { "", "-wal", "-shm" };
	char name[80];

	module_auth_internal.stop(&on_host);
	module_auth_internal.stop(&on_other);
	host_unref(host);
	host_unref(other);
	rcu_thread_end();
	rcu_wait_later();
	db_close(db);
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		snprintf(name, sizeof(name), "%s%s", path, endings[i]);
		unlink(name);
	}
	rmdir(folder);
}

TestSuite(auth_internal, .init = setup, .fini = teardown);

Test(auth_internal, an_account_has_all_three_verifiers)
{
	struct auth_account account;

	cr_assert_eq(auth_create(host, "juliet", "secret"), 0);
	cr_assert_eq(auth_verifiers(host, "juliet", &account), 0);
	cr_expect_not(account.disabled);
	for (int hash = 0; hash < SCRAM_HASHES; hash++) {
		cr_expect_eq(account.scram[hash].iterations, 5000);
		cr_expect(scram_check((enum scram_hash)hash, "secret", &account.scram[hash]));
		cr_expect_not(scram_check((enum scram_hash)hash, "Secret", &account.scram[hash]));
	}
	cr_expect_eq(auth_check(host, "juliet", "secret"), 0);
	cr_expect_eq(auth_check(host, "juliet", "wrong"), AUTH_WRONG);
	cr_expect_eq(auth_check(host, "romeo", "secret"), AUTH_NO_SUCH_USER);
	cr_expect_eq(auth_find(host, "romeo", &account), AUTH_NO_SUCH_USER);
}

Test(auth_internal, a_name_is_taken_once_per_host)
{
	struct auth_account account;

	cr_expect_eq(auth_create(host, "juliet", "secret"), 0);
	cr_expect_eq(auth_create(host, "juliet", "other"), AUTH_EXISTS);
	cr_expect_eq(auth_check(host, "juliet", "secret"), 0, "and stays whose it is");
	cr_expect_eq(auth_find(other, "juliet", &account), AUTH_NO_SUCH_USER);
	cr_expect_eq(auth_create(other, "juliet", "third"), 0);
	cr_expect_eq(auth_check(other, "juliet", "secret"), AUTH_WRONG);
}

Test(auth_internal, a_new_password_replaces_all_of_the_old)
{
	struct auth_account account;

	auth_create(host, "juliet", "old");
	cr_expect_eq(auth_set_password(host, "juliet", "new"), 0);
	cr_expect_eq(auth_verifiers(host, "juliet", &account), 0);
	for (int hash = 0; hash < SCRAM_HASHES; hash++) {
		cr_expect(scram_check((enum scram_hash)hash, "new", &account.scram[hash]));
		cr_expect_not(scram_check((enum scram_hash)hash, "old", &account.scram[hash]));
	}
	cr_expect_eq(auth_set_password(host, "romeo", "new"), AUTH_NO_SUCH_USER);
}

Test(auth_internal, removed_is_gone)
{
	auth_create(host, "juliet", "secret");
	auth_create(other, "juliet", "secret");
	cr_expect_eq(auth_remove(host, "juliet"), 0);
	cr_expect_eq(auth_check(host, "juliet", "secret"), AUTH_NO_SUCH_USER);
	cr_expect_eq(auth_remove(host, "juliet"), AUTH_NO_SUCH_USER);
	cr_expect_eq(auth_check(other, "juliet", "secret"), 0);
}

Test(auth_internal, disabled_accounts_do_not_log_in)
{
	struct auth_account account;

	auth_create(host, "juliet", "secret");
	cr_expect_eq(auth_disable(host, "juliet"), 0);
	cr_expect_eq(auth_check(host, "juliet", "secret"), AUTH_DISABLED);
	cr_expect_eq(auth_verifiers(host, "juliet", &account), 0);
	cr_expect(account.disabled);
	cr_expect_eq(auth_enable(host, "juliet"), 0);
	cr_expect_eq(auth_check(host, "juliet", "secret"), 0);
	cr_expect_eq(auth_disable(host, "romeo"), AUTH_NO_SUCH_USER);
}

static void collect(const char *user, void *arg)
{
	char *names = arg;

	strcat(strcat(names, user), " ");
}

Test(auth_internal, disabled_accounts_are_listed)
{
	char names[100] = "";

	for (const char *const *user = (const char *const[]){ "a", "b", "c", "d", NULL }; *user;
		user++)
		auth_create(host, *user, "secret");
	auth_create(other, "e", "secret");
	auth_disable(host, "d");
	auth_disable(host, "b");
	auth_disable(other, "e");
	cr_expect_eq(auth_list_disabled(host, "", 10, collect, names), 0);
	cr_expect_str_eq(names, "b d ");
	names[0] = '\0';
	cr_expect_eq(auth_list_disabled(host, "", 1, collect, names), 0);
	cr_expect_eq(auth_list_disabled(host, "b", 10, collect, names), 0);
	cr_expect_str_eq(names, "b d ");
}

Test(auth_internal, listing_goes_on_where_it_stopped)
{
	static const char *const users[] = { "d", "a", "\xc3\xa4", "b", "c" };
	char names[100] = "";
	uint64_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(users); i++)
		cr_assert_eq(auth_create(host, users[i], "p"), 0);
	auth_create(other, "aa", "p");
	cr_expect_eq(auth_list(host, "", 2, collect, names), 0);
	cr_expect_str_eq(names, "a b ");
	cr_expect_eq(auth_list(host, "b", 10, collect, names), 0);
	cr_expect_str_eq(names, "a b c d \xc3\xa4 ");
	cr_expect_eq(auth_count(host, &n), 0);
	cr_expect_eq(n, 5);
}

/* What the files hold, as one string of bytes; the caller frees. */
static char *file_bytes(const char *ending, size_t *len)
{
	char name[80];
	char *bytes = xmalloc(1 << 20);
	FILE *f;

	snprintf(name, sizeof(name), "%s%s", path, ending);
	f = fopen(name, "re");
	cr_assert(f);
	*len = fread(bytes, 1, 1 << 20, f);
	fclose(f);
	return bytes;
}

Test(auth_internal, the_password_is_in_no_file)
{
	static const char *const endings[] = { "", "-wal" };
	static const char password[] = "Correct-Horse-Battery", user[] = "somebody-to-find";
	bool user_there = false;

	cr_assert_eq(auth_create(host, user, password), 0);
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		size_t len;
		AUTO(free_ptr) char *bytes = file_bytes(endings[i], &len);

		cr_expect_null(memmem(bytes, len, password, sizeof(password) - 1));
		user_there |= memmem(bytes, len, user, sizeof(user) - 1) != NULL;
	}
	cr_expect(user_there, "the search itself works");
}

Test(auth_internal, accounts_survive_a_restart)
{
	auth_create(host, "juliet", "secret");
	module_auth_internal.stop(&on_host);
	cr_expect_eq(auth_check(host, "juliet", "secret"), -ENOSYS);
	db_close(db);
	open_db();
	cr_expect_eq(module_auth_internal.start(&on_host), 0);
	cr_expect_eq(auth_check(host, "juliet", "secret"), 0);
}

/* As when a reload starts it anew and then is abandoned. */
Test(auth_internal, a_second_instance_takes_over_and_goes_again)
{
	struct module_instance again = on_host;

	cr_expect_eq(module_auth_internal.start(&again), 0);
	cr_expect_eq(auth_create(host, "juliet", "secret"), 0);
	module_auth_internal.stop(&again);
	cr_expect_eq(auth_check(host, "juliet", "secret"), 0);
}

Test(auth_internal, without_a_database_it_does_not_start)
{
	module_auth_internal.stop(&on_host);
	db_main_set(NULL);
	cr_expect_eq(module_auth_internal.start(&on_host), -ENODEV);
}

/* --- accounts that come from elsewhere ------------------------------------------------------- */

static struct db_stmt kept_password =
	DB_STMT("kept_password", "SELECT password FROM accounts WHERE host = ? AND name = ?");

static int take_password(const struct db_row *r, void *arg)
{
	snprintf(arg, 64, "%s", db_row_is_null(r, 0) ? "(none)" : db_row_text(r, 0));
	return 0;
}

static const char *password_of(const char *user)
{
	static char password[64];

	strcpy(password, "(no account)");
	db_read(db, &kept_password, DB_PARAMS(db_text("example.org"), db_text(user)), take_password,
		password);
	return password;
}

static void keep_as(enum password_format format)
{
	struct host_conf *conf = host_conf_hold(host);

	conf->password_format = format;
	host_conf_drop(conf);
}

Test(auth_internal, imported_passwords_are_kept_as_the_setting_says)
{
	struct auth_import list[] = { { .user = "a", .password = "IX" },
		{ .user = "b", .password = "\x07" }, { .user = "", .password = "x" },
		{ .user = "juliet", .password = "x" } };

	auth_create(host, "juliet", "secret");
	cr_expect_eq(auth_import(host, list, ARRAY_LEN(list)), 0);
	cr_expect_eq(list[0].result, 0);
	cr_expect_eq(list[1].result, -EINVAL);
	cr_expect_eq(list[2].result, -EINVAL);
	cr_expect_eq(list[3].result, AUTH_EXISTS);
	cr_expect_str_eq(password_of("a"), "(none)");
	cr_expect_str_eq(password_of("b"), "(no account)");
	cr_expect_eq(auth_check(host, "a", "IX"), 0);
	cr_expect_eq(auth_check(host, "juliet", "secret"), 0);
	keep_as(PASSWORD_AS_IT_IS);
	list[0].user = "c";
	cr_expect_eq(auth_import(host, list, 1), 0);
	cr_expect_str_eq(password_of("c"), "IX");
	cr_expect_eq(auth_create(host, "d", "secret"), 0);
	cr_expect_str_eq(password_of("d"), "(none)", "of no other");
}

Test(auth_internal, a_login_makes_verifiers_of_an_imported_password)
{
	static const char nine[] = "\xe2\x85\xa8"; /* U+2168, prepared: IX */
	struct auth_import list[] = { { .user = "a", .password = nine },
		{ .user = "b", .password = nine }, { .user = "c", .password = nine } };
	struct auth_account account;

	keep_as(PASSWORD_AS_IT_IS);
	cr_expect_eq(auth_import(host, list, ARRAY_LEN(list)), 0);
	cr_expect_eq(auth_find(host, "a", &account), 0);
	cr_expect_str_eq(password_of("a"), nine, "to look is no login");
	cr_expect_eq(auth_check(host, "a", "wrong"), AUTH_WRONG);
	cr_expect_str_eq(password_of("a"), "(none)");
	cr_expect_eq(auth_check(host, "a", "IX"), 0);
	cr_expect_eq(auth_check(host, "b", "IX"), 0);
	cr_expect_str_eq(password_of("b"), "(none)");
	cr_expect_eq(auth_check(host, "b", "IX"), 0);
	cr_expect_eq(auth_set_password(host, "c", "new"), 0);
	cr_expect_str_eq(password_of("c"), "(none)");
	cr_expect_eq(auth_check(host, "c", "IX"), AUTH_WRONG);
	cr_expect_eq(auth_check(host, "c", "new"), 0);
}

/* RFC 5803 §3; the account of RFC 7677 §3. */
Test(auth_internal, verifiers_are_imported)
{
	static const char text[] = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$"
				   "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
				   "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";
	struct auth_import list[] = { { .user = "user" } };
	enum scram_hash hash;

	cr_assert(scram_read(text, &hash, &list[0].account.scram[SCRAM_SHA_256]));
	cr_expect_eq(hash, SCRAM_SHA_256);
	cr_expect_eq(auth_import(host, list, 1), 0);
	cr_expect_eq(auth_check(host, "user", "pencil"), 0);
	cr_expect_eq(auth_check(host, "user", "pencils"), AUTH_WRONG);
}

static const char *const no_verifiers[] = {
	"",
	"pencil",
	"SCRAM-SHA-256",
	"SCRAM-SHA-256$",
	"SCRAM-SHA-256$4096:$:",
	"SCRAM-SHA-2$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
	"SCRAM-SHA-1$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
	"SCRAM-SHA-256$-4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
	"SCRAM-SHA-256$0:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
	"SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY",
	"SCRAM-SHA-256$4096:!22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
	"wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=",
};

Test(auth_internal, what_is_no_verifier_is_read_as_none)
{
	for (size_t i = 0; i < ARRAY_LEN(no_verifiers); i++) {
		struct scram_verifier v;
		enum scram_hash hash;

		cr_expect_not(scram_read(no_verifiers[i], &hash, &v), "%s", no_verifiers[i]);
	}
}
