/*
 * test_ptr_map.c - lsm/ptr_map.h, and what tables make of it: how many bytes of a
 * segment they refer to when pointers share records.
 */
#include "tests/env_mem.h"
#include "tests/test.h"

#include <stdlib.h>

#include "lsm/ptr_map.h"
#include "lsm/table_builder.h"

START_TEST(each_place_has_one_note)
{
    enum { N = 5000 };
    struct ptr_map m = {0};
    uint64_t i;

    ck_assert_ptr_null(ptr_map_find(&m, 0, 0));
    for (i = 0; i < 2 * N; i++) {
        struct ptr_note *n = ptr_map_add(&m, i % N / 100, i % N % 100 * 4120);

        ck_assert_uint_eq(n->bytes, i < N ? 0 : i % N + 1);
        n->bytes = i % N + 1;
    }
    ck_assert_uint_eq(m.n, N);
    for (i = 0; i < N; i++)
        ck_assert_uint_eq(ptr_map_find(&m, i / 100, i % 100 * 4120)->bytes, i + 1);
    ck_assert_ptr_null(ptr_map_find(&m, 0, 1));
    ck_assert_ptr_null(ptr_map_find(&m, UINT64_MAX, UINT64_MAX));
    ck_assert_ptr_nonnull(ptr_map_add(&m, UINT64_MAX, UINT64_MAX));
    ptr_map_release(&m);
    ck_assert_ptr_null(ptr_map_find(&m, 0, 0));
}
END_TEST

/* Bytes of segment 3 that a table with these pointers refers to. */
static uint64_t refs_of(const struct vptr *p, unsigned n)
{
    struct env *env = env_mem_new(1);
    struct table_builder_options o = {
        .env = env, .path = "/t", .number = 1, .block_bytes = 4096};
    struct table_builder *tb;
    struct table_meta meta = {0};
    uint64_t bytes;
    unsigned i;

    ck_ok(table_builder_open(&o, &tb));
    for (i = 0; i < n; i++) {
        struct buf key = {0}, value = {0};

        put_u8(&key, (uint8_t)('a' + i));
        put_le64(&key, ikey_pack(1, IKEY_PUT_REF));
        vptr_append(&value, &p[i]);
        ck_ok(table_builder_add(tb, buf_slice(&key), buf_slice(&value)));
        buf_release(&key);
        buf_release(&value);
    }
    ck_ok(table_builder_finish(tb, &meta));
    ck_assert_uint_eq(meta.n_refs, 1);
    ck_assert_uint_eq(meta.refs[0].segment, 3);
    bytes = meta.refs[0].bytes;
    table_meta_release(&meta);
    env_mem_free(env);
    return bytes;
}

START_TEST(what_shares_a_record_counts_no_more_than_it)
{
    /* A record of 1000 bytes, stored in 1100; its parts in proportion. */
    const struct vptr whole = {3, 0, 1100, 1000, 0, 1000, true, false};
    const struct vptr half = {3, 0, 1100, 1000, 0, 500, true, false};
    const struct vptr rest = {3, 0, 1100, 1000, 500, 500, true, false};
    const struct vptr original = {3, 0, 1100, 1000, 0, 1000, false, false};
    const struct vptr other = {3, 1100, 1100, 1000, 0, 1000, true, false};

    ck_assert_uint_eq(refs_of((struct vptr[]){whole, whole, whole}, 3), 1100);
    ck_assert_uint_eq(refs_of((struct vptr[]){half, rest}, 2), 1100);
    ck_assert_uint_eq(refs_of((struct vptr[]){half}, 1), 550);
    ck_assert_uint_eq(refs_of((struct vptr[]){half, whole, rest}, 3), 1100);
    ck_assert_uint_eq(refs_of((struct vptr[]){whole, other, whole}, 3), 2200);
    ck_assert_uint_eq(refs_of((struct vptr[]){original, whole, whole}, 3), 2200);
}
END_TEST

/* They come from the disk: lengths need not agree. */
START_TEST(lengths_that_contradict_each_other_count_something)
{
    const struct vptr large = {3, 0, 1100, 1000, 0, 1000, true, false};
    const struct vptr small = {3, 0, 100, 90, 0, 90, true, false};

    ck_assert_uint_eq(refs_of((struct vptr[]){large, small}, 2), 1100);
}
END_TEST

TEST_MAIN("ptr map", TEST_CASE(each_place_has_one_note),
          TEST_CASE(what_shares_a_record_counts_no_more_than_it),
          TEST_CASE(lengths_that_contradict_each_other_count_something))
