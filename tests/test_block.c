/*
 * test_block.c - lsm/block_builder.h and lsm/block.h. Bytes: lsm/FORMAT.md,
 * "Block".
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/block.h"
#include "lsm/block_builder.h"

#include "entries.h"
#include "fuzz_block.c"

static void build(struct block_builder *bb, const struct entries *es, struct slice *out)
{
    size_t i;

    block_builder_reset(bb);
    for (i = 0; i < es->n; i++)
        block_builder_add(bb, buf_slice(&es->e[i].ikey), buf_slice(&es->e[i].value));
    i = block_builder_size(bb);
    ck_ok(block_builder_finish(bb, out));
    ck_assert_uint_eq(out->len, i);
}

/* Copied to the end of its own memory, so that ASan sees reads beyond it. */
static uint8_t *own(struct slice *s)
{
    uint8_t *copy = malloc(s->len);

    memcpy(copy, s->data, s->len);
    s->data = copy;
    return copy;
}

static void check_get(void *arg, const struct entries *es, struct slice ikey)
{
    const struct block *b = arg;
    size_t i = entries_get(es, ikey);
    uint64_t trailer;
    struct slice value;

    if (i == es->n) {
        ck_err(block_get(b, ikey, &trailer, &value), ENOENT);
        return;
    }
    ck_ok(block_get(b, ikey, &trailer, &value));
    ck_assert_uint_eq(trailer, ikey_trailer(buf_slice(&es->e[i].ikey)));
    ck_assert(slice_eq(value, buf_slice(&es->e[i].value)));
}

static void check_block(struct block *b, const struct entries *es, uint64_t *r)
{
    struct block_iter bi;

    ck_ok(block_verify(b, NULL, NULL));
    block_iter_init(&bi, b);
    entries_check_walks(&bi.it, es);
    entries_probe(es, r, entries_check_seek, &bi.it);
    entries_probe(es, r, check_get, b);
    iter_free(&bi.it);
}

/* As it is, and prepared. */
static void check_all(struct block *b, const struct entries *es, uint64_t *r)
{
    void *memory = malloc(block_prepare_bytes(b) + 1);
    struct block prepared = *b;

    check_block(b, es, r);
    ck_ok(block_prepare(&prepared, memory));
    check_block(&prepared, es, r);
    free(memory);
}

/* ---- tests ---- */

/* Never changed without a new table version. */
START_TEST(golden_bytes)
{
    static const uint8_t want[] = {
        /* "sand" at 7, put: nothing shared, 12 bytes of key, 2 of value */
        0, 12, 2, 's', 'a', 'n', 'd', 1, 7, 0, 0, 0, 0, 0, 0, 'v', '1',
        /* "sand" at 5, delete: the user key shared, the trailer whole */
        4, 8, 0, 0, 5, 0, 0, 0, 0, 0, 0,
        /* "silt" at 300: a restart point */
        0, 12, 1, 's', 'i', 'l', 't', 1, 44, 1, 0, 0, 0, 0, 0, 'x',
        /* restart points at 0 and 28, and their number */
        0, 0, 0, 0, 28, 0, 0, 0, 2, 0, 0, 0};
    struct block_builder bb;
    struct buf key[3] = {{0}};
    struct slice out;
    int i;

    ikey_append(&key[0], slice_str("sand"), 7, IKEY_PUT);
    ikey_append(&key[1], slice_str("sand"), 5, IKEY_DELETE);
    ikey_append(&key[2], slice_str("silt"), 300, IKEY_PUT);
    block_builder_init(&bb, 2);
    block_builder_add(&bb, buf_slice(&key[0]), slice_str("v1"));
    block_builder_add(&bb, buf_slice(&key[1]), slice_str(""));
    block_builder_add(&bb, buf_slice(&key[2]), slice_str("x"));
    ck_ok(block_builder_finish(&bb, &out));
    ck_assert_uint_eq(out.len, sizeof(want));
    ck_assert_mem_eq(out.data, want, sizeof(want));
    block_builder_release(&bb);
    for (i = 0; i < 3; i++)
        buf_release(&key[i]);
}
END_TEST

START_TEST(an_empty_block_is_a_block)
{
    struct block_builder bb;
    struct block_iter bi;
    struct entries none = {0};
    struct slice out;
    struct block b;
    uint64_t r = test_seed();

    block_builder_init(&bb, 16);
    build(&bb, &none, &out);
    ck_assert_uint_eq(out.len, 4);
    ck_ok(block_init(&b, out));
    check_all(&b, &none, &r);
    block_iter_init(&bi, &b);
    iter_next(&bi.it);
    ck_assert(!bi.it.valid);
    block_iter_release(&bi);
    block_builder_release(&bb);
}
END_TEST

START_TEST(what_is_added_is_found_in_order)
{
    static const unsigned intervals[] = {1, 2, 3, 16, 1000};
    uint64_t r = test_seed();
    struct block_builder bb;
    unsigned i, round;

    for (round = 0; round < 60; round++) {
        for (i = 0; i < 5; i++) {
            struct entries es = entries_random(&r, 1 + test_below(&r, 150),
                                               test_below(&r, 40), test_below(&r, 300));
            struct slice out;
            struct block b;
            uint8_t *copy;

            block_builder_init(&bb, intervals[i]);
            build(&bb, &es, &out);
            copy = own(&out);
            ck_ok(block_init(&b, out));
            check_all(&b, &es, &r);
            free(copy);
            entries_free(&es);
            block_builder_release(&bb);
        }
    }
}
END_TEST

/* A lookup walks bytes: long entries get more restart points than short ones. */
START_TEST(restart_points_come_after_entries_or_bytes)
{
    struct block_builder bb;
    struct buf key = {0};
    struct slice out;
    struct block b;
    uint8_t value[100] = {0};
    uint64_t i;

    block_builder_init(&bb, 16);
    for (i = 0; i < 32; i++) {
        buf_clear(&key);
        put_be64(&key, i);
        put_le64(&key, ikey_pack(1, IKEY_PUT));
        block_builder_add(&bb, buf_slice(&key), slice_of(value, i < 16 ? 0 : 100));
    }
    ck_ok(block_builder_finish(&bb, &out));
    ck_ok(block_init(&b, out));
    ck_assert_uint_eq(b.n_restarts, 1 + 16 / 3 + 1);
    block_builder_release(&bb);
    buf_release(&key);
}
END_TEST

START_TEST(long_keys_and_values)
{
    uint64_t r = test_seed();
    struct entries es = entries_random(&r, 20, 64 * 1024, 1 << 20);
    struct block_builder bb;
    struct slice out;
    struct block b;
    uint8_t *copy;

    block_builder_init(&bb, 16);
    build(&bb, &es, &out);
    copy = own(&out);
    ck_ok(block_init(&b, out));
    check_all(&b, &es, &r);
    free(copy);
    entries_free(&es);
    block_builder_release(&bb);
}
END_TEST

/* ---- damage ---- */

static int first_error(const char *bytes, size_t len)
{
    struct slice s = slice_of(bytes, len);
    uint8_t *copy = own(&s);
    struct block_iter bi;
    struct block b;
    int rc = block_init(&b, s);

    if (rc == 0) {
        block_iter_init(&bi, &b);
        for (iter_first(&bi.it); bi.it.valid; iter_next(&bi.it))
            ;
        rc = bi.it.err;
        block_iter_release(&bi);
    }
    free(copy);
    return rc;
}

#define FIRST_ERROR(bytes) first_error(bytes, sizeof(bytes) - 1)
#define TRAILER            "\1\0\0\0\0\0\0\0"
#define ONE_RESTART        "\0\0\0\0\1\0\0\0"

START_TEST(damage_is_seen)
{
    ck_ok(FIRST_ERROR("\0\x9\0a" TRAILER ONE_RESTART));
    ck_err(FIRST_ERROR(""), EUCLEAN);
    ck_err(FIRST_ERROR("\1\0\0\0"), EUCLEAN);
    /* restarts: more than there is room for, none, not at 0, out of order, beyond */
    ck_err(FIRST_ERROR("\0\x9\0a" TRAILER "\0\0\0\0\x9\0\0\0"), EUCLEAN);
    ck_err(FIRST_ERROR("\0\x9\0a" TRAILER "\0\0\0\0\0\0\0\0"), EUCLEAN);
    ck_err(FIRST_ERROR("\0\x9\0a" TRAILER "\1\0\0\0\1\0\0\0"), EUCLEAN);
    ck_err(FIRST_ERROR("\0\x9\0a" TRAILER "\0\0\0\0\0\0\0\0\2\0\0\0"), EUCLEAN);
    ck_err(FIRST_ERROR("\0\x9\0a" TRAILER "\0\0\0\0\x20\0\0\0\2\0\0\0"), EUCLEAN);
    ck_err(FIRST_ERROR("\0\x9\0a" TRAILER "\0\0\0\0\0\0\0\x80\2\0\0\0"), EUCLEAN);
    /* entries: something shared with nothing, no trailer, a value or a key too
     * long, lengths cut or beyond 32 bits, a type that is none */
    ck_err(FIRST_ERROR("\1\x9\0a" TRAILER ONE_RESTART), EUCLEAN);
    ck_err(FIRST_ERROR("\0\x7\2a" TRAILER ONE_RESTART), EUCLEAN);
    ck_err(FIRST_ERROR("\0\x9\1a" TRAILER ONE_RESTART), EUCLEAN);
    ck_err(FIRST_ERROR("\0\xa\0a" TRAILER ONE_RESTART), EUCLEAN);
    ck_err(FIRST_ERROR("\0\x9\xff\xff\xff\xff\x0f" TRAILER ONE_RESTART), EUCLEAN);
    ck_err(FIRST_ERROR("\0\x9\xff\xff\xff\xff\x1f" TRAILER ONE_RESTART), EUCLEAN);
    ck_err(FIRST_ERROR("\0\xff\xff\xff\xff\x0f\xff\xff\xff\xff\x0f" ONE_RESTART),
           EUCLEAN);
    ck_err(FIRST_ERROR("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80" ONE_RESTART),
           EUCLEAN);
    ck_err(FIRST_ERROR("\0\x9\0a\4\0\0\0\0\0\0\0" ONE_RESTART), EUCLEAN);
    ck_err(FIRST_ERROR("\xff\xff\xff\xff\x0f\x9\0a" TRAILER ONE_RESTART), EUCLEAN);
    /* the second entry shares more than the first has, trailer excluded */
    ck_ok(FIRST_ERROR("\0\x9\0a" TRAILER "\1\x9\0b" TRAILER ONE_RESTART));
    ck_err(FIRST_ERROR("\0\x9\0a" TRAILER "\2\x9\0b" TRAILER ONE_RESTART), EUCLEAN);
}
END_TEST

#undef FIRST_ERROR

static int verify(const char *bytes, size_t len)
{
    struct block b;

    ck_ok(block_init(&b, slice_of(bytes, len)));
    return block_verify(&b, NULL, NULL);
}

#define VERIFY(bytes) verify(bytes, sizeof(bytes) - 1)

START_TEST(verify_sees_what_iterating_does_not)
{
    ck_ok(VERIFY("\0\x9\0a" TRAILER "\0\x9\0b" TRAILER ONE_RESTART));
    ck_err(VERIFY("\0\x9\0b" TRAILER "\0\x9\0a" TRAILER ONE_RESTART), EUCLEAN);
    ck_err(VERIFY("\0\x9\0a" TRAILER "\0\x9\0a" TRAILER ONE_RESTART), EUCLEAN);
    /* restart points: inside an entry, at one that shares, between versions */
    ck_ok(VERIFY("\0\x9\0a" TRAILER "\0\x9\0b" TRAILER "\0\0\0\0\xc\0\0\0\2\0\0\0"));
    ck_err(VERIFY("\0\x9\0a" TRAILER "\0\x9\0b" TRAILER "\0\0\0\0\xd\0\0\0\2\0\0\0"),
           EUCLEAN);
    ck_err(VERIFY("\0\x9\0a" TRAILER "\1\x9\0b" TRAILER "\0\0\0\0\xc\0\0\0\2\0\0\0"),
           EUCLEAN);
    ck_err(VERIFY("\0\x9\0a\1\1\0\0\0\0\0\0"
                  "\0\x9\0a" TRAILER "\0\0\0\0\xc\0\0\0\2\0\0\0"),
           EUCLEAN);
}
END_TEST

START_TEST(mutated_blocks_do_no_harm)
{
    uint64_t r = test_seed();
    int round, i;

    for (round = 0; round < 200; round++) {
        struct entries es = entries_random(&r, 1 + test_below(&r, 40), test_below(&r, 20),
                                           test_below(&r, 40));
        struct block_builder bb;
        struct slice out;
        uint8_t *copy;

        block_builder_init(&bb, (unsigned)(1 + test_below(&r, 6)));
        build(&bb, &es, &out);
        copy = malloc(out.len);
        LLVMFuzzerTestOneInput(out.data, out.len);
        for (i = 0; i < 100; i++) {
            size_t len = out.len;
            unsigned n = (unsigned)(1 + test_below(&r, 3));

            memcpy(copy, out.data, len);
            for (; n; n--)
                copy[test_below(&r, len)] = (uint8_t)test_random(&r);
            /* Cut in the middle, so that the restarts stay. */
            if (test_below(&r, 4) == 0) {
                size_t cut = test_below(&r, len);

                memmove(copy, copy + cut, len - cut);
                len -= cut;
            }
            LLVMFuzzerTestOneInput(copy, len);
        }
        free(copy);
        entries_free(&es);
        block_builder_release(&bb);
    }
}
END_TEST

TEST_MAIN("block", TEST_CASE(golden_bytes), TEST_CASE(an_empty_block_is_a_block),
          TEST_CASE(what_is_added_is_found_in_order),
          TEST_CASE(restart_points_come_after_entries_or_bytes),
          TEST_CASE(long_keys_and_values), TEST_CASE(damage_is_seen),
          TEST_CASE(verify_sees_what_iterating_does_not),
          TEST_CASE(mutated_blocks_do_no_harm))
