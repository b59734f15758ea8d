/*
 * fuzz_store.c - a whole store from a stranger: its files are made of parts
 * (store_parts.h), with sums that are right. Opening it may fail; nothing may crash, take
 * long or much memory, or name a path outside the store. What lsm_verify has passed must
 * read without error and the same in both directions, and what lsm_repair has passed must
 * open and verify.
 *
 * A part of kind 'o' holds flags of the run (enum run).
 */
#include <stdio.h>
#include <stdlib.h>

#include "lsm/err.h"
#include "lsm/hash.h"
#include "tests/env_inside.h"
#include "tests/store_parts.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b,
                                 size_t b_size, uint8_t *to, size_t max_size,
                                 unsigned seed);

#define DIR "/s"
enum { STEPS_MAX = 20000, KEYS_KEPT = 16 };

enum run {
    RUN_READ_ONLY_FIRST = 1,
    RUN_TIERED = 2,
    RUN_REPAIR_FIRST = 4,
    RUN_SMALL_CACHE = 8,
    RUN_CHECKPOINT = 16,
};

#define FUZZ_CHECK(condition)                                                            \
    do {                                                                                 \
        if (!(condition)) {                                                              \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);              \
            abort();                                                                     \
        }                                                                                \
    } while (0)

static void no_log(void *arg, const char *line)
{
    (void)arg;
    if (getenv("FUZZ_LOG"))
        fprintf(stderr, "%s\n", line);
}

static void options(struct lsm_options *o, struct env *env, unsigned run)
{
    lsm_options_init(o);
    o->env = env;
    o->memory_bytes = run & RUN_SMALL_CACHE ? 256 << 10 : 4 << 20;
    o->memtables = 2;
    o->memtable_bytes = 32 << 10;
    o->block_bytes = 256;
    o->table_bytes = 4 << 10;
    o->l1_bytes = 8 << 10;
    o->level_ratio = 2;
    o->l0_trigger = 2;
    o->segment_bytes = 8 << 10;
    o->separate_bytes = 200;
    o->workers = 0;
    o->sync_interval_ms = 0;
    o->verify_bytes = 0;
    o->parts_max = 1;
    if (run & RUN_TIERED)
        o->strategy = LSM_TIERED;
}

/* ---- reading ---- */

struct keys {
    struct buf key[KEYS_KEPT];
    unsigned n;
};

/* Entries, or -1 after an error. */
static long scan(struct lsm *db, bool back, struct keys *keys, bool sound)
{
    struct lsm_iter_options o = {0};
    struct buf last = {0};
    struct lsm_iter *it;
    struct slice value;
    long n = 0;

    if (lsm_iter_new(db, &o, &it)) {
        FUZZ_CHECK(!sound);
        return -1;
    }
    for (back ? lsm_iter_last(it) : lsm_iter_first(it); lsm_iter_valid(it);
         back ? lsm_iter_prev(it) : lsm_iter_next(it)) {
        struct slice key = lsm_iter_key(it);
        int rc = lsm_iter_value(it, &value);

        FUZZ_CHECK(!sound || rc == 0);
        if (sound && n)
            FUZZ_CHECK(back ? slice_cmp(key, buf_slice(&last)) < 0
                            : slice_cmp(key, buf_slice(&last)) > 0);
        buf_assign(&last, key);
        if (keys && keys->n < KEYS_KEPT)
            buf_assign(&keys->key[keys->n++], key);
        if (++n == STEPS_MAX)
            break;
    }
    if (!lsm_iter_valid(it) && lsm_iter_error(it)) {
        FUZZ_CHECK(!sound);
        n = -1;
    }
    lsm_iter_free(it);
    buf_release(&last);
    return n;
}

static void get_keys(struct lsm *db, const struct keys *keys, bool sound)
{
    struct lsm_value v = {0};
    unsigned i;

    for (i = 0; i < keys->n; i++) {
        int rc = lsm_get(db, NULL, buf_slice(&keys->key[i]), &v);

        /* -ENOENT: a table may claim a level that its sequences do not bear out. */
        FUZZ_CHECK(!sound || rc == 0 || rc == -ENOENT);
    }
    lsm_value_release(&v);
}

static int any_file(void *arg, const struct lsm_file *f)
{
    (void)arg;
    FUZZ_CHECK(!strchr(f->name, '/') && strcmp(f->name, "..") != 0);
    return 0;
}

static void read_all(struct lsm *db, struct keys *keys)
{
    bool sound = lsm_verify(db) == 0;
    long n = scan(db, false, keys, sound), back = scan(db, true, NULL, sound);

    if (sound)
        FUZZ_CHECK(n == back);
    get_keys(db, keys, sound);
    (void)lsm_files(db, any_file, NULL);
}

static void keys_release(struct keys *keys)
{
    unsigned i;

    for (i = 0; i < keys->n; i++)
        buf_release(&keys->key[i]);
    keys->n = 0;
}

/* ---- writing ---- */

static void write_some(struct lsm *db, const struct keys *keys)
{
    struct lsm_batch *b = lsm_batch_new();
    static const uint8_t large[3000];
    unsigned i;

    for (i = 0; i < keys->n; i++) {
        struct slice key = buf_slice(&keys->key[i]);

        switch (i % 4) {
        case 0:
            lsm_batch_put(b, key, slice_of(large, i * 100));
            break;
        case 1:
            lsm_batch_delete(b, key);
            break;
        case 2:
            if (i + 1 < keys->n)
                lsm_batch_delete_range(b, key, buf_slice(&keys->key[i + 1]));
            break;
        case 3:
            lsm_batch_share(b, slice_str("shared"), key, 0, 1);
            break;
        }
        (void)lsm_write(db, b, i % 2 ? LSM_SYNC : LSM_NOSYNC);
        lsm_batch_clear(b);
    }
    (void)lsm_put(db, slice_str("own"), slice_of(large, sizeof(large)));
    lsm_batch_free(b);
}

static void in_transaction(struct lsm *db, const struct keys *keys)
{
    struct lsm_value v = {0};
    struct lsm_txn *t;

    if (lsm_txn_begin(db, &t))
        return;
    if (keys->n) {
        (void)lsm_txn_get(t, buf_slice(&keys->key[0]), &v);
        (void)lsm_txn_put(t, buf_slice(&keys->key[0]), slice_str("in transaction"));
    }
    (void)lsm_txn_commit(t, LSM_SYNC);
    lsm_txn_free(t);
    lsm_value_release(&v);
}

static void use(struct lsm *db, unsigned run)
{
    struct keys keys = {0};
    struct lsm_snapshot *snap;
    struct lsm_stats stats;

    read_all(db, &keys);
    snap = lsm_snapshot_new(db);
    write_some(db, &keys);
    (void)lsm_flush(db);
    in_transaction(db, &keys);
    (void)lsm_compact(db, false);
    lsm_snapshot_free(db, snap);
    if (run & RUN_CHECKPOINT)
        (void)lsm_checkpoint(db, DIR "/copy");
    (void)lsm_compact(db, true);
    keys_release(&keys);
    read_all(db, &keys);
    keys_release(&keys);
    lsm_get_stats(db, &stats);
}

/* ---- the run ---- */

static bool open_and_use(struct env *env, unsigned run)
{
    struct lsm_options o;
    struct lsm *db;

    options(&o, env, run);
    if (lsm_open(DIR, &o, &db))
        return false;
    use(db, run);
    (void)lsm_close(db);
    return true;
}

static void read_only(struct env *env, unsigned run)
{
    struct keys keys = {0};
    struct lsm_options o;
    struct lsm *db;

    options(&o, env, run);
    o.read_only = true;
    if (lsm_open(DIR, &o, &db))
        return;
    read_all(db, &keys);
    (void)lsm_close(db);
    keys_release(&keys);
}

static void no_line(void *arg, const char *line)
{
    no_log(arg, line);
}

static void repair(struct env *env, unsigned run)
{
    struct lsm_repair_result result;
    struct lsm_options o;
    struct lsm *db;

    options(&o, env, run);
    if (lsm_repair(DIR, &o, no_line, NULL, &result))
        return;
    FUZZ_CHECK(lsm_open(DIR, &o, &db) == 0);
    FUZZ_CHECK(lsm_verify(db) == 0);
    use(db, run);
    FUZZ_CHECK(lsm_close(db) == 0);
}

static unsigned run_of(struct slice in)
{
    struct part p;

    while (part_next(&in, &p))
        if (p.kind == 'o' && p.bytes.len)
            return p.bytes.data[0];
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = slice_of(data, size);
    unsigned run = run_of(in);
    struct env *mem = env_mem_new(1);
    struct env_inside env;

    err_set_sink(no_log, NULL);
    env_inside_init(&env, mem, DIR);
    FUZZ_CHECK(env_mkdir(mem, DIR) == 0);
    store_assemble(in, mem, DIR);
    if (run & RUN_REPAIR_FIRST)
        repair(&env.base, run);
    if (run & RUN_READ_ONLY_FIRST)
        read_only(&env.base, run);
    if (!open_and_use(&env.base, run))
        repair(&env.base, run);
    (void)open_and_use(&env.base, run);
    env_mem_free(mem);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    return parts_mutate(data, size, max_size, seed, STORE_PART_KINDS "o");
}

size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b,
                                 size_t b_size, uint8_t *to, size_t max_size,
                                 unsigned seed)
{
    return parts_cross(slice_of(a, a_size), slice_of(b, b_size), to, max_size, seed);
}

/* ---- inputs to begin with ---- */

enum seed {
    SEED_EMPTY,
    SEED_LOG,     /* nothing flushed */
    SEED_LEVELS,  /* tables at several levels, a log */
    SEED_RANGES,  /* range deletes in tables and log */
    SEED_VALUES,  /* values in the value log, shared ones too */
    SEED_CRASHED, /* two logs, not closed */
    SEEDS,
};

static void put_keys(struct lsm *db, int from, int to, size_t len, int round)
{
    uint8_t value[1024];
    char key[16];
    size_t i;

    for (; from < to; from++) {
        for (i = 0; i < len; i++)
            value[i] = (uint8_t)((size_t)(from * 7 + round) * (i / 16 + 1));
        snprintf(key, sizeof(key), "key%03d", from);
        FUZZ_CHECK(lsm_put(db, slice_str(key), slice_of(value, len)) == 0);
    }
}

static void delete_range(struct lsm *db, const char *from, const char *to)
{
    struct lsm_batch *b = lsm_batch_new();

    lsm_batch_delete_range(b, slice_str(from), slice_str(to));
    lsm_batch_delete(b, slice_str("key005"));
    FUZZ_CHECK(lsm_write(db, b, LSM_SYNC) == 0);
    lsm_batch_free(b);
}

static void share(struct lsm *db, const char *to, const char *from)
{
    struct lsm_batch *b = lsm_batch_new();

    lsm_batch_share(b, slice_str(to), slice_str(from), 10, 100);
    FUZZ_CHECK(lsm_write(db, b, LSM_NOSYNC) == 0);
    lsm_batch_free(b);
}

static void fill(struct lsm *db, enum seed s)
{
    size_t len = s == SEED_VALUES || s == SEED_CRASHED ? 300 : 20;

    if (s == SEED_EMPTY)
        return;
    put_keys(db, 0, 30, len, 1);
    if (s == SEED_LOG)
        return;
    FUZZ_CHECK(lsm_compact(db, true) == 0);
    put_keys(db, 10, 20, len, 2);
    if (s == SEED_RANGES)
        delete_range(db, "key010", "key013");
    if (len > 200)
        share(db, "key100", "key001");
    FUZZ_CHECK(lsm_flush(db) == 0);
    put_keys(db, 15, 18, 40, 3);
    if (s == SEED_RANGES)
        delete_range(db, "key012", "key019");
    if (s == SEED_CRASHED)
        FUZZ_CHECK(lsm_checkpoint(db, "/copy") == 0); /* begins a new log */
    put_keys(db, 40, 43, len, 3);
}

static void make_seed(enum seed s, const char *name, fuzz_emit_fn *emit)
{
    struct env *env = env_mem_new(1), *after = env;
    const uint8_t run = s == SEED_CRASHED ? RUN_READ_ONLY_FIRST : RUN_CHECKPOINT;
    struct buf parts = {0};
    struct lsm_options o;
    struct lsm *db;

    options(&o, env, 0);
    o.create = true;
    o.l0_trigger = 10;
    FUZZ_CHECK(lsm_open(DIR, &o, &db) == 0);
    fill(db, s);
    if (s != SEED_LEVELS && s != SEED_EMPTY)
        after = env_mem_crash_clone(env, 1, ENV_MEM_KEEP_ALL);
    FUZZ_CHECK(lsm_close(db) == 0);
    part_put(&parts, 'o', slice_of(&run, 1));
    store_dissect(after, DIR, &parts);
    emit(name, buf_slice(&parts));
    buf_release(&parts);
    if (after != env)
        env_mem_free(after);
    env_mem_free(env);
}

void fuzz_seeds(fuzz_emit_fn *emit)
{
    static const char *const names[SEEDS] = {"empty",  "log",    "levels",
                                             "ranges", "values", "crashed"};
    unsigned s;

    for (s = 0; s < SEEDS; s++)
        make_seed((enum seed)s, names[s], emit);
}
