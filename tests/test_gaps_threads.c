/*
 * test_gaps_threads.c - threads that put and delete in gaps (lsm/gaps.h) while others
 * walk over them. What a walk finds must be what lsm_get finds, which does not jump;
 * and what was done before it began must be in it. Run it under TSan.
 */
#include "tests/env_mem.h"
#include "tests/test.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

static struct env *env;
static struct lsm *db;

static struct slice key_of(int i, char to[16])
{
    snprintf(to, 16, "k%06d", i);
    return slice_str(to);
}

enum {
    AREAS = 5,
    AREA = 300,
    WRITERS = 3,
    READERS = 2,
    ALL = AREAS * AREA,
    RUN_MS = 2000,
    SLOW_MS = 120000,
};

/* begun and done count the writes of a key: odd is a put, even a delete. */
static struct {
    _Atomic uint32_t begun[ALL], done[ALL];
    _Atomic unsigned phase;
    _Atomic bool stop;
    _Atomic int bad;
    _Atomic uint64_t compared;
} shared;

static void change(int i, bool present)
{
    uint32_t n = atomic_load(&shared.done[i]);
    char k[16], v[16];
    int rc;

    if ((n & 1) == present)
        return;
    atomic_store(&shared.begun[i], ++n);
    snprintf(v, sizeof(v), "%u", n);
    rc = present ? lsm_put(db, key_of(i, k), slice_str(v)) : lsm_delete(db, key_of(i, k));
    if (rc)
        atomic_store(&shared.bad, 1);
    atomic_store(&shared.done[i], n);
}

/* All writers empty one area, put a little into it now and then, fill another. Each
 * has its keys, so that their order is known. */
static void *write_areas(void *arg)
{
    int me = (int)(intptr_t)arg, i;
    uint64_t rng = test_seed() + (uint64_t)me;

    while (!atomic_load(&shared.stop)) {
        unsigned phase = atomic_load(&shared.phase);
        int base = (int)(phase % AREAS) * AREA, other = (int)((phase + 2) % AREAS) * AREA;

        for (i = me; i < AREA; i += WRITERS)
            change(base + i, false);
        for (i = 0; i < 60; i++) {
            int k = base + (int)test_below(&rng, AREA / WRITERS) * WRITERS + me;

            change(k, true);
            if (i % 4 == 0)
                usleep(100);
            if (i % 8)
                change(k, false);
        }
        for (i = me; i < AREA; i += WRITERS)
            if (test_below(&rng, 8) == 0)
                change(other + i, true);
        atomic_fetch_add(&shared.phase, me == 0);
    }
    return NULL;
}

/* The keys that an iterator finds, and their numbers; 0: not found. */
static void walk(const struct lsm_snapshot *snap, bool backward, uint32_t *seen)
{
    struct lsm_iter_options o = {.snap = snap};
    struct lsm_iter *it;
    struct slice v;
    int last = backward ? ALL : -1;

    memset(seen, 0, ALL * sizeof(*seen));
    if (lsm_iter_new(db, &o, &it)) {
        atomic_store(&shared.bad, 2);
        return;
    }
    for (backward ? lsm_iter_last(it) : lsm_iter_first(it); lsm_iter_valid(it);
         backward ? lsm_iter_prev(it) : lsm_iter_next(it)) {
        char key[8] = "", text[16] = "";
        int i;

        memcpy(key, lsm_iter_key(it).data, 7);
        i = atoi(key + 1);

        if (lsm_iter_value(it, &v) || i < 0 || i >= ALL ||
            (backward ? i >= last : i <= last)) {
            atomic_store(&shared.bad, 3);
            break;
        }
        memcpy(text, v.data, v.len < 15 ? v.len : 15);
        seen[i] = (uint32_t)atoi(text);
        last = i;
    }
    if (lsm_iter_error(it))
        atomic_store(&shared.bad, 4);
    lsm_iter_free(it);
}

/* Of the store as it is: what was done before must be there, whatever was begun may. */
static void check_now(bool backward)
{
    static __thread uint32_t before[ALL], seen[ALL];
    int i;

    for (i = 0; i < ALL; i++)
        before[i] = atomic_load(&shared.done[i]);
    walk(NULL, backward, seen);
    for (i = 0; i < ALL; i++) {
        uint32_t begun = atomic_load(&shared.begun[i]);

        if (seen[i] ? seen[i] < before[i] || seen[i] > begun || !(seen[i] & 1)
                    : (before[i] & 1) && begun == before[i])
            atomic_store(&shared.bad, 5);
    }
}

/* Of a snapshot: exactly what lsm_get finds. */
static void check_snapshot(bool backward, uint64_t *rng)
{
    static __thread uint32_t seen[ALL];
    struct lsm_snapshot *s = lsm_snapshot_new(db);
    int i;

    if (test_below(rng, 2))
        usleep(1000);
    walk(s, backward, seen);
    for (i = 0; i < ALL; i++) {
        char k[16], want[16];
        struct lsm_value v = {0};
        int rc = lsm_get(db, s, key_of(i, k), &v);

        snprintf(want, sizeof(want), "%u", seen[i]);
        if (rc ? rc != -ENOENT || seen[i] : !slice_eq(v.value, slice_str(want)))
            atomic_store(&shared.bad, 6);
        lsm_value_release(&v);
    }
    lsm_snapshot_free(db, s);
}

static void *read_areas(void *arg)
{
    uint64_t rng = test_seed() + 100 + (uint64_t)(intptr_t)arg;

    while (!atomic_load(&shared.stop)) {
        bool backward = test_below(&rng, 2);

        if (test_below(&rng, 3))
            check_now(backward);
        else
            check_snapshot(backward, &rng);
        atomic_fetch_add(&shared.compared, 1);
    }
    return NULL;
}

START_TEST(threads_that_write_into_gaps_are_seen)
{
    pthread_t id[WRITERS + READERS];
    struct lsm_options o;
    struct lsm_stats s;
    int i;

    env = env_mem_new(test_seed());
    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.workers = 2;
    o.memtable_bytes = 256 << 10;
    o.table_bytes = 64 << 10;
    o.l1_bytes = 256 << 10;
    ck_ok(lsm_open("/s", &o, &db));
    for (i = 0; i < WRITERS + READERS; i++)
        ck_ok(-pthread_create(&id[i], NULL, i < WRITERS ? write_areas : read_areas,
                              (void *)(intptr_t)i));
    i = 0;
    do {
        usleep(50000);
        lsm_get_stats(db, &s);
        i += 50;
    } while ((i < RUN_MS || s.gap_jumps < 20) && i < SLOW_MS &&
             !atomic_load(&shared.bad));
    atomic_store(&shared.stop, true);
    for (i = 0; i < WRITERS + READERS; i++)
        pthread_join(id[i], NULL);
    ck_assert_int_eq(atomic_load(&shared.bad), 0);
    check_now(false);
    check_now(true);
    ck_assert_int_eq(atomic_load(&shared.bad), 0);
    lsm_get_stats(db, &s);
    printf("%llu walks, %llu jumps, %u phases\n",
           (unsigned long long)atomic_load(&shared.compared),
           (unsigned long long)s.gap_jumps, atomic_load(&shared.phase));
    ck_assert_uint_gt(s.gap_jumps, 0);
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    env_mem_free(env);
}
END_TEST

TEST_MAIN("gaps threads", TEST_CASE(threads_that_write_into_gaps_are_seen))
