/*
 * test_memory.c - the budget holds: the memory of a process whose store is ten times
 * as large, while it is filled, overwritten, read, scanned and compacted.
 *
 * What is measured is anonymous memory, resident - shared of /proc/self/statm: what
 * malloc and the stacks really have. Mapped windows of the log are the page cache's:
 * the kernel takes them back when it needs them. Each case is a process of its own.
 *
 * Sanitizers keep what is freed, so there is nothing to measure under them.
 */
#include "tests/test.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BUDGET = 32 << 20,
    VALUE = 400,
    LARGE = 10000, /* goes to the value log */
    KEYS = 800000, /* some 330 MiB */
    BATCH = 50,
    FILLERS = 2,
    RUN_MS = 2000,
    SAMPLE_US = 2000,
};

static struct {
    struct lsm *db;
    _Atomic bool stop, done;
    _Atomic size_t peak;
    _Atomic uint64_t puts, gets, steps;
    _Atomic int bad;
    struct lsm_stats at_peak;
} load;

static size_t resident(void)
{
    unsigned long size, resident_pages = 0, shared = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    if (f && fscanf(f, "%lu %lu %lu", &size, &resident_pages, &shared) != 3)
        resident_pages = 0;
    if (f)
        fclose(f);
    return (resident_pages - shared) * (size_t)sysconf(_SC_PAGESIZE);
}

static void *sample(void *arg)
{
    size_t seen = 0;

    while (!atomic_load(&load.done)) {
        size_t now = resident();

        if (now > atomic_load(&load.peak)) {
            atomic_store(&load.peak, now);
            if (now > seen + (256 << 10)) { /* asking takes locks: not each time */
                lsm_get_stats(load.db, &load.at_peak);
                seen = now;
            }
        }
        usleep(SAMPLE_US);
    }
    return NULL;
}

static struct slice key_of(uint64_t k, uint8_t to[16])
{
    store_be64(to, k * 0x9E3779B97F4A7C15ull); /* in no order */
    store_be64(to + 8, k);
    return slice_of(to, 16);
}

/* Does not compress; begins with k. */
static struct slice value_of(uint64_t k, uint64_t *x, size_t len, uint64_t *to)
{
    size_t i;

    to[0] = k;
    for (i = 1; i < len / 8; i++)
        to[i] = test_random(x);
    return slice_of((uint8_t *)to, len);
}

static void put_some(struct lsm_batch *b, uint64_t first, uint64_t step, uint64_t *x)
{
    uint64_t value[LARGE / 8];
    uint8_t key[16];
    int i;

    lsm_batch_clear(b);
    for (i = 0; i < BATCH; i++) {
        uint64_t k = step ? first + (uint64_t)i * step : test_below(x, KEYS);
        size_t len = test_below(x, 200) ? VALUE : LARGE;

        lsm_batch_put(b, key_of(k, key), value_of(k, x, len, value));
    }
    if (lsm_write(load.db, b, LSM_NOSYNC))
        atomic_store(&load.bad, 1);
    atomic_fetch_add(&load.puts, BATCH);
}

static void *fill(void *arg)
{
    uint64_t n = *(int *)arg, x = test_seed() + n, k;
    struct lsm_batch *b = lsm_batch_new();

    for (k = n; k < KEYS; k += BATCH * FILLERS)
        put_some(b, k, FILLERS, &x);
    lsm_batch_free(b);
    return NULL;
}

static void *overwrite(void *arg)
{
    uint64_t x = test_seed() + 10 + (uint64_t) * (int *)arg;
    struct lsm_batch *b = lsm_batch_new();

    while (!atomic_load(&load.stop))
        put_some(b, 0, 0, &x);
    lsm_batch_free(b);
    return NULL;
}

static void *get(void *arg)
{
    uint64_t x = test_seed() + 20 + (uint64_t) * (int *)arg;
    struct lsm_value v = {0};
    uint8_t key[16];

    while (!atomic_load(&load.stop)) {
        uint64_t k = test_below(&x, KEYS), first = 0;

        if (lsm_get(load.db, NULL, key_of(k, key), &v) == 0)
            memcpy(&first, v.value.data, 8);
        if (first != k)
            atomic_store(&load.bad, 2);
        atomic_fetch_add(&load.gets, 1);
    }
    lsm_value_release(&v);
    return NULL;
}

static void *scan(void *arg)
{
    uint64_t x = test_seed() + 30 + (uint64_t) * (int *)arg;
    uint8_t key[16];

    while (!atomic_load(&load.stop)) {
        uint64_t n = test_below(&x, 20000);
        struct lsm_iter *it;

        if (lsm_iter_new(load.db, NULL, &it))
            break;
        for (lsm_iter_seek(it, key_of(test_below(&x, KEYS), key));
             lsm_iter_valid(it) && n-- && !atomic_load(&load.stop); lsm_iter_next(it))
            atomic_fetch_add(&load.steps, 1);
        if (lsm_iter_error(it))
            atomic_store(&load.bad, 3);
        lsm_iter_free(it);
    }
    return NULL;
}

static void run(void *(*const *fn)(void *), int n, uint64_t ms)
{
    pthread_t id[16];
    int number[16], i;

    for (i = 0; i < n; i++) {
        number[i] = i;
        ck_ok(pthread_create(&id[i], NULL, fn[i], &number[i]));
    }
    env_sleep_ns(env_posix(), ms * 1000000);
    atomic_store(&load.stop, true);
    for (i = 0; i < n; i++)
        pthread_join(id[i], NULL);
    atomic_store(&load.stop, false);
}

static double mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static void tell(const char *when, size_t start)
{
    const struct lsm_stats *s = &load.at_peak;

    printf(
        "%s: %.1f MiB above the start at the peak, now %.1f; then memtables %.1f, tables "
        "%.1f (%llu open, %llu closed), work %.1f, blocks %.1f\n",
        when, mib(load.peak - start), mib(resident() - start), mib(s->memory_memtables),
        mib(s->memory_tables), (unsigned long long)s->tables_open,
        (unsigned long long)s->tables_closed, mib(s->memory_work), mib(s->cache_bytes));
    fflush(stdout);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
static const bool sanitized = true;
#else
static const bool sanitized = false;
#endif

START_TEST(the_budget_holds_under_a_store_ten_times_as_large)
{
    static void *(*const fillers[])(void *) = {fill, fill};
    static void *(*const all[])(void *) = {overwrite, get, get, get, scan, scan};
    struct lsm_options o;
    struct lsm_stats st;
    pthread_t sampler;
    char path[256];
    size_t start;

    if (sanitized)
        return;
    snprintf(path, sizeof(path), "%s/store", test_dir());
    lsm_options_init(&o);
    o.create = true;
    o.memory_bytes = BUDGET;
    o.table_bytes = 4 << 20;
    o.l1_bytes = 16 << 20;
    o.segment_bytes = 8 << 20;
    for (unsigned level = 0; level < LSM_LEVELS; level++)
        o.compression[level] = LSM_RAW;
    start = resident();
    ck_ok(lsm_open(path, &o, &load.db));
    ck_ok(pthread_create(&sampler, NULL, sample, NULL));
    run(fillers, FILLERS, 0);
    tell("filled", start);
    run(all, sizeof(all) / sizeof(all[0]), RUN_MS);
    tell("all at once", start);
    atomic_store(&load.done, true);
    pthread_join(sampler, NULL);
    ck_assert_int_eq(atomic_load(&load.bad), 0);
    lsm_get_stats(load.db, &st);
    printf("store %.0f MiB; %llu puts, %llu gets, %llu steps; %llu compactions\n",
           mib(st.disk_bytes), (unsigned long long)load.puts,
           (unsigned long long)load.gets, (unsigned long long)load.steps,
           (unsigned long long)st.compactions);
    ck_assert_uint_ge(st.disk_bytes, 10ull * BUDGET);
    ck_ok(lsm_close(load.db));
    ck_assert_uint_le(load.peak - start, BUDGET / 10 * 11);
}
END_TEST

/* Keys of 16 bytes, values of 100; a quarter of a million, for the time it takes. */
START_TEST(a_million_keys_take_4_MB_beyond_the_block_cache)
{
    enum { QUARTER = 250000 };
    struct lsm_batch *b = lsm_batch_new();
    uint64_t x = test_seed(), value[13], k;
    struct lsm_value v = {0};
    struct lsm_options o;
    struct lsm_stats st;
    char path[256];
    uint8_t key[16];

    snprintf(path, sizeof(path), "%s/million", test_dir());
    lsm_options_init(&o);
    o.create = true;
    o.table_bytes = 4 << 20;
    ck_ok(lsm_open(path, &o, &load.db));
    for (k = 0; k < QUARTER; k++) {
        lsm_batch_put(b, key_of(k, key), slice_of(value_of(k, &x, 104, value).data, 100));
        if (lsm_batch_count(b) == 100) {
            ck_ok(lsm_write(load.db, b, LSM_NOSYNC));
            lsm_batch_clear(b);
        }
    }
    ck_ok(lsm_compact(load.db, true));
    for (k = 0; k < QUARTER; k += 100)
        ck_ok(lsm_get(load.db, NULL, key_of(k, key), &v));
    lsm_get_stats(load.db, &st);
    printf("%llu keys in %llu open tables: %.2f MiB beyond the blocks\n",
           (unsigned long long)st.entries, (unsigned long long)st.tables_open,
           mib(st.memory_tables));
    ck_assert_uint_eq(st.entries, QUARTER);
    ck_assert_uint_ge(st.tables_open, 5);
    ck_assert_uint_le(st.memory_tables, 4000000 / 4);
    lsm_value_release(&v);
    lsm_batch_free(b);
    ck_ok(lsm_close(load.db));
}
END_TEST

TEST_MAIN("memory", TEST_CASE(the_budget_holds_under_a_store_ten_times_as_large),
          TEST_CASE(a_million_keys_take_4_MB_beyond_the_block_cache))
