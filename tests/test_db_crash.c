/*
 * test_db_crash.c - the engine and power loss. A scripted load (puts, batches,
 * large values, range deletes, shares, flushes, compactions, syncs, reopening)
 * is stopped after every single call to the env; what the disk may then hold is
 * opened, and must be the state after some prefix of the acknowledged writes:
 * no holes, nothing half, and at least what had been synced (or, when only the
 * process died, all that had been acknowledged).
 */
#include "tests/env_mem.h"
#include "tests/test.h"

#include <stdlib.h>

enum { KEYS = 24, STEPS = 110, VALUE_MAX = 3000 };

/* What a key holds after a step: the number of the write, 0 for nothing, and
 * which part of its value. */
struct cell {
    int write, off, len;
};

struct load {
    struct env *env;
    struct lsm_options o;
    struct lsm *db;
    uint64_t rng;
    int done;   /* steps acknowledged; history[done] is the state after them */
    int tried;  /* steps begun */
    int synced; /* steps known durable */
    struct cell history[STEPS + 1][KEYS];
};

static void draw_options(struct load *l, bool threads)
{
    struct lsm_options *o = &l->o;
    uint64_t *r = &l->rng;

    lsm_options_init(o);
    o->env = l->env;
    o->create = true;
    o->memtable_bytes = 4096u << test_below(r, 3);
    o->memtables = 2 + (unsigned)test_below(r, 2);
    o->cache_bytes = 64 << 10;
    o->block_bytes = 256u << test_below(r, 3);
    o->table_bytes = 4096u << test_below(r, 2);
    o->l0_trigger = 1 + (unsigned)test_below(r, 3);
    o->level_ratio = 2;
    o->l1_bytes = 8192;
    o->separate_bytes = test_below(r, 4) ? 512 : 0;
    o->segment_bytes = 8192u << test_below(r, 2);
    o->garbage_ratio = 0.1 * (double)test_below(r, 6);
    o->workers = threads ? 1 : 0;
    o->sync_interval_ms = 0;
}

static void value_of(const struct cell *c, uint8_t *to)
{
    uint64_t x = (uint64_t)c->write * 7919;
    uint8_t all[VALUE_MAX + 8];
    int i;

    for (i = 0; i < c->off + c->len; i += 8) {
        uint64_t v = test_random(&x);

        memcpy(all + i, &v, 8);
    }
    memcpy(to, all + c->off, (size_t)c->len);
}

static struct slice key_of(int i, char to[16])
{
    snprintf(to, 16, "key%02d", i);
    return slice_str(to);
}

static void add_put(struct load *l, struct lsm_batch *b, struct cell *next, int step)
{
    int i = (int)test_below(&l->rng, KEYS);
    uint8_t value[VALUE_MAX];
    char k[16];

    next[i] = (struct cell){
        .write = step * 8 + (int)lsm_batch_count(b) + 1,
        .len = (int)test_below(&l->rng, test_below(&l->rng, 2) ? 100 : VALUE_MAX)};
    value_of(&next[i], value);
    lsm_batch_put(b, key_of(i, k), slice_of(value, (size_t)next[i].len));
}

static void add_share(struct load *l, struct lsm_batch *b, struct cell *next)
{
    const struct cell *now = l->history[l->done];
    int i = (int)test_below(&l->rng, KEYS), j = (int)test_below(&l->rng, KEYS);
    struct cell c = now[j];
    char ki[16], kj[16];
    int skip;

    if (!c.write)
        return;
    skip = (int)test_below(&l->rng, (uint64_t)c.len + 1);
    c.off += skip;
    c.len = (int)test_below(&l->rng, (uint64_t)(c.len - skip) + 1);
    lsm_batch_share(b, key_of(i, ki), key_of(j, kj), (size_t)skip, (size_t)c.len);
    next[i] = c;
}

/* One batch; the same for the same seed, whatever fails. */
static int write_step(struct load *l, int step)
{
    struct cell *next = l->history[step + 1];
    struct lsm_batch *b = lsm_batch_new();
    bool sync = test_below(&l->rng, 6) == 0;
    int n = 1 + (int)test_below(&l->rng, 4), rc;
    char ka[16], kb[16];

    memcpy(next, l->history[step], sizeof(l->history[step]));
    while (n--) {
        int i = (int)test_below(&l->rng, KEYS), j = (int)test_below(&l->rng, KEYS);

        switch (test_below(&l->rng, 8)) {
        case 0:
            lsm_batch_delete(b, key_of(i, ka));
            next[i].write = 0;
            break;
        case 1:
            if (i < j)
                lsm_batch_delete_range(b, key_of(i, ka), key_of(j, kb));
            for (; i < j; i++)
                next[i].write = 0;
            break;
        case 2:
            add_share(l, b, next);
            break;
        default:
            add_put(l, b, next, step);
        }
    }
    l->tried = step + 1;
    rc = lsm_write(l->db, b, sync ? LSM_SYNC : LSM_NOSYNC);
    lsm_batch_free(b);
    if (rc)
        return rc;
    l->done = step + 1;
    if (sync)
        l->synced = l->done;
    return 0;
}

static int care_step(struct load *l)
{
    int rc = 0;

    switch (test_below(&l->rng, 30)) {
    case 0:
        rc = lsm_flush(l->db);
        break;
    case 1:
        rc = lsm_compact(l->db, test_below(&l->rng, 2));
        break;
    case 2:
    case 3:
        rc = lsm_sync(l->db);
        if (!rc)
            l->synced = l->done;
        break;
    case 4:
        rc = lsm_close(l->db);
        l->db = NULL;
        if (!rc) {
            l->synced = l->done;
            rc = lsm_open("/s", &l->o, &l->db);
        }
        break;
    default:
        break;
    }
    return rc;
}

/* From where l stands to the end, or to the first call that fails. */
static void run(struct load *l)
{
    int step = l->done, rc = 0;

    if (lsm_open("/s", &l->o, &l->db))
        return;
    for (; step < STEPS && !rc; step++) {
        rc = write_step(l, step);
        if (!rc)
            rc = care_step(l);
    }
    if (!rc) {
        rc = lsm_close(l->db);
        l->db = NULL;
        if (!rc)
            l->synced = l->done;
    }
}

static bool holds(struct lsm *db, const struct cell *state)
{
    int i;

    for (i = 0; i < KEYS; i++) {
        struct lsm_value v = {0};
        uint8_t want[VALUE_MAX];
        bool same;
        char k[16];
        int rc = lsm_get(db, NULL, key_of(i, k), &v);

        ck_assert_msg(rc == 0 || rc == -ENOENT, "%s: %d", k, rc);
        if (!state[i].write) {
            same = rc == -ENOENT;
        } else {
            value_of(&state[i], want);
            same = rc == 0 && slice_eq(v.value, slice_of(want, (size_t)state[i].len));
        }
        lsm_value_release(&v);
        if (!same)
            return false;
    }
    return true;
}

/* The step that env holds, at least `least`; the store stays usable. */
static int check_recovered(struct load *l, struct env *env, int least)
{
    struct lsm_options o = l->o;
    struct lsm *db;
    int step, rc;

    o.env = env;
    rc = lsm_open("/s", &o, &db);
    /* Before the first open had succeeded there may be no store. */
    if (least == 0 && (rc == -ENOENT || l->tried == 0) && rc)
        return 0;
    ck_assert_msg(rc == 0, "opening after the crash: %d", rc);
    for (step = l->tried; step >= 0 && !holds(db, l->history[step]); step--)
        ;
    ck_assert_msg(step >= least, "found the state of step %d; %d were safe, %d tried",
                  step, least, l->tried);
    ck_ok(lsm_verify(db));
    ck_ok(lsm_put(db, slice_str("zz"), slice_str("works")));
    ck_ok(lsm_close(db));
    return step;
}

static void release(struct load *l)
{
    env_mem_stop_at(l->env, 0); /* closing must not save what the crash lost */
    if (l->db)
        lsm_close(l->db);
    env_mem_free(l->env);
}

static void begin(struct load *l, uint64_t seed, bool threads)
{
    memset(l, 0, sizeof(*l));
    l->rng = seed | 1;
    l->env = env_mem_new(seed);
    draw_options(l, threads);
}

static unsigned crash_once(uint64_t seed, uint64_t stop, bool threads, int *ended)
{
    static const enum env_mem_crash modes[] = {ENV_MEM_LOSE_UNSYNCED, ENV_MEM_KEEP_RANDOM,
                                               ENV_MEM_KEEP_RANDOM, ENV_MEM_KEEP_ALL};
    static struct load l;
    unsigned i;

    begin(&l, seed, threads);
    env_mem_stop_at(l.env, stop);
    run(&l);
    *ended = l.done == STEPS && !l.db;
    for (i = 0; i < 4; i++) {
        struct env *after = env_mem_crash_clone(l.env, seed + stop * 4 + i, modes[i]);
        /* The process's death alone loses nothing that was acknowledged. */
        int least = modes[i] == ENV_MEM_KEEP_ALL ? l.done : l.synced;

        check_recovered(&l, after, least);
        env_mem_free(after);
    }
    release(&l);
    return i;
}

static void every_call(uint64_t seed, uint64_t from_call, bool threads)
{
    uint64_t stop;
    unsigned crashes = 0;
    int ended = 0;

    for (stop = from_call; !ended; stop++) {
        if (getenv("VERBOSE"))
            printf("seed %llu stop %llu\n", (unsigned long long)seed,
                   (unsigned long long)stop);
        crashes += crash_once(seed, stop, threads, &ended);
    }
    printf("seed %llu: %u crashes after %llu calls\n", (unsigned long long)seed, crashes,
           (unsigned long long)stop);
}

START_TEST(a_crash_after_any_call_leaves_a_prefix)
{
    const char *rounds = getenv("ROUNDS"), *from = getenv("STOP");
    int i, n = rounds ? atoi(rounds) : 2;

    if (!getenv("VERBOSE"))
        test_log_capture();
    for (i = 0; i < n; i++)
        every_call(test_seed() + (uint64_t)i * 7777777,
                   from ? strtoull(from, NULL, 0) : 0, false);
}
END_TEST

START_TEST(a_crash_with_threads_leaves_a_prefix)
{
    uint64_t x = test_seed();
    int i, ended;

    if (!getenv("VERBOSE"))
        test_log_capture();
    for (i = 0; i < 150; i++)
        crash_once(x + (uint64_t)i, test_below(&x, 900), true, &ended);
}
END_TEST

/* Crash, recover, crash in the recovery, recover: nothing acknowledged is lost. */
START_TEST(a_crash_during_recovery_is_harmless)
{
    static struct load l;
    uint64_t seed = test_seed() + 5, stop;
    struct env *after, *again;
    struct lsm *db;
    int ended = 0;

    if (!getenv("VERBOSE"))
        test_log_capture();
    begin(&l, seed, false);
    env_mem_stop_at(l.env, 250);
    run(&l);
    for (stop = 0; !ended; stop++) {
        struct lsm_options o = l.o;

        after = env_mem_crash_clone(l.env, seed, ENV_MEM_KEEP_RANDOM);
        o.env = after;
        env_mem_stop_at(after, stop);
        if (lsm_open("/s", &o, &db) == 0)
            ended = lsm_close(db) == 0;
        again = env_mem_crash_clone(after, seed + stop, ENV_MEM_KEEP_RANDOM);
        check_recovered(&l, again, l.synced);
        env_mem_free(again);
        env_mem_free(after);
    }
    ck_assert_uint_gt(stop, 5);
    release(&l);
}
END_TEST

TEST_MAIN("db crash", TEST_CASE_SLOW(a_crash_after_any_call_leaves_a_prefix, 3000),
          TEST_CASE_SLOW(a_crash_with_threads_leaves_a_prefix, 600),
          TEST_CASE(a_crash_during_recovery_is_harmless))
