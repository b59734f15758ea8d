/*
 * test_db_threads.c - many threads on one store. Each writer replaces all keys
 * of its group in one batch, so a reader must at any moment find the whole
 * group with one number, and numbers only rise. Flushes and compactions go on
 * all the while (regression: a compaction deleting a table that was flushed
 * meanwhile). Run it under TSan.
 */
#include "tests/env_mem.h"
#include "tests/options_draw.h"
#include "tests/test.h"

#include <stdatomic.h>
#include <stdlib.h>

enum { WRITERS = 4, READERS = 3, GROUP = 9, LARGE = 3000, RUN_MS = 1500, DRAWN_MS = 500 };

struct shared {
    struct lsm *db;
    struct env *env;
    _Atomic bool stop;
    _Atomic uint64_t acknowledged[WRITERS];
    _Atomic uint64_t writes, reads;
    _Atomic int bad;
};

struct thread {
    struct shared *s;
    pthread_t id;
    int number;
};

static struct slice key_of(int writer, int i, char to[16])
{
    snprintf(to, 16, "w%d-%02d", writer, i);
    return slice_str(to);
}

/* The number, then as many bytes as it says, each a function of it. */
static size_t make_value(uint64_t n, int i, uint8_t to[LARGE])
{
    size_t len = 8 + (n * 31 + (uint64_t)i * 977) % (n % 5 ? 64 : LARGE - 8);

    memset(to, (int)(n + (uint64_t)i) & 0xff, len);
    store_le64(to, n);
    return len;
}

static bool value_is_right(struct slice v, int i, uint64_t *n)
{
    uint8_t want[LARGE];

    if (v.len < 8)
        return false;
    *n = load_le64(v.data);
    return slice_eq(v, slice_of(want, make_value(*n, i, want)));
}

static void *write_group(void *arg)
{
    struct thread *t = arg;
    struct shared *s = t->s;
    struct lsm_batch *b = lsm_batch_new();
    uint8_t value[GROUP][LARGE];
    char k[16], k2[16];
    uint64_t n;
    int i;

    for (n = 1; !atomic_load(&s->stop); n++) {
        lsm_batch_clear(b);
        if (n % 3 == 0)
            lsm_batch_delete_range(b, key_of(t->number, 0, k), key_of(t->number, 99, k2));
        for (i = 0; i < GROUP; i++) {
            size_t len = make_value(n, i, value[i]);

            lsm_batch_put_ref(b, key_of(t->number, i, k), slice_of(value[i], len));
        }
        if (lsm_write(s->db, b, n % 50 == 0 ? LSM_SYNC : LSM_NOSYNC))
            atomic_store(&s->bad, 1);
        atomic_store(&s->acknowledged[t->number], n);
        atomic_fetch_add(&s->writes, 1);
    }
    lsm_batch_free(b);
    return NULL;
}

/* The group's number through an iterator; 0: not written yet; -1: torn. */
static int64_t scan_group(struct lsm *db, const struct lsm_snapshot *snap, int writer,
                          bool backward)
{
    char kl[16], kh[16];
    struct slice lo = key_of(writer, 0, kl), hi = key_of(writer, 99, kh), v;
    struct lsm_iter_options o = {.snap = snap, .lower = &lo, .upper = &hi};
    struct lsm_iter *it;
    uint64_t n = 0, first = 0;
    int seen = 0;
    bool right = true;

    if (lsm_iter_new(db, &o, &it))
        return -1;
    for (backward ? lsm_iter_last(it) : lsm_iter_first(it); lsm_iter_valid(it) && right;
         backward ? lsm_iter_prev(it) : lsm_iter_next(it)) {
        int i = backward ? GROUP - 1 - seen : seen;

        right = lsm_iter_value(it, &v) == 0 && value_is_right(v, i, &n);
        first = seen++ ? first : n;
        right = right && n == first;
    }
    right = right && !lsm_iter_error(it) && (seen == 0 || seen == GROUP);
    lsm_iter_free(it);
    return right ? (int64_t)first : -1;
}

static int64_t get_group(struct lsm *db, const struct lsm_snapshot *snap, int writer)
{
    struct lsm_value v = {0};
    uint64_t first = 0, n;
    int64_t result = 0;
    char k[16];
    int i;

    for (i = 0; i < GROUP && result >= 0; i++) {
        int rc = lsm_get(db, snap, key_of(writer, i, k), &v);

        n = 0;
        if (rc ? rc != -ENOENT : !value_is_right(v.value, i, &n))
            result = -1;
        first = i ? first : n;
        if (n != first)
            result = -1;
    }
    lsm_value_release(&v);
    return result < 0 ? result : (int64_t)first;
}

static void *read_groups(void *arg)
{
    struct thread *t = arg;
    struct shared *s = t->s;
    int64_t last[WRITERS] = {0};
    uint64_t x = test_seed() + (uint64_t)t->number;

    while (!atomic_load(&s->stop)) {
        int w = (int)test_below(&x, WRITERS);
        int64_t least = (int64_t)atomic_load(&s->acknowledged[w]), n, again;
        struct lsm_snapshot *snap = lsm_snapshot_new(s->db);

        n = get_group(s->db, snap, w);
        again = scan_group(s->db, snap, w, test_below(&x, 2));
        lsm_snapshot_free(s->db, snap);
        if (n < least || n < last[w] || again != n ||
            scan_group(s->db, NULL, w, test_below(&x, 2)) < n)
            atomic_store(&s->bad, 2);
        last[w] = n;
        atomic_fetch_add(&s->reads, 1);
    }
    return NULL;
}

static void *disturb(void *arg)
{
    struct thread *t = arg;
    struct lsm_stats stats;

    while (!atomic_load(&t->s->stop)) {
        if (lsm_flush(t->s->db) || lsm_sync(t->s->db))
            atomic_store(&t->s->bad, 3);
        lsm_get_stats(t->s->db, &stats);
        env_sleep_ns(env_posix(), 20000000);
    }
    return NULL;
}

/* For so long, in a store with these options. */
static void run(struct lsm_options *o, unsigned run_ms, struct soak *soak)
{
    struct shared s = {.env = env_mem_new(1)};
    struct thread t[WRITERS + READERS + 1];
    int i, w;

    o->env = s.env;
    ck_ok(lsm_open("/s", o, &s.db));
    for (i = 0; i < WRITERS + READERS + 1; i++) {
        t[i] = (struct thread){.s = &s, .number = i};
        pthread_create(&t[i].id, NULL,
                       i < WRITERS             ? write_group
                       : i < WRITERS + READERS ? read_groups
                                               : disturb,
                       &t[i]);
    }
    env_sleep_ns(env_posix(), run_ms * 1000000ull);
    atomic_store(&s.stop, true);
    for (i = 0; i < WRITERS + READERS + 1; i++)
        pthread_join(t[i].id, NULL);
    ck_assert_int_eq(atomic_load(&s.bad), 0);
    for (w = 0; w < WRITERS; w++)
        ck_assert_int_eq(get_group(s.db, NULL, w), (int64_t)s.acknowledged[w]);
    ck_ok(lsm_verify(s.db));
    ck_ok(lsm_close(s.db));
    ck_ok(lsm_open("/s", o, &s.db));
    for (w = 0; w < WRITERS; w++)
        ck_assert_int_eq(scan_group(s.db, NULL, w, false), (int64_t)s.acknowledged[w]);
    ck_ok(lsm_close(s.db));
    env_mem_free(s.env);
    if (soak)
        soak->operations += s.writes + s.reads;
    else
        printf("%u workers: %llu batches, %llu group reads\n", o->workers,
               (unsigned long long)s.writes, (unsigned long long)s.reads);
}

static struct lsm_options options(unsigned workers)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.create = true;
    o.memtable_bytes = 64 << 10;
    o.table_bytes = 16 << 10;
    o.l1_bytes = 64 << 10;
    o.segment_bytes = 64 << 10;
    o.separate_bytes = 1024;
    o.memory_bytes = 320 << 10;
    o.workers = workers;
    o.sync_interval_ms = 30;
    return o;
}

START_TEST(readers_find_whole_batches_while_writers_write)
{
    struct lsm_options o = options(2);

    run(&o, RUN_MS, NULL);
}
END_TEST

START_TEST(one_worker_suffices)
{
    struct lsm_options o = options(1);

    run(&o, RUN_MS, NULL);
}
END_TEST

START_TEST(they_do_under_drawn_options)
{
    struct soak s;

    for (soak_begin(&s); soak_on(&s); s.option_sets++) {
        struct lsm_options o;
        char text[OPTIONS_TEXT];

        options_draw(&o, options_seed(soak_seed(&s), 0), DRAW_THREADS);
        soak_tell(&s, "options: %s", options_text(&o, text));
        run(&o, DRAWN_MS, &s);
    }
    soak_end(&s);
}
END_TEST

TEST_MAIN("db threads", TEST_CASE(readers_find_whole_batches_while_writers_write),
          TEST_CASE(one_worker_suffices), TEST_CASE_SOAK(they_do_under_drawn_options))
