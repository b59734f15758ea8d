/*
 * test_compress.c - lsm/compress.h.
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/compress.h"

static void fill_random(uint8_t *p, size_t n, uint64_t *state)
{
    size_t i;

    for (i = 0; i < n; i++)
        p[i] = (uint8_t)test_random(state);
}

/* A few words again and again: what compresses. */
static void fill_text(uint8_t *p, size_t n, uint64_t *state)
{
    static const char *words[] = {"extent ", "dentry ", "inode ", "super ", "link\n"};
    size_t at = 0;

    while (at < n) {
        const char *w = words[test_below(state, 5)];
        size_t len = strlen(w) < n - at ? strlen(w) : n - at;

        memcpy(p + at, w, len);
        at += len;
    }
}

static void check_round_trip(enum compression want, struct slice in, bool must_shrink)
{
    struct buf out = {0};
    enum compression did = compress(want, in, &out);
    uint8_t *back = malloc(in.len + 1);

    ck_assert_int_eq(did, must_shrink ? want : COMPRESS_RAW);
    if (did == COMPRESS_RAW) {
        ck_assert_uint_eq(out.len, 0);
        ck_ok(decompress(did, in, back, in.len));
    } else {
        ck_assert_uint_le(out.len, in.len - in.len / 8);
        ck_ok(decompress(did, buf_slice(&out), back, in.len));
        ck_err(decompress(did, buf_slice(&out), back, in.len - 1), EUCLEAN);
        ck_err(decompress(did, buf_slice(&out), back, in.len + 1), EUCLEAN);
    }
    ck_assert(slice_eq(in, slice_of(back, in.len)) || did != COMPRESS_RAW);
    ck_ok(decompress(did, did == COMPRESS_RAW ? in : buf_slice(&out), back, in.len));
    ck_assert(slice_eq(in, slice_of(back, in.len)));
    free(back);
    buf_release(&out);
}

START_TEST(text_shrinks_and_comes_back)
{
    static const size_t sizes[] = {300, 1000, 4096, 16384, 1 << 20};
    uint64_t r = test_seed();
    size_t i;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *p = malloc(sizes[i]);

        fill_text(p, sizes[i], &r);
        check_round_trip(COMPRESS_LZ4, slice_of(p, sizes[i]), true);
        check_round_trip(COMPRESS_ZSTD, slice_of(p, sizes[i]), true);
        check_round_trip(COMPRESS_RAW, slice_of(p, sizes[i]), false);
        free(p);
    }
}
END_TEST

START_TEST(random_bytes_stay_raw)
{
    static const size_t sizes[] = {0, 1, 64, 1000, 4096, 16384, 1 << 20};
    uint64_t r = test_seed();
    size_t i;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *p = malloc(sizes[i] + 1);

        fill_random(p, sizes[i], &r);
        check_round_trip(COMPRESS_LZ4, slice_of(p, sizes[i]), false);
        check_round_trip(COMPRESS_ZSTD, slice_of(p, sizes[i]), false);
        free(p);
    }
}
END_TEST

/* Its bytes are as evenly distributed as random ones: counting is not enough. */
START_TEST(random_bytes_that_come_twice_shrink)
{
    enum { N = 16384, HALF = 50 };
    uint64_t r = test_seed();
    uint8_t *p = malloc(N);
    size_t i;

    for (i = 0; i + 2 * HALF <= N; i += 2 * HALF) {
        fill_random(p + i, HALF, &r);
        memcpy(p + i + HALF, p + i, HALF);
    }
    memset(p + i, 0, N - i);
    check_round_trip(COMPRESS_LZ4, slice_of(p, N), true);
    check_round_trip(COMPRESS_ZSTD, slice_of(p, N), true);
    free(p);
}
END_TEST

START_TEST(raw_leaves_what_out_holds)
{
    uint64_t r = test_seed();
    struct buf out = {0};
    uint8_t p[4096];

    fill_random(p, sizeof(p), &r);
    buf_append(&out, "before", 6);
    ck_assert_int_eq(compress(COMPRESS_LZ4, slice_of(p, sizeof(p)), &out), COMPRESS_RAW);
    ck_slice_str(buf_slice(&out), "before");
    fill_text(p, sizeof(p), &r);
    ck_assert_int_eq(compress(COMPRESS_LZ4, slice_of(p, sizeof(p)), &out), COMPRESS_LZ4);
    ck_assert_uint_lt(out.len, sizeof(p));
    buf_release(&out);
}
END_TEST

/* Under the sanitizers: no damage reads or writes out of bounds. */
START_TEST(damaged_bytes_do_no_harm)
{
    static const enum compression both[] = {COMPRESS_LZ4, COMPRESS_ZSTD};
    uint64_t r = test_seed();
    uint8_t in[4096], back[4096];
    struct buf out = {0};
    int i, k;

    fill_text(in, sizeof(in), &r);
    for (k = 0; k < 2; k++) {
        ck_assert_int_eq(compress(both[k], slice_of(in, sizeof(in)), &out), both[k]);
        for (i = 0; i < 3000; i++) {
            uint8_t *copy = malloc(out.len);
            size_t len = out.len;
            int rc;

            memcpy(copy, out.data, len);
            copy[test_below(&r, len)] ^= (uint8_t)(1 + test_below(&r, 255));
            len -= test_below(&r, 4) ? 0 : test_below(&r, len);
            rc = decompress(both[k], slice_of(copy, len), back, sizeof(back));
            ck_assert(rc == 0 || rc == -EUCLEAN);
            free(copy);
        }
    }
    ck_err(decompress((enum compression)7, slice_of(in, 9), back, 9), EUCLEAN);
    buf_release(&out);
}
END_TEST

TEST_MAIN("compress", TEST_CASE(text_shrinks_and_comes_back),
          TEST_CASE(random_bytes_stay_raw),
          TEST_CASE(random_bytes_that_come_twice_shrink),
          TEST_CASE(raw_leaves_what_out_holds), TEST_CASE(damaged_bytes_do_no_harm))
