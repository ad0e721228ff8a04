/* tests/support/database.h - a database of its own as the server's, for unit tests of modules. */
#pragma once

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/db.h"

static char database_folder[] = "/tmp/linnet-database-XXXXXX";
static struct db *database;

/* A registered thread. */
static inline void database_begin(void)
{
	char path[64];
	struct db_conf conf = { .driver = "sqlite",
		.path = path,
		.cache_bytes = 8 << 20,
		.max_queue = 1000,
		.synchronous = DB_SYNC_OFF };

	cr_assert(mkdtemp(database_folder));
	snprintf(path, sizeof(path), "%s/db", database_folder);
	cr_assert_eq(db_open(&conf, &database), 0);
	db_main_set(database);
}

static inline void database_end(void)
{
	static const char *const endings[] = { "", "-wal", "-shm", "-lock" };
	char name[80];

	db_main_set(NULL);
	db_close(database);
	for (size_t i = 0; i < ARRAY_LEN(endings); i++) {
		snprintf(name, sizeof(name), "%s/db%s", database_folder, endings[i]);
		unlink(name);
	}
	rmdir(database_folder);
}
