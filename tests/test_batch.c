/*
 * test_batch.c - lsm/batch.h and the filling of a batch through lsm/lsm.h. Bytes:
 * lsm/FORMAT.md, "Batch".
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/batch.h"

#include "entries.h"
#include "fuzz_batch.c"

/* Never changed without a new format. */
START_TEST(golden_bytes_of_a_batch)
{
    static const uint8_t want[] = {
        /* first sequence, little-endian; 5 operations */
        0x67, 0x45, 0x23, 1, 0, 0, 0, 0, 5,
        /* put "sand" = "v1" */
        1, 4, 's', 'a', 'n', 'd', 2, 'v', '1',
        /* delete "" */
        0, 0,
        /* delete ["a", "b") */
        3, 1, 'a', 1, 'b',
        /* put "p" by reference: a pointer of 3 bytes, opaque here */
        2, 1, 'p', 3, 9, 8, 7,
        /* put "l" = 200 times 'x': a length of two bytes */
        1, 1, 'l', 0xc8, 1};
    uint8_t x[200];
    struct lsm_batch *b = lsm_batch_new();

    memset(x, 'x', sizeof(x));
    lsm_batch_put(b, slice_str("sand"), slice_str("v1"));
    lsm_batch_delete(b, slice_str(""));
    lsm_batch_delete_range(b, slice_str("a"), slice_str("b"));
    lsm_batch_put(b, slice_str("p"), slice_str("a value to be separated"));
    batch_set_value(b, &b->ops[3], BATCH_POINTER, slice_str("\x9\x8\x7"));
    lsm_batch_put_ref(b, slice_str("l"), slice_of(x, sizeof(x)));
    ck_ok(batch_encode(b));
    batch_stamp(b, 0x1234567);
    ck_assert_uint_eq(b->wire.len, sizeof(want) + sizeof(x));
    ck_assert_mem_eq(b->wire.data, want, sizeof(want));
    ck_assert_mem_eq(b->wire.data + sizeof(want), x, sizeof(x));
    lsm_batch_free(b);
}
END_TEST

static void expect_entry(struct batch_reader *r, enum ikey_type type, uint64_t seq,
                         const char *key, const char *value)
{
    struct batch_entry e;

    ck_assert_int_eq(batch_reader_next(r, &e), 1);
    ck_assert_int_eq(e.type, type);
    ck_assert_uint_eq(e.seq, seq);
    ck_slice_str(e.key, key);
    ck_slice_str(e.value, value);
}

static void begin_reading(struct lsm_batch *b, uint64_t seq, struct batch_reader *r)
{
    ck_ok(batch_encode(b));
    batch_stamp(b, seq);
    ck_assert(batch_reader_init(r, buf_slice(&b->wire)));
    ck_assert_uint_eq(r->first_seq, seq);
    ck_assert_uint_eq(r->count, lsm_batch_count(b));
}

START_TEST(a_batch_reads_as_it_was_filled)
{
    struct lsm_batch *b = lsm_batch_new();
    struct batch_reader r;
    struct batch_entry e;
    int round;

    for (round = 0; round < 2; round++) {
        lsm_batch_put(b, slice_str("k"), slice_str("1"));
        lsm_batch_delete_range(b, slice_str("a"), slice_str("z"));
        lsm_batch_put_ref(b, slice_str("k"), slice_str("2"));
        lsm_batch_delete(b, slice_str("k"));
        lsm_batch_put(b, slice_str(""), slice_str(""));
        ck_assert_uint_eq(lsm_batch_count(b), 5);
        begin_reading(b, 100, &r);
        expect_entry(&r, IKEY_PUT, 100, "k", "1");
        expect_entry(&r, IKEY_RANGE_DELETE, 101, "a", "z");
        expect_entry(&r, IKEY_PUT, 102, "k", "2");
        expect_entry(&r, IKEY_DELETE, 103, "k", "");
        expect_entry(&r, IKEY_PUT, 104, "", "");
        ck_ok(batch_reader_next(&r, &e));
        ck_ok(batch_reader_next(&r, &e));
        lsm_batch_clear(b);
        ck_assert_uint_eq(lsm_batch_count(b), 0);
    }
    begin_reading(b, 1, &r);
    ck_ok(batch_reader_next(&r, &e));
    lsm_batch_free(b);
    lsm_batch_free(NULL);
}
END_TEST

START_TEST(an_empty_range_is_not_deleted)
{
    struct lsm_batch *b = lsm_batch_new();

    lsm_batch_delete_range(b, slice_str("k"), slice_str("k"));
    lsm_batch_delete_range(b, slice_str("k"), slice_str("a"));
    ck_assert_uint_eq(lsm_batch_count(b), 0);
    ck_ok(batch_encode(b));
    lsm_batch_free(b);
}
END_TEST

START_TEST(an_error_of_a_batch_stays_until_it_is_cleared)
{
    uint8_t *big = calloc(1, LSM_KEY_MAX + 1);
    struct slice long_key = slice_of(big, LSM_KEY_MAX + 1);
    struct lsm_batch *b = lsm_batch_new();
    int i;

    for (i = 0; i < 6; i++) {
        lsm_batch_put(b, slice_str("before"), slice_str("x"));
        switch (i) {
        case 0:
            lsm_batch_put(b, long_key, slice_str("x"));
            break;
        case 1:
            lsm_batch_delete(b, long_key);
            break;
        case 2:
            lsm_batch_delete_range(b, slice_str(""), long_key);
            break;
        case 3:
            lsm_batch_delete_range(b, long_key, slice_str("x"));
            break;
        case 4: /* never read: the length is refused */
            lsm_batch_put(b, slice_str("k"), slice_of(big, (size_t)LSM_VALUE_MAX + 1));
            break;
        case 5:
            lsm_batch_put_ref(b, slice_str("k"),
                              slice_of(big, (size_t)LSM_VALUE_MAX + 1));
            break;
        }
        lsm_batch_put(b, slice_str("after"), slice_str("x"));
        ck_err(batch_encode(b), EINVAL);
        lsm_batch_clear(b);
        lsm_batch_put(b, slice_str("k"), slice_str("x"));
        ck_ok(batch_encode(b));
        lsm_batch_clear(b);
    }
    lsm_batch_free(b);
    free(big);
}
END_TEST

START_TEST(memory_that_ran_out_is_an_error_of_the_batch)
{
    struct lsm_batch *b = lsm_batch_new();
    int i;

    /* Regression: only operations with a copied value noticed. */
    for (i = 0; i < 3; i++) {
        b->bytes.failed = true; /* as a failed append leaves it */
        if (i == 0)
            lsm_batch_put(b, slice_str("k"), slice_str("x"));
        else if (i == 1)
            lsm_batch_put_ref(b, slice_str("k"), slice_str("x"));
        else
            lsm_batch_delete(b, slice_str("k"));
        ck_err(batch_encode(b), ENOMEM);
        lsm_batch_clear(b);
    }
    lsm_batch_free(b);
}
END_TEST

/* Does wire read to its end? */
static bool is_batch(struct slice wire)
{
    struct batch_reader r;
    struct batch_entry e;
    int rc;

    if (!batch_reader_init(&r, wire))
        return false;
    while ((rc = batch_reader_next(&r, &e)) > 0)
        ;
    ck_assert(rc == 0 || rc == -EUCLEAN);
    return rc == 0;
}

#define SEQ             "\1\0\0\0\0\0\0\0"
#define IS_BATCH(bytes) is_batch(slice_of(bytes, sizeof(bytes) - 1))

START_TEST(damaged_batches_are_refused)
{
    static const char whole[] = SEQ "\2\1\1k\1v\0\1k";
    struct batch_reader r;
    size_t n;

    ck_assert(IS_BATCH(SEQ "\0"));
    ck_assert(IS_BATCH(SEQ "\2\1\1k\1v\0\1k"));
    for (n = 0; n < sizeof(whole) - 1; n++)
        ck_assert(!is_batch(slice_of(whole, n)));
    ck_assert(!IS_BATCH(SEQ "\2\1\1k\1v\0\1k\0")); /* something behind it */
    ck_assert(!IS_BATCH(SEQ "\1\1\1k\1v\0\1k"));   /* fewer than there are */
    ck_assert(!IS_BATCH(SEQ "\1\4\1k\1v"));        /* no such type */
    ck_assert(!IS_BATCH(SEQ "\1\1\2k"));           /* a key that is not there */
    ck_assert(!IS_BATCH(SEQ "\1\1\1k\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"));
    ck_assert(!IS_BATCH(SEQ "\xff\xff\xff\xff\xff\xff\xff\xff\xff\1"));
    ck_assert(!batch_reader_init(&r, slice_of(SEQ "\3\0k", 11))); /* no room for 3 */
    /* sequences beyond what a store holds */
    ck_assert(IS_BATCH("\xfd\xff\xff\xff\xff\xff\x3f\0\2\0\1k\0\1l"));
    ck_assert(!IS_BATCH("\xfe\xff\xff\xff\xff\xff\x3f\0\2\0\1k\0\1l"));
    ck_assert(!IS_BATCH("\0\0\0\0\0\0\x40\0\1\0\1k"));
}
END_TEST

START_TEST(a_key_longer_than_keys_may_be_is_damage)
{
    size_t extra;

    for (extra = 0; extra < 2; extra++) {
        struct buf wire = {0};

        put_le64(&wire, 1);
        put_varint(&wire, 1);
        put_u8(&wire, IKEY_DELETE);
        put_varint(&wire, LSM_KEY_MAX + extra);
        memset(buf_reserve(&wire, LSM_KEY_MAX + extra), 'k', LSM_KEY_MAX + extra);
        wire.len += LSM_KEY_MAX + extra;
        ck_assert(is_batch(buf_slice(&wire)) == !extra);
        buf_release(&wire);
    }
}
END_TEST

static void random_batch(struct lsm_batch *b, uint64_t *r)
{
    struct entries es = entries_random(r, 1 + test_below(r, 12), 8, 300);
    size_t i;

    lsm_batch_clear(b);
    for (i = 0; i < es.n; i++) {
        struct slice key = ikey_user(buf_slice(&es.e[i].ikey));

        switch (test_below(r, 4)) {
        case 0:
            lsm_batch_delete(b, key);
            break;
        case 1:
            lsm_batch_delete_range(b, key, slice_str("zzz"));
            break;
        default:
            lsm_batch_put(b, key, buf_slice(&es.e[i].value));
            if (test_below(r, 3) == 0)
                batch_set_value(b, &b->ops[b->n - 1], BATCH_POINTER, key);
            break;
        }
    }
    ck_ok(batch_encode(b));
    batch_stamp(b, test_below(r, IKEY_SEQ_STORED - 20));
    entries_free(&es);
}

START_TEST(mutated_batches_do_no_harm)
{
    struct lsm_batch *b = lsm_batch_new();
    uint64_t r = test_seed();
    int round, i;

    for (round = 0; round < 300; round++) {
        size_t len;

        random_batch(b, &r);
        LLVMFuzzerTestOneInput(b->wire.data, b->wire.len);
        for (i = 0; i < 30; i++) {
            /* Memory of its own, so that ASan sees a step beyond its end. */
            uint8_t *copy = malloc(b->wire.len);
            unsigned n = (unsigned)test_below(&r, 4);

            memcpy(copy, b->wire.data, b->wire.len);
            for (; n; n--)
                copy[test_below(&r, b->wire.len)] ^= (uint8_t)(1 << test_below(&r, 8));
            len = test_below(&r, 4) ? b->wire.len : test_below(&r, b->wire.len);
            copy = realloc(copy, len + !len);
            LLVMFuzzerTestOneInput(copy, len);
            free(copy);
        }
    }
    lsm_batch_free(b);
}
END_TEST

TEST_MAIN("batch", TEST_CASE(golden_bytes_of_a_batch),
          TEST_CASE(a_batch_reads_as_it_was_filled),
          TEST_CASE(an_empty_range_is_not_deleted),
          TEST_CASE(an_error_of_a_batch_stays_until_it_is_cleared),
          TEST_CASE(memory_that_ran_out_is_an_error_of_the_batch),
          TEST_CASE(damaged_batches_are_refused),
          TEST_CASE(a_key_longer_than_keys_may_be_is_damage),
          TEST_CASE(mutated_batches_do_no_harm))
