/*
 * damaged_store.c - see damaged_store.h.
 */
#include "tests/damaged_store.h"

#include <stdlib.h>

void store_options(struct store *s)
{
    struct lsm_options *o = &s->o;

    lsm_options_init(o);
    o->env = s->env;
    o->create = true;
    o->memtable_bytes = 64 << 10;
    o->block_bytes = 512;
    o->table_bytes = 4 << 10;
    o->l1_bytes = 1 << 20;
    o->l0_trigger = 100;
    o->segment_bytes = 32 << 10;
    o->separate_bytes = 512;
    o->workers = 0;
    o->sync_interval_ms = 0;
}

static struct slice key_of(int i, char to[16])
{
    snprintf(to, 16, "key%04d", i);
    return slice_str(to);
}

struct slice store_value(int i, int round, uint8_t to[1024])
{
    uint64_t x = (uint64_t)(i * 10 + round) * 7919 + 1;
    size_t len = i % 5 ? 40 : 1000, at;

    for (at = 0; at < len; at += 8)
        store_le64(to + at, test_random(&x));
    return slice_of(to, len);
}

static void put(struct store *s, struct lsm *db, int from, int to, int round)
{
    uint8_t value[1024];
    char k[16];

    for (; from < to; from++) {
        ck_ok(lsm_put(db, key_of(from, k), store_value(from, round, value)));
        s->round[from] = round;
    }
}

static void del(struct store *s, struct lsm *db, int from, int to, bool range)
{
    struct lsm_batch *b = lsm_batch_new();
    char k[16], k2[16];

    if (range)
        lsm_batch_delete_range(b, key_of(from, k), key_of(to, k2));
    for (; from < to; from++) {
        if (!range)
            lsm_batch_delete(b, key_of(from, k));
        s->round[from] = 0;
    }
    ck_ok(lsm_write(db, b, LSM_SYNC));
    lsm_batch_free(b);
}

/* Leaves the store closed, or as after the process's death. */
void store_make(struct store *s, const char *dir, bool closed)
{
    struct lsm *db;
    char second[300];

    memset(s, 0, sizeof(*s));
    s->dir = dir;
    s->env = *dir == '/' && !dir[2] ? env_mem_new(1) : NULL;
    store_options(s);
    ck_ok(lsm_open(dir, &s->o, &db));
    put(s, db, 0, 200, 1);
    put(s, db, 20, 30, 9); /* overwritten at once, and in the log still */
    put(s, db, 20, 30, 1);
    ck_ok(lsm_compact(db, true));
    put(s, db, 50, 100, 2);
    del(s, db, 100, 110, false);
    ck_ok(lsm_flush(db));
    put(s, db, 200, 250, 2);
    del(s, db, 120, 130, true);
    ck_ok(lsm_flush(db));
    put(s, db, 60, 70, 3);
    put(s, db, 300, 350, 3);
    snprintf(second, sizeof(second), "%s.c", dir);
    ck_ok(lsm_checkpoint(db, second)); /* so that there are two logs */
    del(s, db, 140, 150, true);
    ck_ok(lsm_sync(db));
    put(s, db, 350, 360, 3);
    if (closed) {
        ck_ok(lsm_close(db));
        return;
    }
    if (s->env) {
        struct env *after = env_mem_crash_clone(s->env, 1, ENV_MEM_KEEP_ALL);

        ck_ok(lsm_close(db));
        env_mem_free(s->env);
        s->env = s->o.env = after;
    }
}

/* A copy of s, to be damaged. */
struct store *store_copy(const struct store *s)
{
    struct store *c = malloc(sizeof(*c));

    *c = *s;
    c->env = c->o.env = env_mem_crash_clone(s->env, 1, ENV_MEM_KEEP_ALL);
    return c;
}

void store_free(struct store *s)
{
    env_mem_free(s->env);
    free(s);
}

static int add_file(void *arg, const char *name)
{
    struct store *s = arg;
    uint64_t number;
    enum file_kind kind = file_parse(name, &number);

    if (kind != FILE_OTHER && kind != FILE_LOCK) {
        ck_assert_int_lt(s->n_files, FILES);
        s->kind[s->n_files] = kind;
        snprintf(s->file[s->n_files++], NAME_BYTES, "%s", name);
    }
    return 0;
}

void store_list(struct store *s)
{
    s->n_files = 0;
    ck_ok(env_list(s->o.env ? s->o.env : env_posix(), s->dir, add_file, s));
}

char *store_path(const struct store *s, const char *name, char to[300])
{
    snprintf(to, 300, "%s/%s", s->dir, name);
    return to;
}

const char *store_find(const struct store *s, enum file_kind kind, int nth)
{
    int i;

    for (i = 0; i < s->n_files; i++)
        if (s->kind[i] == kind && nth-- == 0)
            return s->file[i];
    ck_abort_msg("no such file");
    return NULL;
}

/* ---- repairing and checking ---- */

void store_note_line(void *arg, const char *line)
{
    struct store *s = arg;

    ck_assert_int_lt(s->n_lines, LINES);
    snprintf(s->line[s->n_lines++], sizeof(s->line[0]), "%s", line);
}

/* A key as the report has it, as a number of ours. */
static int parse_key(const char *hex, char rest)
{
    char text[16] = {0};
    unsigned c, i;

    for (i = 0; i < 7 && sscanf(hex + 2 * i, "%2x", &c) == 1; i++)
        text[i] = (char)c;
    ck_assert_msg(strncmp(text, "key", 3) == 0, "no key of ours: %s", hex);
    for (; i < 7; i++) /* the ends of blocks may be shortened */
        text[i] = rest;
    return atoi(text + 3);
}

/* Does a line tell of the loss of key i? */
static bool reported(const struct store *s, int i)
{
    int n;

    for (n = 0; n < s->n_lines; n++) {
        const char *line = s->line[n], *p, *to = strstr(line, " to ");

        if (strncmp(line, "key ", 4) == 0 && parse_key(line + 4, '0') == i)
            return true;
        if (strstr(line, "of the log are lost") || strstr(line, "no log frames") ||
            strstr(line, "missing at its end") || strstr(line, "log is missing"))
            if (s->round[i] == 3 || (i >= 140 && i < 150))
                return true;
        if (strstr(line, "range deletes") &&
            ((i >= 120 && i < 130) || (i >= 140 && i < 150)))
            return true;
        if ((p = strstr(line, "keys after ")) && to && i >= parse_key(p + 11, '0') &&
            i <= parse_key(to + 4, '9'))
            return true;
        if (strstr(line, "keys from the first to ") && i <= parse_key(to + 4, '9'))
            return true;
        if ((p = strstr(line, "is missing")) && (p = strstr(line, "keys ")) &&
            i >= parse_key(p + 5, '0') && i <= parse_key(to + 4, '9'))
            return true;
    }
    return false;
}

static void dump(const struct store *s)
{
    int i;

    for (i = 0; i < s->n_lines; i++)
        fprintf(stderr, "  %s\n", s->line[i]);
}

/* Keys that are not as written. Each must have been reported. */
int store_count_lost(struct store *s, struct lsm *db)
{
    struct lsm_value v = {0};
    uint8_t value[1024];
    int i, lost = 0;
    char k[16];

    for (i = 0; i < KEYS; i++) {
        int rc = lsm_get(db, NULL, key_of(i, k), &v);
        bool same;

        ck_assert_msg(rc == 0 || rc == -ENOENT, "%s: %d", k, rc);
        same = s->round[i]
                   ? rc == 0 && slice_eq(v.value, store_value(i, s->round[i], value))
                   : rc == -ENOENT;
        lost += !same;
        if (!same && !reported(s, i)) {
            dump(s);
            ck_abort_msg("%s is lost (%d, should be of round %d), and nobody told", k, rc,
                         s->round[i]);
        }
    }
    lsm_value_release(&v);
    return lost;
}

/* Repairs, opens, checks; how many keys differ. */
int store_repaired(struct store *s)
{
    struct lsm_options o = s->o;
    struct lsm *db;
    int lost, again;

    ck_ok(lsm_repair(s->dir, &o, store_note_line, s, &s->result));
    ck_assert_uint_eq(s->result.losses, (unsigned)s->n_lines);
    o.create = false;
    ck_ok(lsm_open(s->dir, &o, &db));
    ck_ok(lsm_verify(db));
    lost = store_count_lost(s, db);
    ck_ok(lsm_compact(db, true));
    again = store_count_lost(s, db);
    ck_assert_int_le(again, lost);
    ck_ok(lsm_put(db, slice_str("new"), slice_str("works")));
    ck_ok(lsm_close(db));
    ck_ok(lsm_open(s->dir, &o, &db));
    ck_ok(lsm_verify(db));
    ck_assert_int_eq(store_count_lost(s, db), again);
    ck_ok(lsm_close(db));
    return lost;
}

void store_drop(struct store *s, const char *name)
{
    char path[300];

    ck_ok(env_unlink(s->env, store_path(s, name, path)));
}

void store_flip(struct store *s, const char *name, uint64_t off)
{
    char path[300];

    ck_ok(env_mem_flip(s->env, store_path(s, name, path), off, 0x10));
}

uint64_t store_size(struct store *s, const char *name)
{
    uint64_t size;
    char path[300];

    ck_ok(env_stat(s->env, store_path(s, name, path), &size));
    return size;
}
