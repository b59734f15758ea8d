/*
 * test_compress.c - lsm/compress.h and lsm/dict_train.h.
 */
#include "test.h"

#include <stdlib.h>

#include "lsm/coding.h"
#include "lsm/compress.h"
#include "lsm/dict_train.h"

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

START_TEST(a_piece_is_appended_and_a_raw_one_is_not)
{
    uint64_t r = test_seed();
    struct buf out = {0};
    uint8_t p[4096], back[4096];

    fill_random(p, sizeof(p), &r);
    buf_append(&out, "before", 6);
    ck_assert_int_eq(
        compress_piece(COMPRESS_LZ4, COMPRESS_LZ4, slice_of(p, sizeof(p)), &out),
        COMPRESS_RAW);
    ck_slice_str(buf_slice(&out), "before");
    fill_text(p, sizeof(p), &r);
    ck_assert_int_eq(
        compress_piece(COMPRESS_LZ4, COMPRESS_RAW, slice_of(p, sizeof(p)), &out),
        COMPRESS_LZ4);
    ck_slice_str(slice_of(out.data, 6), "before");
    ck_ok(decompress(COMPRESS_LZ4, slice_of(out.data + 6, out.len - 6), back, sizeof(p)));
    ck_assert_mem_eq(back, p, sizeof(p));
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

/* ---- dictionaries ---- */

enum { SAMPLES = 200, DICT = 4096 };

/* Lines that have words in common, and little in themselves. */
static size_t make_line(uint8_t *to, uint64_t *r)
{
    static const char *words[] = {"owner=nobody ",
                                  "permissions=rw-r--r-- ",
                                  "application/octet-stream ",
                                  "accessed=yesterday ",
                                  "checksum=",
                                  "compressible=perhaps "};
    size_t len = 0;
    int i;

    for (i = 0; i < 3; i++) {
        const char *w = words[test_below(r, 6)];

        memcpy(to + len, w, strlen(w));
        len += strlen(w);
        len += (size_t)sprintf((char *)to + len, "%llu ",
                               (unsigned long long)test_below(r, 1 << 20));
    }
    return len;
}

static void make_samples(struct buf *all, size_t len[SAMPLES], uint64_t *r)
{
    uint8_t line[300];
    int i;

    for (i = 0; i < SAMPLES; i++) {
        len[i] = make_line(line, r);
        buf_append(all, line, len[i]);
    }
}

static void train(struct buf *dict, uint64_t *r)
{
    struct buf samples = {0};
    size_t len[SAMPLES];

    make_samples(&samples, len, r);
    ck_ok(dict_train(buf_slice(&samples), len, SAMPLES, DICT, dict));
    buf_release(&samples);
}

START_TEST(a_dictionary_halves_what_is_short_and_alike)
{
    uint64_t r = test_seed();
    struct buf dict = {0}, out = {0};
    struct compress_dict *c;
    struct decompress_dict *d;
    size_t raw = 0, plain = 0, with = 0;
    uint8_t line[300], back[300];
    int i;

    train(&dict, &r);
    ck_assert_uint_gt(dict.len, 0);
    ck_assert_uint_le(dict.len, DICT);
    ck_assert(is_dict(buf_slice(&dict)));
    c = compress_dict_new(buf_slice(&dict));
    ck_assert_ptr_nonnull(c);
    ck_ok(decompress_dict_new(buf_slice(&dict), &d));
    ck_assert_uint_ge(decompress_dict_memory(d), dict.len);
    for (i = 0; i < 300; i++) {
        struct slice in = slice_of(line, make_line(line, &r));

        raw += in.len;
        plain += compress(COMPRESS_ZSTD, in, &out) == COMPRESS_RAW ? in.len : out.len;
        if (compress_with_dict(c, in, &out) == COMPRESS_RAW) {
            with += in.len; /* a short one with long numbers */
            continue;
        }
        with += out.len;
        ck_ok(decompress_with_dict(d, buf_slice(&out), back, in.len));
        ck_assert_mem_eq(back, in.data, in.len);
        ck_err(decompress_with_dict(d, buf_slice(&out), back, in.len - 1), EUCLEAN);
        ck_err(decompress(COMPRESS_ZSTD_DICT, buf_slice(&out), back, in.len), EUCLEAN);
    }
    ck_assert_uint_lt(with, plain / 2);
    ck_assert_uint_lt(with, raw / 2);
    compress_dict_free(c);
    /* The thread's compressor has forgotten it. */
    ck_assert_int_eq(compress(COMPRESS_ZSTD, buf_slice(&dict), &out), COMPRESS_ZSTD);
    decompress_dict_free(d);
    compress_dict_free(NULL);
    decompress_dict_free(NULL);
    buf_release(&dict);
    buf_release(&out);
}
END_TEST

START_TEST(random_bytes_stay_raw_with_a_dictionary)
{
    uint64_t r = test_seed();
    struct buf dict = {0}, out = {0};
    struct compress_dict *c;
    uint8_t p[4096];
    size_t n;

    train(&dict, &r);
    c = compress_dict_new(buf_slice(&dict));
    for (n = 0; n <= sizeof(p); n += 512) {
        fill_random(p, n, &r);
        ck_assert_int_eq(compress_with_dict(c, slice_of(p, n), &out), COMPRESS_RAW);
    }
    compress_dict_free(c);
    buf_release(&dict);
    buf_release(&out);
}
END_TEST

START_TEST(the_same_samples_give_the_same_dictionary)
{
    uint64_t seed = test_seed(), r = seed;
    struct buf a = {0}, b = {0};

    train(&a, &r);
    r = seed;
    train(&b, &r);
    ck_assert(slice_eq(buf_slice(&a), buf_slice(&b)));
    buf_release(&a);
    buf_release(&b);
}
END_TEST

START_TEST(samples_with_nothing_in_common_give_no_dictionary)
{
    uint64_t r = test_seed();
    size_t len[SAMPLES], n;
    struct buf dict = {0};
    uint8_t p[4000];

    fill_random(p, sizeof(p), &r);
    for (n = 0; n < SAMPLES; n++)
        len[n] = sizeof(p) / SAMPLES;
    ck_ok(dict_train(slice_of(p, sizeof(p)), len, SAMPLES, DICT, &dict));
    ck_assert_uint_eq(dict.len, 0);
    for (n = 0; n < 300; n++) { /* nor do few */
        len[0] = n;
        ck_ok(dict_train(slice_of(p, n), len, n ? 1 : 0, DICT, &dict));
        ck_assert_uint_eq(dict.len, 0);
    }
    buf_release(&dict);
}
END_TEST

/* Whatever it says, it is taken or refused, and harms nobody. */
START_TEST(damaged_dictionaries_do_no_harm)
{
    uint64_t r = test_seed();
    struct buf dict = {0}, out = {0};
    struct compress_dict *c;
    struct decompress_dict *d;
    uint8_t line[300], back[300];
    size_t n = make_line(line, &r);
    int i, taken = 0;

    train(&dict, &r);
    c = compress_dict_new(buf_slice(&dict));
    while (compress_with_dict(c, slice_of(line, n), &out) == COMPRESS_RAW)
        n = make_line(line, &r);
    for (i = 0; i < 2000; i++) {
        size_t len = test_below(&r, 4) ? dict.len : test_below(&r, dict.len);
        uint8_t *copy = malloc(len + 1);
        int rc;

        memcpy(copy, dict.data, len);
        if (len > 8)
            copy[8 + test_below(&r, test_below(&r, 2) ? len - 8 : 1 + len / 20)] ^=
                (uint8_t)(1 + test_below(&r, 255));
        rc = decompress_dict_new(slice_of(copy, len), &d);
        free(copy);
        ck_assert(rc == 0 || rc == -EUCLEAN);
        if (rc)
            continue;
        taken++;
        rc = decompress_with_dict(d, buf_slice(&out), back, n);
        ck_assert(rc == 0 || rc == -EUCLEAN);
        decompress_dict_free(d);
    }
    ck_assert_int_gt(taken, 0);
    ck_err(decompress_dict_new(slice_of(line, n), &d), EUCLEAN);
    buf_clear(&out);
    buf_append_slice(&out, buf_slice(&dict));
    while (out.len <= DICT_MAX)
        put_u8(&out, 'x');
    ck_err(decompress_dict_new(buf_slice(&out), &d), EUCLEAN);
    out.len = DICT_MAX;
    ck_ok(decompress_dict_new(buf_slice(&out), &d));
    decompress_dict_free(d);
    compress_dict_free(c);
    buf_release(&dict);
    buf_release(&out);
}
END_TEST

TEST_MAIN("compress", TEST_CASE(text_shrinks_and_comes_back),
          TEST_CASE(random_bytes_stay_raw),
          TEST_CASE(random_bytes_that_come_twice_shrink),
          TEST_CASE(a_piece_is_appended_and_a_raw_one_is_not),
          TEST_CASE(damaged_bytes_do_no_harm),
          TEST_CASE(a_dictionary_halves_what_is_short_and_alike),
          TEST_CASE(random_bytes_stay_raw_with_a_dictionary),
          TEST_CASE(the_same_samples_give_the_same_dictionary),
          TEST_CASE(samples_with_nothing_in_common_give_no_dictionary),
          TEST_CASE(damaged_dictionaries_do_no_harm))
