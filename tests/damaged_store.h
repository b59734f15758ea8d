/*
 * damaged_store.h - a store to be damaged and repaired, which knows what it held.
 *
 * Keys of round 1 at the last level (A), of round 2 in L0 tables, some of them
 * overwriting (B), with point and range deletes, and of round 3 in two logs (C).
 * Every fifth value is in the value log.
 */
#ifndef DAMAGED_STORE_H
#define DAMAGED_STORE_H

#include "lsm/names.h"
#include "tests/env_mem.h"
#include "tests/test.h"

enum { KEYS = 400, LINES = 200, FILES = 100 };

struct store {
    struct env *env;
    const char *dir;
    struct lsm_options o;
    int round[KEYS]; /* of the newest value; 0: none */
    char line[LINES][300];
    int n_lines;
    struct lsm_repair_result result;
    char file[FILES][NAME_BYTES];
    enum file_kind kind[FILES];
    int n_files;
};

/* The options of such stores, for s->env. */
void store_options(struct store *s);
/* In memory when dir is "/s", else on disk. Leaves it closed, or (in memory) as after
 * the process's death. */
void store_make(struct store *s, const char *dir, bool closed);
/* A copy of s, to be damaged. */
struct store *store_copy(const struct store *s);
void store_free(struct store *s);

/* The value of key number i. */
struct slice store_value(int i, int round, uint8_t to[1024]);

/* Fill in s->file. */
void store_list(struct store *s);
char *store_path(const struct store *s, const char *name, char to[300]);
const char *store_find(const struct store *s, enum file_kind kind, int nth);
void store_drop(struct store *s, const char *name);
void store_flip(struct store *s, const char *name, uint64_t off);
uint64_t store_size(struct store *s, const char *name);

/* An lsm_repair_fn that keeps the lines in s. */
void store_note_line(void *arg, const char *line);
/* Keys that are not as written. Each must have been reported. */
int store_count_lost(struct store *s, struct lsm *db);
/* Repairs, opens, checks, changes, reopens; how many keys differed. */
int store_repaired(struct store *s);

#endif
