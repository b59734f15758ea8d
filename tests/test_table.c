/*
 * test_table.c - lsm/table_builder.h and lsm/table.h: what is put in comes out.
 * Damage is test_table_damage.c's. Bytes: lsm/FORMAT.md, "Table".
 */
#include "test.h"

#include <pthread.h>
#include <math.h>
#include <stdlib.h>

#include "env_mem.h"
#include "lsm/hash.h"
#include "lsm/vlog.h"
#include "table_util.h"

static const struct table_kind usual = {4096, 10, COMPRESS_LZ4, 0};

static struct made_table in_memory(void)
{
    return (struct made_table){.env = env_mem_new(1), .path = "/7.sst", .number = 7};
}

static void drop(struct made_table *m)
{
    remove_table(m);
    ck_assert_uint_eq(env_mem_open_files(m->env), 0);
    env_mem_free(m->env);
}

/* ---- round trips ---- */

static void check_meta(const struct table_meta *m, const struct entries *es)
{
    uint64_t raw = 0, deletes = 0, refs = 0, told = 0;
    struct vptr p;
    size_t i;

    for (i = 0; i < es->n; i++) {
        struct slice ikey = buf_slice(&es->e[i].ikey);
        struct slice value = buf_slice(&es->e[i].value);

        raw += ikey.len + value.len;
        deletes += ikey_type(ikey) == IKEY_DELETE;
        ck_assert(m->seq_min <= ikey_seq(ikey) && ikey_seq(ikey) <= m->seq_max);
        if (ikey_type(ikey) == IKEY_PUT_REF) {
            ck_assert(vptr_decode(&value, &p));
            refs += vptr_stored(&p);
        }
    }
    ck_assert_uint_eq(m->entries, es->n);
    ck_assert_uint_eq(m->deletes, deletes);
    ck_assert_uint_eq(m->raw_bytes, raw);
    for (i = 0; i < m->n_refs; i++) {
        told += m->refs[i].bytes;
        ck_assert(i == 0 || m->refs[i - 1].segment < m->refs[i].segment);
    }
    ck_assert_uint_eq(told, refs);
    ck_assert(slice_eq(buf_slice(&m->smallest), ikey_user(buf_slice(&es->e[0].ikey))));
    ck_assert(
        slice_eq(buf_slice(&m->largest), ikey_user(buf_slice(&es->e[es->n - 1].ikey))));
    ck_assert(!m->largest_open);
}

static void check_same_meta(const struct table_meta *a, const struct table_meta *b)
{
    struct buf x = {0};
    struct buf y = {0};

    table_meta_append(&x, a);
    table_meta_append(&y, b);
    ck_assert(slice_eq(buf_slice(&x), buf_slice(&y)));
    buf_release(&x);
    buf_release(&y);
}

static void round_trip(const struct table_kind *kind, const struct entries *es,
                       uint64_t *r)
{
    static const size_t caches[] = {0, 1, 64 << 10, 64 << 20};
    struct made_table m = in_memory();
    size_t i;

    make_table(&m, kind, es, NULL, 0);
    check_meta(&m.meta, es);
    for (i = 0; i < 4; i++) {
        struct cache *cache = caches[i] ? cache_new(caches[i]) : NULL;
        struct table *t = open_table(&m, cache);
        struct cache_stats stats;

        check_same_meta(&m.meta, table_meta(t));
        check_table(t, es, r);
        table_free(t);
        if (cache) {
            cache_get_stats(cache, &stats);
            ck_assert_uint_eq(stats.pinned, 0);
        }
        cache_free(cache);
    }
    drop(&m);
}

START_TEST(what_is_added_is_found)
{
    static const struct table_kind kinds[] = {
        {1, 10, COMPRESS_RAW, 0},     {200, 0, COMPRESS_LZ4, 0},
        {200, 10, COMPRESS_ZSTD, 0},  {4096, 10, COMPRESS_LZ4, 0},
        {4096, 16, COMPRESS_RAW, 0},  {4096, 4, COMPRESS_ZSTD, 0},
        {1 << 20, 1, COMPRESS_LZ4, 0}};
    uint64_t r = test_seed();
    size_t round, i;

    for (round = 0; round < (SOAK_SANITIZED ? 2 : 8); round++) {
        for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
            struct entries es = entries_random(&r, 1 + test_below(&r, 400),
                                               test_below(&r, 40), test_below(&r, 300));

            round_trip(&kinds[i], &es, &r);
            entries_free(&es);
        }
    }
}
END_TEST

/* To a block exactly, and within it by the keys, which are evenly spread here. */
START_TEST(which_part_of_a_table_is_before_a_key)
{
    static const struct table_kind kind = {1024, 10, COMPRESS_RAW, 0};
    enum { N = 4096 };
    struct made_table m = in_memory();
    struct entries es = {0};
    struct table *t;
    uint8_t key[8];
    uint32_t i;

    for (i = 0; i < N; i++) {
        store_be64(key, 1000 + 2 * i);
        entries_add(&es, slice_of(key, 8), i + 1, IKEY_PUT, slice_str("value"));
    }
    make_table(&m, &kind, &es, NULL, 0);
    t = open_table(&m, NULL);
    for (i = 0; i < 2 * N; i++) {
        double part = table_part_before(t, (store_be64(key, 1000 + i), slice_of(key, 8)));

        ck_assert(fabs(part - i / (2.0 * N)) < 0.02); /* a block is 0.01 */
        ck_assert(part >= 0 && part <= 1);
    }
    ck_assert(table_part_before(t, slice_str("")) == 0);
    store_be64(key, 1000);
    ck_assert(table_part_before(t, slice_of(key, 8)) == 0);
    store_be64(key, 1000 + 2 * N);
    ck_assert(table_part_before(t, slice_of(key, 8)) == 1);
    table_free(t);
    drop(&m);
    entries_free(&es);
}
END_TEST

START_TEST(on_a_real_directory)
{
    uint64_t r = test_seed();
    struct entries es = entries_random(&r, 3000, 20, 200);
    struct made_table m = {.env = env_posix(), .number = 12};
    struct cache *cache = cache_new(1 << 20);
    struct table *t;
    char path[200];

    snprintf(path, sizeof(path), "%s/12.sst", test_dir());
    m.path = path;
    make_table(&m, &usual, &es, NULL, 0);
    t = open_table(&m, cache);
    check_table(t, &es, &r);
    table_free(t);
    cache_free(cache);
    remove_table(&m);
    entries_free(&es);
}
END_TEST

/* The versions of one key fill many blocks; so the separator of two blocks can
 * be no shorter than a whole internal key. */
START_TEST(versions_of_a_key_span_blocks)
{
    struct entries es = {0};
    uint64_t r = test_seed();
    uint64_t seq;

    entries_add(&es, slice_str("a"), 5, IKEY_PUT, slice_str("before"));
    for (seq = 3000; seq > 0; seq -= 3)
        entries_add(&es, slice_str("key"), seq, seq % 2 ? IKEY_PUT : IKEY_DELETE,
                    slice_str("0123456789"));
    entries_add(&es, slice_str("key2"), 5, IKEY_PUT, slice_str("after"));
    round_trip(&(struct table_kind){200, 10, COMPRESS_RAW, 0}, &es, &r);
    entries_free(&es);
}
END_TEST

/* Lost by an earlier engine: an entry larger than a block. */
START_TEST(entries_larger_than_a_block)
{
    enum { KEY = 64 * 1024, VALUE = 1 << 20 };
    struct entries es = {0};
    struct buf key = {0};
    struct buf value = {0};
    uint64_t r = test_seed();
    int i;

    for (i = 0; i < 6; i++) {
        buf_clear(&key);
        buf_clear(&value);
        put_u8(&key, (uint8_t)('a' + i));
        entries_add(&es, buf_slice(&key), 9, IKEY_PUT, slice_str("small"));
        entries_random_bytes(&key, &r, KEY - 1, 26);
        while (value.len < VALUE)
            put_le64(&value, i % 2 ? 0 : test_random(&r));
        entries_add(&es, buf_slice(&key), 8, IKEY_PUT, buf_slice(&value));
    }
    round_trip(&usual, &es, &r);
    round_trip(&(struct table_kind){4096, 10, COMPRESS_RAW, 0}, &es, &r);
    round_trip(&(struct table_kind){4096, 10, COMPRESS_ZSTD, 0}, &es, &r);
    entries_free(&es);
    buf_release(&key);
    buf_release(&value);
}
END_TEST

/* A block that a large entry shares with others would make them slow to read. */
START_TEST(a_large_entry_gets_its_own_block)
{
    struct made_table m = in_memory();
    struct cache *cache = cache_new(64 << 20);
    struct entries es = {0};
    struct cache_stats stats;
    uint8_t *zeros = calloc(1, 1 << 20);
    struct buf key = {0};
    struct table *t;

    entries_add(&es, slice_str("a"), 1, IKEY_PUT, slice_str("small"));
    entries_add(&es, slice_str("b"), 1, IKEY_PUT, slice_of(zeros, 1 << 20));
    entries_add(&es, slice_str("c"), 1, IKEY_PUT, slice_str("small"));
    make_table(&m, &usual, &es, NULL, 0);
    t = open_table(&m, cache);
    ikey_append_seek(&key, slice_str("a"), 9);
    check_table_get(t, &es, buf_slice(&key));
    key.data[0] = 'c';
    check_table_get(t, &es, buf_slice(&key));
    cache_get_stats(cache, &stats);
    ck_assert_uint_lt(stats.used, 4096);
    table_free(t);
    cache_free(cache);
    buf_release(&key);
    entries_free(&es);
    free(zeros);
    drop(&m);
}
END_TEST

/* Of 8 blocks half are random: the bytes on disk are those and little else. */
static void check_stored(enum compression compression)
{
    enum { VALUE = 4000, BLOCKS = 8 };
    struct table_kind kind = {.block_bytes = 4096, .compression = compression};
    struct made_table m = in_memory();
    struct entries es = {0};
    uint64_t r = test_seed();
    uint8_t value[VALUE];
    struct table *t;
    int i, j;

    for (i = 0; i < BLOCKS; i++) {
        char key[2] = {(char)('a' + i), 0};

        for (j = 0; j < VALUE; j++)
            value[j] = i % 2 ? (uint8_t)test_random(&r) : (uint8_t)(j / 100);
        entries_add(&es, slice_str(key), 1, IKEY_PUT, slice_of(value, VALUE));
    }
    make_table(&m, &kind, &es, NULL, 0);
    ck_assert_uint_gt(m.meta.size, BLOCKS / 2 * VALUE);
    if (compression == COMPRESS_RAW)
        ck_assert_uint_gt(m.meta.size, BLOCKS * VALUE);
    else
        ck_assert_uint_lt(m.meta.size, (BLOCKS / 2 + 1) * VALUE);
    t = open_table(&m, NULL);
    check_table(t, &es, &r);
    table_free(t);
    entries_free(&es);
    drop(&m);
}

START_TEST(blocks_that_shrink_are_compressed_and_random_ones_stay_raw)
{
    check_stored(COMPRESS_RAW);
    check_stored(COMPRESS_LZ4);
    check_stored(COMPRESS_ZSTD);
}
END_TEST

/* ---- range deletes ---- */

START_TEST(range_deletes_come_back)
{
    static const struct test_range ranges[] = {
        {"b", "d", 9}, {"b", "d", 4}, {"d", "dd", 7}, {"f", "x", 5}};
    struct made_table m = in_memory();
    const struct range_tombstone *got;
    struct entries es = {0};
    struct table *t;
    size_t n, i;

    entries_add(&es, slice_str("c"), 6, IKEY_PUT, slice_str("v"));
    make_table(&m, &usual, &es, ranges, 4);
    ck_slice_str(buf_slice(&m.meta.smallest), "b");
    ck_slice_str(buf_slice(&m.meta.largest), "x");
    ck_assert(m.meta.largest_open);
    ck_assert_uint_eq(m.meta.range_deletes, 4);
    ck_assert_uint_eq(m.meta.seq_min, 4);
    ck_assert_uint_eq(m.meta.seq_max, 9);
    t = open_table(&m, NULL);
    ck_ok(table_verify(t, NULL));
    got = table_range_deletes(t, &n);
    ck_assert_uint_eq(n, 4);
    for (i = 0; i < n; i++) {
        ck_slice_str(got[i].start, ranges[i].start);
        ck_slice_str(got[i].end, ranges[i].end);
        ck_assert_uint_eq(got[i].seq, ranges[i].seq);
    }
    table_free(t);
    entries_free(&es);
    drop(&m);
}
END_TEST

START_TEST(a_table_of_range_deletes_only)
{
    static const struct test_range ranges[] = {{"b", "d", 9}};
    struct made_table m = in_memory();
    struct entries es = {0};
    uint64_t r = test_seed();
    struct table *t;
    size_t n;

    make_table(&m, &usual, &es, ranges, 1);
    t = open_table(&m, NULL);
    check_table(t, &es, &r);
    ck_assert_ptr_nonnull(table_range_deletes(t, &n));
    ck_assert_uint_eq(n, 1);
    ck_slice_str(buf_slice(&table_meta(t)->smallest), "b");
    ck_assert(table_meta(t)->largest_open);
    table_free(t);
    drop(&m);
}
END_TEST

START_TEST(a_point_at_the_end_of_a_range_closes_the_bounds)
{
    static const struct test_range ranges[] = {{"b", "d", 9}};
    struct made_table m = in_memory();
    struct entries es = {0};
    struct table *t;
    size_t n;

    entries_add(&es, slice_str("a"), 1, IKEY_PUT, slice_str(""));
    entries_add(&es, slice_str("d"), 1, IKEY_PUT, slice_str(""));
    make_table(&m, &usual, &es, ranges, 1);
    ck_slice_str(buf_slice(&m.meta.smallest), "a");
    ck_slice_str(buf_slice(&m.meta.largest), "d");
    ck_assert(!m.meta.largest_open);
    t = open_table(&m, NULL);
    ck_ok(table_verify(t, NULL));
    ck_assert_ptr_nonnull(table_range_deletes(t, &n));
    table_free(t);
    entries_free(&es);
    drop(&m);
}
END_TEST

/* ---- filter, cache ---- */

START_TEST(the_longest_run_of_tombstones_is_told)
{
    struct made_table m = {.env = env_mem_new(1), .path = "/1.sst", .number = 1};
    struct table_kind kind = {.block_bytes = 512};
    struct table_builder *tb = begin_table(&m, &kind);
    struct buf key = {0};
    char name[16];
    int i;

    /* 30 deletes, 10 puts, 25 deletes: 45 more deletes than puts; puts around it. */
    for (i = 0; i < 200; i++) {
        bool is_delete = (i >= 50 && i < 80) || (i >= 90 && i < 115);

        snprintf(name, sizeof(name), "%06d", i);
        buf_clear(&key);
        ikey_append(&key, slice_str(name), 7, is_delete ? IKEY_DELETE : IKEY_PUT);
        ck_ok(table_builder_add(tb, buf_slice(&key), slice_str(is_delete ? "" : "v")));
    }
    ck_ok(table_builder_finish(tb, &m.meta));
    ck_assert_uint_eq(m.meta.deletes, 55);
    ck_assert_uint_eq(m.meta.delete_run, 45);
    remove_table(&m);
    buf_release(&key);
    env_mem_free(m.env);
}
END_TEST

START_TEST(the_filter_turns_strangers_away)
{
    enum { N = 20000 };
    struct made_table m = in_memory();
    struct table_kind none = usual;
    struct entries es = {0};
    uint8_t key[8];
    struct table *t;
    unsigned passed = 0;
    uint64_t i;

    for (i = 0; i < N; i++) {
        store_be64(key, i);
        entries_add(&es, slice_of(key, 8), 2, IKEY_PUT, slice_str("v"));
        /* Versions must not take bits of their own. */
        entries_add(&es, slice_of(key, 8), 1, IKEY_PUT, slice_str("v"));
    }
    make_table(&m, &usual, &es, NULL, 0);
    t = open_table(&m, NULL);
    ck_assert_uint_lt(table_memory(t), N * 10 / 8 + (64 << 10));
    for (i = 0; i < 2 * N; i++) {
        store_be64(key, i);
        if (i < N)
            ck_assert(table_may_contain(t, hash_key(slice_of(key, 8))));
        else
            passed += table_may_contain(t, hash_key(slice_of(key, 8)));
    }
    ck_assert_uint_lt(passed, N * 12 / 1000);
    table_free(t);
    remove_table(&m);

    none.filter_bits = 0;
    make_table(&m, &none, &es, NULL, 0);
    t = open_table(&m, NULL);
    ck_assert(table_may_contain(t, 12345));
    table_free(t);
    entries_free(&es);
    drop(&m);
}
END_TEST

START_TEST(reads_fill_the_cache_and_compactions_do_not)
{
    uint64_t r = test_seed();
    struct entries es = entries_random(&r, 2000, 20, 200);
    struct made_table m = in_memory();
    struct cache *cache = cache_new(16 << 20);
    struct cache_stats before, after;
    struct table *t;
    struct iter *it;

    make_table(&m, &usual, &es, NULL, 0);
    t = open_table(&m, cache);
    it = table_iter_new(t, TABLE_ITER_COMPACT);
    entries_check_walks(it, &es);
    iter_free(it);
    cache_get_stats(cache, &before);
    ck_assert_uint_eq(before.bytes + before.hits + before.misses, 0);
    it = table_iter_new(t, TABLE_ITER_READ);
    entries_check_walks(it, &es);
    cache_get_stats(cache, &before);
    ck_assert_uint_gt(before.bytes, m.meta.raw_bytes / 2);
    entries_check_walks(it, &es);
    cache_get_stats(cache, &after);
    ck_assert_uint_eq(after.misses, before.misses);
    ck_assert_uint_gt(after.hits, before.hits);
    iter_free(it);
    table_free(t);
    cache_free(cache);
    entries_free(&es);
    drop(&m);
}
END_TEST

/* ---- threads ---- */

struct reader {
    struct table *t;
    const struct entries *es;
    uint64_t random;
};

static void *read_some(void *arg)
{
    struct reader *rd = arg;
    struct iter *it = table_iter_new(rd->t, TABLE_ITER_READ);
    int i;

    for (i = 0; i < 3000; i++) {
        size_t at = test_below(&rd->random, rd->es->n);
        struct slice ikey = buf_slice(&rd->es->e[at].ikey);

        check_table_get(rd->t, rd->es, ikey);
        entries_check_seek(it, rd->es, ikey);
    }
    entries_check_walks(it, rd->es);
    iter_free(it);
    return NULL;
}

START_TEST(threads_read_one_table_through_a_small_cache)
{
    enum { THREADS = 4 };
    uint64_t r = test_seed();
    struct entries es = entries_random(&r, 3000, 20, 200);
    struct made_table m = in_memory();
    struct cache *cache = cache_new(64 << 10);
    struct reader readers[THREADS];
    pthread_t threads[THREADS];
    struct table *t;
    int i;

    make_table(&m, &usual, &es, NULL, 0);
    t = open_table(&m, cache);
    for (i = 0; i < THREADS; i++) {
        readers[i] = (struct reader){t, &es, test_random(&r) | 1};
        ck_ok(pthread_create(&threads[i], NULL, read_some, &readers[i]));
    }
    for (i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    table_free(t);
    cache_free(cache);
    entries_free(&es);
    drop(&m);
}
END_TEST

/* ---- metadata ---- */

static struct table_meta some_meta(void)
{
    struct table_meta m = {.number = 300,
                           .size = 0x1122,
                           .largest_open = true,
                           .seq_min = 5,
                           .seq_max = 200,
                           .entries = 7,
                           .deletes = 2,
                           .range_deletes = 1,
                           .raw_bytes = 1000,
                           .n_refs = 2};

    buf_assign(&m.smallest, slice_str("sand"));
    buf_assign(&m.largest, slice_str("silt"));
    m.refs = malloc(2 * sizeof(*m.refs));
    m.refs[0] = (struct segment_ref){9, 100};
    m.refs[1] = (struct segment_ref){139, 3};
    return m;
}

/* Never changed: it is in tables and manifests. */
START_TEST(golden_meta)
{
    static const uint8_t want[] = {0xac, 2,   0x22, 0x11, 0,    0,    0, 0,   0,
                                   0,    4,   's',  'a',  'n',  'd',  4, 's', 'i',
                                   'l',  't', 1,    5,    0xc8, 1,    7, 2,   1,
                                   0xe8, 7,   2,    9,    100,  0x82, 1, 3};
    struct table_meta m = some_meta();
    struct table_meta back = {0};
    struct table_meta copy;
    struct buf b = {0};
    struct slice in;
    size_t n;

    table_meta_append(&b, &m);
    ck_assert_uint_eq(b.len, sizeof(want));
    ck_assert_mem_eq(b.data, want, sizeof(want));
    in = buf_slice(&b);
    ck_assert(table_meta_decode(&in, &back));
    ck_assert_uint_eq(in.len, 0);
    check_same_meta(&m, &back);
    ck_ok(table_meta_copy(&copy, &back));
    table_meta_release(&back);
    check_same_meta(&m, &copy);
    table_meta_release(&copy);
    for (n = 0; n < b.len; n++) {
        in = slice_of(b.data, n);
        ck_assert(!table_meta_decode(&in, &back));
        ck_assert_ptr_null(back.smallest.data);
    }
    table_meta_release(&m);
    buf_release(&b);
}
END_TEST

TEST_MAIN("table", TEST_CASE_ALONE(what_is_added_is_found),
          TEST_CASE_ALONE(which_part_of_a_table_is_before_a_key),
          TEST_CASE_ALONE(on_a_real_directory),
          TEST_CASE_ALONE(versions_of_a_key_span_blocks),
          TEST_CASE_ALONE(entries_larger_than_a_block),
          TEST_CASE_ALONE(a_large_entry_gets_its_own_block),
          TEST_CASE_ALONE(blocks_that_shrink_are_compressed_and_random_ones_stay_raw),
          TEST_CASE_ALONE(range_deletes_come_back),
          TEST_CASE_ALONE(a_table_of_range_deletes_only),
          TEST_CASE_ALONE(a_point_at_the_end_of_a_range_closes_the_bounds),
          TEST_CASE_ALONE(the_longest_run_of_tombstones_is_told),
          TEST_CASE_ALONE(the_filter_turns_strangers_away),
          TEST_CASE_ALONE(reads_fill_the_cache_and_compactions_do_not),
          TEST_CASE_SLOW(threads_read_one_table_through_a_small_cache, 300),
          TEST_CASE_ALONE(golden_meta))
