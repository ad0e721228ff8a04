/* core/db_inside.h - what the files of core/db share. */
#pragma once

#include <pthread.h>
#include <stdatomic.h>

#include "core/db.h"
#include "core/db_driver.h"

struct db_tx {
	struct db *db;
	struct db_conn *conn;
	bool writing;
};

/* One thread's reading connection. */
struct reader {
	struct db *db;
	struct db_conn *conn;
	struct reader *next, **at; /* in db->readers, under db->lock */
};

struct db {
	/* Constant after db_open(). */
	const struct db_driver *driver;
	struct db_conf conf; /* driver and path owned */
	pthread_key_t reader_key;
	pthread_t writer;
	int bell; /* rung for the writer by whoever finds the intake empty */
	/* Any thread. */
	struct intake intake;
	_Atomic unsigned waiting; /* handed in and not answered */
	_Atomic bool closing;
	pthread_mutex_t lock;
	struct reader *readers;
	/* The writer alone. */
	struct db_conn *conn;
	struct intake_item *pending, **pending_end; /* taken in and not yet run */
};

/* db_stmt.c */
/* Counts a failure and logs it, kind by kind, seldom. */
void db_failed(struct db_conn *c, const char *what, int error);
void db_failures_register(void); /* their metrics */
/* Rows handed to fn, or its own negative answer, or a negative errno. changed may be NULL. */
int db_query(struct db_conn *c, struct db_stmt *s, struct db_params params, db_row_fn *fn,
	void *arg, int64_t *changed);
int db_control(struct db_conn *c, enum db_control what, const char *name);

/* db_writer.c */
void *db_writer_main(void *db); /* the thread's function */
void db_writer_ring(struct db *db);
bool db_is_writer_of(const struct db *db); /* this thread */
void db_writer_register(void); /* its metrics */
