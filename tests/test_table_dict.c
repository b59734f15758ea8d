/*
 * test_table_dict.c - tables whose blocks are compressed with dictionaries: what is
 * put in comes out, whatever mixture it is; damage is told; the format.
 * Bytes: lsm/FORMAT.md, "Table".
 */
#include "test.h"

#include <pthread.h>
#include <stdlib.h>

#include "env_mem.h"
#include "table_util.h"

#include "fuzz_table.c"

/* Dictionaries of a KiB, made from 32 KiB each. */
static const struct table_kind usual = {512, 10, COMPRESS_ZSTD, 1024};
static const struct table_kind without = {512, 10, COMPRESS_ZSTD, 0};

static struct made_table in_memory(void)
{
    return (struct made_table){
        .env = env_mem_new(1), .path = FUZZ_PATH, .number = FUZZ_NUMBER};
}

static void drop(struct made_table *m)
{
    remove_table(m);
    ck_assert_uint_eq(env_mem_open_files(m->env), 0);
    env_mem_free(m->env);
}

/* ---- content ---- */

enum content { ALIKE, ALIKE_OTHERWISE, RANDOM };

static void make_value(struct buf *to, enum content what, uint64_t *r)
{
    static const char *words[2][6] = {
        {"\"owner\": ", "\"permissions\": ", "\"content-type\": ", "\"accessed\": ",
         "\"checksum\": ", "\"replicas\": "},
        {"#include <", "static int ", "return -EINVAL; /* ", "struct slice ",
         "__attribute__((", "unsigned long "}};
    int i;

    buf_clear(to);
    for (i = 0; i < 8; i++) {
        const char *w = words[what == ALIKE_OTHERWISE][test_below(r, 6)];

        if (what != RANDOM)
            buf_append_slice(to, slice_str(w));
        put_le32(to, (uint32_t)test_random(r));
        if (what == RANDOM)
            put_le64(to, test_random(r));
    }
}

/* n more entries of that content. */
static void add_entries(struct entries *es, size_t n, enum content what, uint64_t *r)
{
    struct buf value = {0};
    char key[16];

    for (; n; n--) {
        snprintf(key, sizeof(key), "key%06zu", es->n);
        make_value(&value, what, r);
        entries_add(es, slice_str(key), 1 + test_below(r, 1000), IKEY_PUT,
                    buf_slice(&value));
    }
    buf_release(&value);
}

static size_t count_dicts(const struct made_table *m)
{
    struct table *t = open_table(m, NULL);
    size_t n = t->index.n_dicts;

    ck_assert_uint_eq(t->layout.version, n ? TABLE_VERSION_DICT : TABLE_VERSION_PLAIN);
    table_free(t);
    return n;
}

static void check_with_caches(const struct made_table *m, const struct entries *es,
                              uint64_t *r)
{
    static const size_t caches[] = {0, 1, 64 << 10, 64 << 20};
    struct cache_stats stats;
    size_t i;

    for (i = 0; i < 4; i++) {
        struct cache *cache = caches[i] ? cache_new(caches[i]) : NULL;
        struct table *t = open_table(m, cache);

        check_table(t, es, r);
        table_free(t);
        if (cache) {
            cache_get_stats(cache, &stats);
            ck_assert_uint_eq(stats.pinned, 0);
        }
        cache_free(cache);
    }
}

/* ---- the format ---- */

/* 40 entries "sand00" and on; dictionaries of 512 bytes. What ZSTD makes of them may
 * change with its version; what this one is read as, never. */
static const char golden_hex[] =
    "28b52ffd6021003d0700040d37a430ec544c49533310784f3accc033f00c3c03cf704da180020a28"
    "a080020a2810927bcbbdb79c085887020ac8411604770a43683018066490c618638c991d744002c3"
    "c101068987cdc101c68104c9e170381c0e87c3e3388ee33898e39c73ceb93b74e14fcb9009028140"
    "201008044110044110042184101f010000000400000008000000000e2b73616e6430300107006f77"
    "6e65723d30207065726d697373696f6e733d37303030206d6f6469666965643d7965737465726461"
    "7905092b3131363939393201070000000000006f0800402170dc6b258b70820432a6321670775751"
    "ee02210100002863170de6d88dcf28b52ffd20e9e50000038102fffffeffd33dae7be77207fcbbbb"
    "a3263ce28dde07090b930703e90000004c9196cfc652b26728b52ffd20ed6d0100f34105fffffeff"
    "c75da6651ef379deb319ef9d735836d37e0dfc5b6fa306dc5db983ec462601188981f6b69b0103ed"
    "0000009425d59e2cf286d328b52ffd20f0ad0100334206fffffefff77a6f7be75d18de16fdc07537"
    "dbbd7399d766da0f0dfc60d8bc567776eed2f1225e804230740450450c2240e80903f0000000288f"
    "e5014869fee428b52ffd20f17d010023c205fffffeffcff3de33e75da63b8fb775ddb92cc31bde6a"
    "3f0dfcbbbf5506648fc5d3eb214ec1580c83f06d020203f10000006a830255b7d2fad528b52ffd20"
    "f1850100330206fffffeffc330ef5bde711df77ad35bb9ee9ccf9bc35bed070dfc5b2f83469e6ee7"
    "eb2b505cd014e801cfb6470103f10000006456fc0486d3f39d28b52ffd20f1b50100334206fffffe"
    "ffd37dcff1b6a63b976b794bcbf2b6eebc2befadf6030efcb0799f5ee3dd09437da4bbeb032eeef8"
    "0245c2039e3fcb0303f10000009b9e06e848150feb28b52ffd20f17d0100138205fffffeffc77dd3"
    "b4cce779f379cbe9ce393dcb7babfd0dfcbbbf350a5e878e3ef07cf4af2fa8d2f360eb8f9e03f100"
    "0000aa7fdb5a43ce612328b52ffd20f2c50100830207fffffeff77cefb96eebcdbe36dd10f4ccb75"
    "df6eba73b9a6ebbdd57e0dfc60b0f9d825c3936e57a6e6419ee3f815084a348001313803f2000000"
    "5fa092efa4582be628b52ffd20f5950100538206fffffeffcff3de33e7332cd3bdeec6dc9a772eef"
    "2ebc63aef6030dfcbb9f4522eaa7f6491eb18d413493833f6d000303f50000003c2178c8cf263f15"
    "28b52ffd20f58d0100534206fffffeffc3f09efb9665b98e3b8f69aecc3be77dc33ce66a3f0dfcbb"
    "9f4522eaa7f6491eb18d413493833f6d000303f5000000b9cd14205614ee6e28b52ffd20a3ad0200"
    "e4020100fe010e73616e6430330032374331314b35450d32004632334c0e37004533314e35483900"
    "00000000000000471200600820070603d466de06528086c143a10403d9806d800818171082cb0091"
    "99e366200902a30000008f120bb82bd430c2077f040000000000000673616e6430300673616e6433"
    "39000707280000b2120000200000005ffd33e5316f936eb703000000000000b703000000000000b7"
    "03000000000000220400000000000002000000eb881c21ff4e07454c425453";

static void golden_entries(struct entries *es)
{
    char key[16], value[100];
    int i;

    for (i = 0; i < 40; i++) {
        snprintf(key, sizeof(key), "sand%02d", i);
        snprintf(value, sizeof(value), "owner=%d permissions=%d modified=yesterday",
                 i * i, 7000 - i);
        entries_add(es, slice_str(key), 7, IKEY_PUT, slice_str(value));
    }
}

static void from_hex(struct buf *to, const char *hex)
{
    unsigned byte;

    for (; *hex; hex += 2) {
        ck_assert_int_eq(sscanf(hex, "%2x", &byte), 1);
        put_u8(to, (uint8_t)byte);
    }
}

START_TEST(golden_table)
{
    struct made_table m = in_memory();
    struct entries es = {0};
    struct buf golden = {0};
    uint64_t r = test_seed();
    struct loaded_block *lb;
    struct slice index;
    uint64_t n, block, size;
    struct table *t;

    golden_entries(&es);
    from_hex(&golden, golden_hex);
    ck_ok(env_mem_write(m.env, m.path, buf_slice(&golden)));
    m.meta.size = golden.len;
    t = open_table(&m, NULL);
    ck_assert_uint_eq(t->layout.version, 2);
    ck_ok(table_load(t, t->layout.index, (size_t)(t->layout.properties - t->layout.index),
                     &lb));
    index = lb->block.data;
    ck_assert(get_varint(&index, &n) && get_varint(&index, &block) &&
              get_varint(&index, &size));
    ck_assert_uint_eq(n, 1);
    ck_assert_uint_eq(block, 0);
    ck_assert_uint_eq(size, t->index.at[0]);
    free(lb);
    /* The first block and its dictionary, by their trailers. */
    ck_assert_uint_eq(golden.data[size - TABLE_BLOCK_TRAILER], COMPRESS_ZSTD);
    ck_assert_uint_eq(golden.data[size + table_block_size(t, 0) - TABLE_BLOCK_TRAILER],
                      COMPRESS_ZSTD_DICT);
    check_table(t, &es, &r);
    table_free(t);
    buf_release(&golden);
    entries_free(&es);
    drop(&m);
}
END_TEST

/* ---- round trips ---- */

START_TEST(what_is_alike_shrinks_and_comes_back)
{
    uint64_t r = test_seed(), plain;
    struct made_table m = in_memory();
    struct entries es = {0};

    add_entries(&es, 1500, ALIKE, &r);
    make_table(&m, &without, &es, NULL, 0);
    plain = m.meta.size;
    ck_assert_uint_eq(count_dicts(&m), 0);
    remove_table(&m);
    make_table(&m, &usual, &es, NULL, 0);
    ck_assert_uint_ge(count_dicts(&m), 1);
    ck_assert_uint_lt(m.meta.size, plain * 85 / 100);
    check_with_caches(&m, &es, &r);
    entries_free(&es);
    drop(&m);
}
END_TEST

/* fs/ has all names before all contents: what the first blocks have in common is no
 * help for the others. */
START_TEST(another_content_gets_another_dictionary)
{
    uint64_t r = test_seed();
    struct made_table m = in_memory();
    struct entries es = {0};
    struct table *t;

    add_entries(&es, 1000, ALIKE, &r);
    add_entries(&es, 1000, ALIKE_OTHERWISE, &r);
    make_table(&m, &usual, &es, NULL, 0);
    ck_assert_uint_ge(count_dicts(&m), 2);
    t = open_table(&m, NULL);
    ck_assert_uint_eq(t->index.dict[0].block, 0);
    ck_assert_uint_gt(t->index.dict[1].block, 0);
    table_free(t);
    check_with_caches(&m, &es, &r);
    entries_free(&es);
    drop(&m);
}
END_TEST

START_TEST(random_content_and_little_content_get_none)
{
    uint64_t r = test_seed();
    struct made_table m = in_memory();
    struct entries es = {0};

    add_entries(&es, 1500, RANDOM, &r);
    make_table(&m, &usual, &es, NULL, 0);
    ck_assert_uint_eq(count_dicts(&m), 0);
    remove_table(&m);
    entries_free(&es);
    es = (struct entries){0};
    add_entries(&es, 6, ALIKE, &r);
    make_table(&m, &usual, &es, NULL, 0);
    ck_assert_uint_eq(count_dicts(&m), 0);
    entries_free(&es);
    drop(&m);
}
END_TEST

/* Every kind of content in turn, blocks that stay raw, entries larger than a block,
 * range deletes; and the same without dictionaries. */
START_TEST(every_mixture_comes_back)
{
    static const struct test_range ranges[] = {{"b", "d", 9}, {"x", "y", 4}};
    uint64_t r = test_seed();
    size_t dicts = 0;
    int round, part;

    /* Until some got a dictionary: which do is chance. */
    for (round = 0; round < 20 || (dicts < 3 && round < 1000); round++) {
        struct table_kind kind = {64u << test_below(&r, 6),
                                  10 * (unsigned)test_below(&r, 2), COMPRESS_ZSTD,
                                  512u << test_below(&r, 4)};
        size_t n_ranges = test_below(&r, 3);
        struct made_table m = in_memory();
        struct entries es = {0};
        struct buf large = {0};
        struct table *t;

        for (part = (int)test_below(&r, 5); part >= 0; part--) {
            add_entries(&es, test_below(&r, 300), (enum content)test_below(&r, 3), &r);
            if (test_below(&r, 2))
                continue;
            while (large.len < 9000)
                put_le64(&large, test_below(&r, 2) ? 7 : test_random(&r));
            entries_add(&es, slice_of((char[]){'k', 'e', 'y', '9', (char)part}, 5), 5,
                        IKEY_PUT, buf_slice(&large));
            break; /* it sorts behind the others */
        }
        make_table(&m, &kind, &es, ranges, n_ranges);
        dicts += count_dicts(&m);
        if (es.n) {
            check_with_caches(&m, &es, &r);
        } else {
            t = open_table(&m, NULL);
            ck_ok(table_verify(t, NULL));
            table_free(t);
        }
        buf_release(&large);
        entries_free(&es);
        drop(&m);
    }
    ck_assert_uint_gt(dicts, 2);
}
END_TEST

/* The builder must not keep the table in memory; what it says of its size is near the
 * truth, or outputs would be too long. */
START_TEST(blocks_are_held_back_for_a_while_only)
{
    uint64_t r = test_seed(), size, told;
    struct made_table m = in_memory();
    struct table_builder *tb = begin_table(&m, &usual);
    struct entries es = {0};
    size_t i;

    add_entries(&es, 8000, ALIKE, &r);
    for (i = 0; i < es.n; i++) {
        ck_ok(table_builder_add(tb, buf_slice(&es.e[i].ikey), buf_slice(&es.e[i].value)));
        ck_ok(env_stat(m.env, m.path, &size));
        /* 256 KiB wait to be appended. */
        told = table_builder_size(tb);
        ck_assert_uint_le(told, size + (256 << 10) + (40 << 10));
    }
    told = table_builder_size(tb);
    ck_ok(table_builder_finish(tb, &m.meta));
    ck_assert_uint_lt(told, m.meta.size);
    ck_assert_uint_gt(told, m.meta.size * 8 / 10); /* filter and index are not told */
    entries_free(&es);
    drop(&m);
}
END_TEST

START_TEST(the_cache_holds_dictionaries_and_compactions_do_not_put_them_there)
{
    uint64_t r = test_seed();
    struct made_table m = in_memory();
    struct cache *cache = cache_new(16 << 20);
    struct entries es = {0};
    struct cache_stats before, after;
    struct buf key = {0};
    struct table *t;
    struct iter *it;

    add_entries(&es, 1500, ALIKE, &r);
    make_table(&m, &usual, &es, NULL, 0);
    t = open_table(&m, cache);
    it = table_iter_new(t, TABLE_ITER_COMPACT);
    entries_check_walks(it, &es);
    iter_free(it);
    cache_get_stats(cache, &before);
    ck_assert_uint_eq(before.bytes, 0);
    ikey_append_seek(&key, slice_str("key000007"), 2000);
    check_table_get(t, &es, buf_slice(&key));
    cache_get_stats(cache, &after);
    ck_assert_uint_gt(after.bytes, 20 << 10); /* the statistics in it are large */
    ck_assert_uint_eq(after.pinned, 0);
    ck_assert_uint_eq(after.misses, 2);
    check_table_get(t, &es, buf_slice(&key));
    cache_get_stats(cache, &before);
    ck_assert_uint_eq(before.misses, 2);
    ck_assert_uint_eq(before.hits, after.hits + 1); /* the block alone */
    table_free(t);
    cache_free(cache);
    buf_release(&key);
    entries_free(&es);
    drop(&m);
}
END_TEST

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

    for (i = 0; i < 2000; i++) {
        size_t at = test_below(&rd->random, rd->es->n);
        struct slice ikey = buf_slice(&rd->es->e[at].ikey);

        check_table_get(rd->t, rd->es, ikey);
        entries_check_seek(it, rd->es, ikey);
    }
    iter_free(it);
    return NULL;
}

START_TEST(threads_share_dictionaries_of_a_small_cache)
{
    enum { THREADS = 4 };
    uint64_t r = test_seed();
    struct made_table m = in_memory();
    struct cache *cache = cache_new(64 << 10);
    struct reader readers[THREADS];
    pthread_t threads[THREADS];
    struct entries es = {0};
    struct table *t;
    int i;

    add_entries(&es, 1000, ALIKE, &r);
    add_entries(&es, 1000, ALIKE_OTHERWISE, &r);
    make_table(&m, &usual, &es, NULL, 0);
    ck_assert_uint_ge(count_dicts(&m), 2);
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

/* ---- damage ---- */

/* A table of two dictionaries. */
static struct made_table make_two(struct entries *es, uint64_t *r)
{
    struct made_table m = in_memory();

    add_entries(es, 450, ALIKE, r);
    add_entries(es, 450, ALIKE_OTHERWISE, r);
    make_table(&m, &usual, es, NULL, 0);
    return m;
}

START_TEST(a_damaged_dictionary_is_told_with_its_place)
{
    uint64_t r = test_seed();
    struct entries es = {0};
    struct made_table m = make_two(&es, &r);
    struct table *t = open_table(&m, NULL);
    const struct table_dict *last = &t->index.dict[t->index.n_dicts - 1];
    struct buf key = {0};
    struct table_pin pin = {0};
    struct iter *it;
    char place[64];
    struct slice value;
    uint64_t trailer;
    size_t n = 0;

    test_log_capture();
    snprintf(place, sizeof(place), "/7.sst: damaged at offset %llu",
             (unsigned long long)last->at);
    ck_assert_uint_gt(t->index.n_dicts, 1);
    ck_ok(env_mem_flip(m.env, m.path, last->at + 40, 1));
    ck_err(table_verify(t, NULL), EUCLEAN);
    ck_assert(test_log_has(place));
    ck_err(table_get(t, buf_slice(&es.e[es.n - 1].ikey), &trailer, &value, &pin),
           EUCLEAN);
    /* The blocks before it do not need it. */
    it = table_iter_new(t, TABLE_ITER_READ);
    for (iter_first(it); it->valid; iter_next(it))
        entries_check_at(it, &es, n++);
    ck_assert_int_eq(it->err, -EUCLEAN);
    ck_assert_uint_gt(n, 300);
    iter_free(it);
    buf_release(&key);
    table_free(t);
    entries_free(&es);
    drop(&m);
}
END_TEST

/* What the table still tells is true, and somebody notices. */
static void check_damaged(const struct made_table *m, const struct entries *es)
{
    struct table *t;
    struct iter *it;
    size_t n = 0;
    int rc = try_open_table(m, NULL, &t);

    if (rc == 0) {
        it = table_iter_new(t, TABLE_ITER_COMPACT);
        for (iter_first(it); it->valid; iter_next(it))
            entries_check_at(it, es, n++);
        ck_assert(it->err == -EUCLEAN || (it->err == 0 && n == es->n));
        iter_free(it);
        rc = table_verify(t, NULL);
        table_free(t);
    }
    ck_assert_int_eq(rc, -EUCLEAN);
}

START_TEST(flips_and_cuts_are_noticed)
{
    uint64_t r = test_seed();
    struct entries es = {0};
    struct made_table m = make_two(&es, &r);
    struct buf file = {0};
    struct table *t;
    uint64_t at, size = m.meta.size;

    test_log_capture();
    for (at = 0; at < size; at += 1 + test_below(&r, 100)) {
        ck_ok(env_mem_flip(m.env, m.path, at, 0x10));
        check_damaged(&m, &es);
        ck_ok(env_mem_flip(m.env, m.path, at, 0x10));
    }
    ck_ok(env_mem_read(m.env, m.path, &file));
    for (at = 0; at < size; at += 1 + test_below(&r, 500)) {
        ck_ok(env_mem_write(m.env, m.path, slice_of(file.data, at)));
        ck_err(try_open_table(&m, NULL, &t), EUCLEAN);
    }
    buf_release(&file);
    entries_free(&es);
    drop(&m);
}
END_TEST

/* Checksums that are right, and whatever else is not: dictionaries, their places, and
 * blocks that want one where there is none. */
START_TEST(mutated_tables_do_no_harm)
{
    uint64_t r = test_seed();
    struct buf file = {0}, parts = {0}, copy = {0};
    int round, i;

    for (round = 0; round < 12; round++) {
        struct table_kind kind = {512, 0, COMPRESS_ZSTD, 1024};
        struct made_table m = in_memory();
        struct entries es = {0};
        struct table *t;

        add_entries(&es, 300 + test_below(&r, 100), ALIKE, &r);
        make_table(&m, &kind, &es, NULL, 0);
        ck_assert_uint_ge(count_dicts(&m), 1);
        ck_ok(env_mem_read(m.env, m.path, &file));
        t = open_table(&m, NULL);
        buf_clear(&parts);
        fuzz_table_dissect(t, buf_slice(&file), &parts);
        table_free(t);
        for (i = 0; i < 60; i++) {
            unsigned n = (unsigned)test_below(&r, 4); /* 0: as it is */

            buf_assign(&copy, buf_slice(&parts));
            for (; n; n--) { /* half of them near the begin, where the dictionary is */
                size_t most = test_below(&r, 2) ? copy.len : 200;

                copy.data[1 + test_below(&r, most - 1)] = (uint8_t)test_random(&r);
            }
            LLVMFuzzerTestOneInput(copy.data, copy.len);
        }
        entries_free(&es);
        drop(&m);
    }
    buf_release(&file);
    buf_release(&parts);
    buf_release(&copy);
}
END_TEST

TEST_MAIN(
    "table_dict", TEST_CASE_ALONE(golden_table),
    TEST_CASE_ALONE(what_is_alike_shrinks_and_comes_back),
    TEST_CASE_ALONE(another_content_gets_another_dictionary),
    TEST_CASE_ALONE(random_content_and_little_content_get_none),
    TEST_CASE_ALONE(every_mixture_comes_back),
    TEST_CASE_ALONE(blocks_are_held_back_for_a_while_only),
    TEST_CASE_ALONE(the_cache_holds_dictionaries_and_compactions_do_not_put_them_there),
    TEST_CASE(threads_share_dictionaries_of_a_small_cache),
    TEST_CASE_ALONE(a_damaged_dictionary_is_told_with_its_place),
    TEST_CASE_ALONE(flips_and_cuts_are_noticed),
    TEST_CASE_ALONE(mutated_tables_do_no_harm))
