/*
 * test_table_cache.c - lsm/table_cache.h and lsm/memory.h: what is open, what is
 * closed for want of memory or descriptors, and when the closed is freed. The
 * readers here are announced by hand; the last test is the engine, with threads and
 * a budget so small that tables come and go all the while. Run it under TSan.
 */
#include "tests/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lsm/hash.h"
#include "lsm/names.h"
#include "lsm/table_cache.h"

#include "entries.h"
#include "env_mem.h"
#include "table_util.h"

#define DIR "/store"

enum { FILES = 12 };

static const struct table_kind kind = {.block_bytes = 256, .filter_bits = 10};

/* ---- the plan ---- */

static struct memory_plan plan(size_t budget, size_t reserved, size_t memtables,
                               size_t tables)
{
    struct memory_use u = {budget, reserved, {memtables, tables}};

    return memory_plan(&u);
}

/* Of 64000, 2000 are for what is not counted. */
START_TEST(the_cache_has_what_memtables_and_tables_leave)
{
    ck_assert_uint_eq(plan(64000, 0, 0, 0).cache, 62000);
    ck_assert_uint_eq(plan(64000, 24000, 0, 0).cache, 38000);
    ck_assert_uint_eq(plan(64000, 24000, 20000, 5000).cache, 33000);
    /* Old memtables that iterators hold come on top of what is set aside. */
    ck_assert_uint_eq(plan(64000, 24000, 30000, 5000).cache, 27000);
}
END_TEST

START_TEST(tables_leave_an_eighth_to_the_cache)
{
    ck_assert_uint_eq(plan(64000, 22000, 0, 0).tables, 35000);
    ck_assert_uint_eq(plan(64000, 22000, 54000, 0).tables, 7000);
}
END_TEST

START_TEST(with_all_memory_gone_a_little_is_left_to_work_with)
{
    ck_assert_uint_eq(plan(64000, 24000, 100000, 50000).cache, 1000);
    ck_assert_uint_eq(plan(64000, 24000, 100000, 50000).tables, 1000);
    ck_assert_uint_eq(plan(64000, 24000, 0, 1000000).cache, 1000);
}
END_TEST

START_TEST(taking_memory_shrinks_the_cache_at_once)
{
    struct cache_stats s;
    struct memory m;
    uint64_t i;

    ck_ok(memory_init(&m, 1 << 20, 256 << 10));
    for (i = 0; i < 4096; i++)
        cache_unpin(m.cache, cache_insert(m.cache, cache_reserve(m.cache, 1, i, 1024)));
    cache_get_stats(m.cache, &s);
    ck_assert_uint_le(s.bytes, 768 << 10);
    ck_assert_uint_gt(s.bytes, 600 << 10);
    memory_take(&m, MEMORY_MEMTABLES, 256 << 10); /* set aside for them */
    cache_get_stats(m.cache, &s);
    ck_assert_uint_gt(s.bytes, 600 << 10);
    memory_take(&m, MEMORY_TABLES, 500 << 10);
    cache_get_stats(m.cache, &s);
    ck_assert_uint_le(s.bytes, 268 << 10);
    memory_give(&m, MEMORY_TABLES, 500 << 10);
    for (i = 0; i < 4096; i++)
        cache_unpin(m.cache, cache_insert(m.cache, cache_reserve(m.cache, 1, i, 1024)));
    cache_get_stats(m.cache, &s);
    ck_assert_uint_gt(s.bytes, 600 << 10);
    memory_release(&m);
}
END_TEST

/* ---- opening and closing ---- */

static struct {
    struct env *env;
    struct memory memory;
    struct table_cache tables;
    struct tfile *f[FILES];
    uint64_t busy; /* the readers that are announced */
    uint64_t uses[SHORT_READERS];
} s;

static void note_readers(void *arg, struct short_readers *r)
{
    r->busy = s.busy;
    memcpy(r->uses, s.uses, sizeof(r->uses));
}

static bool readers_left(void *arg, struct short_readers *r)
{
    int i;

    for (i = 0; i < SHORT_READERS; i++)
        if (!(s.busy & 1ull << i) || s.uses[i] != r->uses[i])
            r->busy &= ~(1ull << i);
    return !r->busy;
}

static void on_dead(void *arg, uint64_t number)
{
    ck_abort_msg("table %d is obsolete, though nobody said so", (int)number);
}

static void add_file(unsigned i)
{
    char *path = file_path(DIR, FILE_TABLE, i + 1);
    struct made_table m = {.env = s.env, .path = path, .number = i + 1};
    struct entries es = {0};
    char key[16];
    unsigned k;

    for (k = 0; k < 100; k++) {
        snprintf(key, sizeof(key), "%02u-%03u", i, k);
        entries_add(&es, slice_str(key), 1, IKEY_PUT, slice_str("value"));
    }
    make_table(&m, &kind, &es, NULL, 0);
    ck_ok(tfile_new(&s.tables, &m.meta, &s.f[i]));
    table_meta_release(&m.meta);
    entries_free(&es);
    free(path);
}

static void begin(size_t budget, unsigned max_open)
{
    struct table_cache_limits limits = {&s.memory, max_open, note_readers, readers_left};
    unsigned i;

    memset(&s, 0, sizeof(s));
    s.env = env_mem_new(test_seed());
    ck_ok(env_mkdir(s.env, DIR));
    ck_ok(memory_init(&s.memory, budget, 0));
    table_cache_init(&s.tables, s.env, DIR, s.memory.cache, on_dead, NULL);
    table_cache_limit(&s.tables, &limits);
    for (i = 0; i < FILES; i++)
        add_file(i);
}

static void end(void)
{
    unsigned i;

    for (i = 0; i < FILES; i++)
        tfile_unref(s.f[i]);
    table_cache_release(&s.tables);
    ck_assert_uint_eq(atomic_load(&s.memory.used[MEMORY_TABLES]), 0);
    memory_release(&s.memory);
    ck_assert_uint_eq(env_mem_open_files(s.env), 0);
    env_mem_free(s.env);
}

static bool is_open(unsigned i)
{
    return atomic_load(&s.f[i]->table) != NULL;
}

static struct table *borrow(unsigned i)
{
    struct table *t;

    ck_ok(tfile_borrow(s.f[i], &t));
    return t;
}

static void check_has(struct table *t, unsigned i)
{
    char key[16];
    struct buf ikey = {0};
    struct table_pin pin = {0};
    struct slice value;
    uint64_t trailer;

    snprintf(key, sizeof(key), "%02u-%03u", i, 50);
    ikey_append_seek(&ikey, slice_str(key), 1);
    ck_ok(table_get(t, buf_slice(&ikey), &trailer, &value, &pin));
    ck_slice_str(value, "value");
    table_unpin(&pin);
    buf_release(&ikey);
}

START_TEST(no_more_files_are_open_than_may_be)
{
    unsigned i, round;

    begin(64 << 20, 4);
    for (round = 0; round < 3; round++) {
        for (i = 0; i < FILES; i++) {
            check_has(borrow(i), i);
            table_cache_tend(&s.tables);
            ck_assert_uint_le(s.tables.n_open, 4);
            ck_assert_uint_le(env_mem_open_files(s.env), 5); /* one may be in limbo */
        }
    }
    end();
}
END_TEST

START_TEST(open_tables_stay_within_their_share)
{
    size_t one, i;

    begin(64 << 20, 100);
    one = table_memory(borrow(0));
    end();
    begin(4 * one, 100); /* of which an eighth is left to the cache */
    for (i = 0; i < FILES; i++)
        check_has(borrow((unsigned)i), (unsigned)i);
    table_cache_tend(&s.tables);
    ck_assert_uint_eq(s.tables.n_open, 3);
    ck_assert_uint_eq(s.tables.opened, FILES);
    ck_assert_uint_eq(s.tables.closed, FILES - 3);
    end();
}
END_TEST

START_TEST(what_is_used_again_stays_open)
{
    unsigned i, round, closed = 0;

    begin(64 << 20, 4);
    for (round = 0; round < 20; round++) {
        for (i = 2; i < FILES; i++) {
            closed += !is_open(0) + !is_open(1);
            borrow(0);
            borrow(1);
            borrow(0); /* the first time may have opened it */
            borrow(1);
            borrow(i);
        }
    }
    ck_assert_uint_le(closed, 4);
    end();
}
END_TEST

START_TEST(a_pinned_table_stays_open)
{
    struct iter *it;
    unsigned i, n = 0;

    begin(64 << 20, 2);
    ck_ok(tfile_iter(s.f[0], TABLE_ITER_COMPACT, &it));
    iter_first(it);
    for (i = 1; i < FILES; i++) {
        borrow(i);
        ck_assert(is_open(0));
    }
    for (; it->valid; iter_next(it))
        n++;
    ck_assert_uint_eq(n, 100);
    iter_free(it);
    for (i = 1; i < 4; i++)
        borrow(i);
    ck_assert(!is_open(0));
    end();
}
END_TEST

START_TEST(a_closed_table_is_freed_when_who_may_read_it_has_left)
{
    struct table *t;
    unsigned i;

    begin(64 << 20, 1);
    s.busy = 1ull << 7 | 1ull << 63;
    t = borrow(0);
    for (i = 1; i < FILES; i++) {
        borrow(i);
        ck_assert(!is_open(0));
        check_has(t, 0);
    }
    s.busy = 1ull << 63 | 1; /* 0 came later and does not know t */
    table_cache_tend(&s.tables);
    check_has(t, 0);
    ck_assert_uint_eq(env_mem_open_files(s.env), FILES);
    s.uses[63]++;                /* left, and is back */
    table_cache_tend(&s.tables); /* frees t; those closed since begin to wait */
    ck_assert_uint_eq(env_mem_open_files(s.env), FILES - 1);
    s.busy = 0;
    table_cache_tend(&s.tables);
    ck_assert_uint_eq(env_mem_open_files(s.env), 1);
    end();
}
END_TEST

START_TEST(a_table_in_limbo_counts_as_memory)
{
    size_t one;

    begin(64 << 20, 1);
    s.busy = 1;
    one = table_memory(borrow(0));
    borrow(1);
    table_cache_tend(&s.tables);
    ck_assert_uint_eq(atomic_load(&s.memory.used[MEMORY_TABLES]), 2 * one);
    s.busy = 0;
    table_cache_tend(&s.tables);
    ck_assert_uint_eq(atomic_load(&s.memory.used[MEMORY_TABLES]), one);
    end();
}
END_TEST

START_TEST(a_table_that_cannot_be_opened_leaves_nothing_behind)
{
    struct table *t;

    begin(64 << 20, 4);
    test_log_capture();
    env_mem_fail_at(s.env, 1, EMFILE, ENV_MEM_OPEN_READ, ENV_MEM_FOREVER);
    ck_err(tfile_borrow(s.f[0], &t), EMFILE);
    ck_err(tfile_pin(s.f[0], TABLE_ITER_READ, &t), EMFILE);
    ck_assert_uint_eq(atomic_load(&s.f[0]->pins), 0);
    env_mem_fail_at(s.env, 0, 0, 0, ENV_MEM_ONCE);
    check_has(borrow(0), 0);
    end();
}
END_TEST

/* ---- the engine, with hardly any memory ---- */

enum { KEYS = 6000, WRITERS = 2, SLOT_READERS = 3, MORE_READERS = 66, VALUE = 40 };

static struct {
    struct lsm *db;
    _Atomic bool stop;
    _Atomic int bad;
    _Atomic uint64_t reads;
    /* The number of the newest write of a key that was begun, and of the newest that
     * is acknowledged. Each writer has its own keys; even numbers are deletes. */
    _Atomic uint64_t begun[KEYS], number[KEYS];
} load;

struct worker {
    pthread_t id;
    int number;
};

static struct slice load_key(unsigned k, char to[16])
{
    snprintf(to, 16, "key%06u", k);
    return slice_str(to);
}

static struct slice load_value(unsigned k, uint64_t n, uint64_t to[VALUE / 8])
{
    unsigned i;

    for (i = 0; i < VALUE / 8; i++)
        to[i] = n * KEYS + k;
    return slice_of((uint8_t *)to, VALUE);
}

/* All keys, in tables. */
static void fill(void)
{
    uint64_t value[VALUE / 8];
    char key[16];
    unsigned k;

    for (k = 0; k < KEYS; k++) {
        ck_ok(lsm_put(load.db, load_key(k, key), load_value(k, 1, value)));
        load.begun[k] = load.number[k] = 1;
    }
    ck_ok(lsm_compact(load.db, false));
}

static void *overwrite(void *arg)
{
    struct worker *w = arg;
    uint64_t x = test_seed() + (uint64_t)w->number, value[VALUE / 8];
    struct lsm_batch *b = lsm_batch_new();

    while (!atomic_load(&load.stop)) {
        unsigned k =
            (unsigned)test_below(&x, KEYS / WRITERS) * WRITERS + (unsigned)w->number;
        uint64_t n = atomic_load(&load.number[k]) + 1;
        char key[16], next[16];

        lsm_batch_clear(b);
        if (n % 2)
            lsm_batch_put(b, load_key(k, key), load_value(k, n, value));
        else if (n % 4)
            lsm_batch_delete(b, load_key(k, key));
        else
            lsm_batch_delete_range(b, load_key(k, key), load_key(k + 1, next));
        atomic_store(&load.begun[k], n);
        if (lsm_write(load.db, b, LSM_NOSYNC))
            atomic_store(&load.bad, 1);
        atomic_store(&load.number[k], n);
    }
    lsm_batch_free(b);
    return NULL;
}

/* Is v a value that k had, and not one older than number `least`? */
static bool is_value_of(struct slice v, unsigned k, uint64_t least)
{
    uint64_t first;

    if (v.len != VALUE)
        return false;
    memcpy(&first, v.data, 8);
    return first % KEYS == k && first / KEYS >= least && first / KEYS % 2 &&
           memcmp(v.data, v.data + 8, VALUE - 8) == 0;
}

static bool get_is_right(unsigned k, struct lsm_value *v)
{
    uint64_t least = atomic_load(&load.number[k]);
    char key[16];
    int rc = lsm_get(load.db, NULL, load_key(k, key), v);

    if (rc == -ENOENT)
        return least % 2 == 0 || atomic_load(&load.begun[k]) > least;
    return rc == 0 && is_value_of(v->value, k, least);
}

static bool scan_is_right(unsigned k, unsigned steps)
{
    struct lsm_iter *it;
    char key[16];
    struct slice v;
    bool right = true;

    if (lsm_iter_new(load.db, NULL, &it))
        return false;
    for (lsm_iter_seek(it, load_key(k, key)); lsm_iter_valid(it) && right && steps--;
         lsm_iter_next(it)) {
        memcpy(key, lsm_iter_key(it).data, 9);
        key[9] = 0;
        right = lsm_iter_value(it, &v) == 0 && is_value_of(v, (unsigned)atoi(key + 3), 0);
    }
    right = right && !lsm_iter_error(it);
    lsm_iter_free(it);
    return right;
}

static void *read_all_over(void *arg)
{
    struct worker *w = arg;
    uint64_t x = test_seed() * 7 + (uint64_t)w->number;
    struct lsm_value v = {0};

    while (!atomic_load(&load.stop)) {
        unsigned k = (unsigned)test_below(&x, KEYS);

        if (test_below(&x, 10) ? !get_is_right(k, &v) : !scan_is_right(k, 30))
            atomic_store(&load.bad, 2);
        atomic_fetch_add(&load.reads, 1);
    }
    lsm_value_release(&v);
    return NULL;
}

static uint64_t tables_closed(void)
{
    struct lsm_stats st;

    lsm_get_stats(load.db, &st);
    return st.tables_closed;
}

static void run_load(unsigned readers, uint64_t ms)
{
    struct worker w[WRITERS + SLOT_READERS + MORE_READERS];
    struct lsm_value v = {0};
    struct lsm_options o;
    struct lsm_stats st;
    struct env *env = env_mem_new(1);
    unsigned i;

    memset(&load, 0, sizeof(load));
    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.memory_bytes = 128 << 10;
    o.memtable_bytes = 32 << 10;
    o.table_bytes = 8 << 10;
    o.block_bytes = 512;
    o.l1_bytes = 64 << 10;
    ck_ok(lsm_open("/s", &o, &load.db));
    fill();
    for (i = 0; i < WRITERS + readers; i++) {
        w[i].number = (int)i;
        ck_ok(pthread_create(&w[i].id, NULL, i < WRITERS ? overwrite : read_all_over,
                             &w[i]));
    }
    env_sleep_ns(env_posix(), ms * 1000000);
    ck_soon(tables_closed() > 10);
    atomic_store(&load.stop, true);
    for (i = 0; i < WRITERS + readers; i++)
        pthread_join(w[i].id, NULL);
    ck_assert_int_eq(atomic_load(&load.bad), 0);
    for (i = 0; i < KEYS; i++)
        ck_assert(get_is_right(i, &v));
    lsm_value_release(&v);
    lsm_get_stats(load.db, &st);
    printf("%u readers: %llu reads; %llu tables opened, %llu closed\n", readers,
           (unsigned long long)load.reads, (unsigned long long)st.tables_opened,
           (unsigned long long)st.tables_closed);
    ck_ok(lsm_close(load.db));
    ck_assert_uint_eq(env_mem_open_files(env), 0);
    env_mem_free(env);
}

START_TEST(answers_are_right_while_tables_are_closed_under_the_readers)
{
    run_load(SLOT_READERS, SOAK_UNDER_TSAN ? 3000 : 1000);
}
END_TEST

START_TEST(threads_without_a_slot_pin_what_they_read)
{
    run_load(SLOT_READERS + MORE_READERS, SOAK_UNDER_TSAN ? 2000 : 1000);
}
END_TEST

START_TEST(opening_a_store_opens_no_table)
{
    struct env *env = env_mem_new(1);
    struct lsm_value v = {0};
    struct lsm_options o;
    struct lsm_stats st;
    struct lsm *db;
    char key[16];
    unsigned i;

    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.table_bytes = 8 << 10;
    o.verify_bytes = 0;
    o.workers = 0;
    ck_ok(lsm_open("/s", &o, &db));
    for (i = 0; i < KEYS; i++)
        ck_ok(lsm_put(db, load_key(i, key), slice_str("some value or other")));
    ck_ok(lsm_compact(db, true));
    ck_ok(lsm_close(db));
    ck_ok(lsm_open("/s", &o, &db));
    lsm_get_stats(db, &st);
    ck_assert_uint_eq(st.tables_opened, 0);
    ck_ok(lsm_get(db, NULL, load_key(77, key), &v));
    lsm_get_stats(db, &st);
    ck_assert_uint_eq(st.tables_opened, 1);
    ck_assert_uint_eq(st.tables_open, 1);
    lsm_value_release(&v);
    ck_ok(lsm_close(db));
    env_mem_free(env);
}
END_TEST

TEST_MAIN("table cache", TEST_CASE(the_cache_has_what_memtables_and_tables_leave),
          TEST_CASE(tables_leave_an_eighth_to_the_cache),
          TEST_CASE(with_all_memory_gone_a_little_is_left_to_work_with),
          TEST_CASE(taking_memory_shrinks_the_cache_at_once),
          TEST_CASE(no_more_files_are_open_than_may_be),
          TEST_CASE(open_tables_stay_within_their_share),
          TEST_CASE(what_is_used_again_stays_open), TEST_CASE(a_pinned_table_stays_open),
          TEST_CASE(a_closed_table_is_freed_when_who_may_read_it_has_left),
          TEST_CASE(a_table_in_limbo_counts_as_memory),
          TEST_CASE(a_table_that_cannot_be_opened_leaves_nothing_behind),
          TEST_CASE(answers_are_right_while_tables_are_closed_under_the_readers),
          TEST_CASE(threads_without_a_slot_pin_what_they_read),
          TEST_CASE(opening_a_store_opens_no_table))
