/*
 * test_vlog.c - lsm/vlog.h. Bytes: lsm/FORMAT.md, "Value log". Crashes, threads
 * and hostile bytes: test_vlog_crash.c.
 */
#include "env_count.h"
#include "env_mem.h"
#include "test.h"

#include <stdlib.h>

#include "lsm/vlog.h"
#include "lsm/vlog_impl.h"

static struct env *env;
static uint64_t numbers;
static uint64_t rng;

static uint64_t next_number(void *arg)
{
    ck_assert_ptr_eq(arg, &numbers);
    return ++numbers;
}

static struct vlog *open_vlog_in(struct env *in, uint64_t segment_bytes,
                                 enum compression compression)
{
    struct vlog_options o = {
        .env = in,
        .dir = "/d",
        .segment_bytes = segment_bytes,
        .compression = compression,
        .next_number = next_number,
        .arg = &numbers,
    };
    struct vlog *v;

    ck_ok(vlog_open(&o, &v));
    return v;
}

static struct vlog *open_vlog(uint64_t segment_bytes, enum compression compression)
{
    return open_vlog_in(env, segment_bytes, compression);
}

static struct vlog *begin(uint64_t segment_bytes, enum compression compression)
{
    rng = test_seed();
    env = env_mem_new(rng);
    ck_ok(env_mkdir(env, "/d"));
    ck_ok(env_sync_dir(env, "/"));
    test_log_capture();
    return open_vlog(segment_bytes, compression);
}

static void end(struct vlog *v)
{
    ck_ok(vlog_close(v));
    env_mem_free(env);
}

/* squeezable: how many of 4 frames compress well. */
static void make_value(struct buf *to, size_t len, unsigned squeezable)
{
    size_t i;

    buf_clear(to);
    for (i = 0; i < len; i++)
        put_u8(to, i / VLOG_FRAME % 4 < squeezable ? (uint8_t)(i / 100)
                                                   : (uint8_t)test_random(&rng));
}

static struct vptr append(struct vlog *v, struct slice value)
{
    struct vptr p;

    ck_ok(vlog_append(v, value, VLOG_AS_OPENED, &p));
    ck_assert_uint_eq(p.raw, value.len);
    ck_assert_uint_eq(p.off, 0);
    ck_assert_uint_eq(p.len, value.len);
    return p;
}

static void check_read(struct vlog *v, const struct vptr *p, struct slice value,
                       size_t off, size_t len)
{
    uint8_t *got = malloc(len + 1);

    got[len] = 0x5a;
    ck_ok(vlog_read(v, p, off, len, got));
    ck_assert(len == 0 || memcmp(got, value.data + p->off + off, len) == 0);
    ck_assert_uint_eq(got[len], 0x5a);
    free(got);
}

static int read_whole(struct vlog *v, const struct vptr *p)
{
    uint8_t *got = malloc(p->len + 1);
    int rc = vlog_read(v, p, 0, p->len, got);

    free(got);
    return rc;
}

static int delete_segment(struct vlog *v, uint64_t number)
{
    uint64_t size;
    int rc = vlog_forget_segment(v, number, &size);

    return rc ? rc : vlog_unlink_segment(v, number, size);
}

/* ---- pointers ---- */

static bool same_pointer(const struct vptr *a, const struct vptr *b)
{
    return a->segment == b->segment && a->offset == b->offset && a->stored == b->stored &&
           a->raw == b->raw && a->off == b->off && a->len == b->len &&
           a->shared == b->shared && a->chosen == b->chosen;
}

START_TEST(pointer_golden_bytes)
{
    static const uint8_t want[] = {7, 0x80, 0x80, 4, 0x9c, 0x20, 0x80, 0x20, 5, 0x80, 1};
    static const uint8_t want_shared[] = {7,    0x80, 0x80, 4,    0x9c, 0x20, 0x80,
                                          0xa0, 0x80, 0x80, 0x08, 5,    0x80, 1};
    static const uint8_t want_chosen[] = {7,    0x80, 0x80, 4,    0x9c, 0xa0, 0x80,
                                          0x80, 0x08, 0x80, 0x20, 5,    0x80, 1};
    struct vptr p = {7, 65536, 4124, 4096, 5, 128, false, false}, back = {0};
    struct buf b = {0};
    struct slice in;

    vptr_append(&b, &p);
    ck_assert_uint_eq(b.len, sizeof(want));
    ck_assert_mem_eq(b.data, want, sizeof(want));
    put_u8(&b, 99);
    in = buf_slice(&b);
    ck_assert(vptr_decode(&in, &back));
    ck_assert(same_pointer(&p, &back));
    ck_assert_uint_eq(in.len, 1);
    buf_clear(&b);
    p.shared = true;
    vptr_append(&b, &p);
    ck_assert_uint_eq(b.len, sizeof(want_shared));
    ck_assert_mem_eq(b.data, want_shared, sizeof(want_shared));
    in = buf_slice(&b);
    ck_assert(vptr_decode(&in, &back));
    ck_assert(same_pointer(&p, &back));
    buf_clear(&b);
    p.shared = false;
    p.chosen = true;
    vptr_append(&b, &p);
    ck_assert_uint_eq(b.len, sizeof(want_chosen));
    ck_assert_mem_eq(b.data, want_chosen, sizeof(want_chosen));
    in = buf_slice(&b);
    ck_assert(vptr_decode(&in, &back));
    ck_assert(same_pointer(&p, &back));
    buf_release(&b);
}
END_TEST

START_TEST(pointer_of_extremes_fits_and_comes_back)
{
    struct vptr p = {UINT64_MAX, UINT64_MAX, INT32_MAX, INT32_MAX,
                     1u << 30,   1u << 29,   true,      true};
    struct vptr back = {0};
    struct buf b = {0};
    struct slice in;
    size_t len;

    vptr_append(&b, &p);
    ck_assert_uint_eq(b.len, VPTR_MAX);
    in = buf_slice(&b);
    ck_assert(vptr_decode(&in, &back));
    ck_assert(same_pointer(&p, &back));
    for (len = 0; len < b.len; len++) {
        in = slice_of(b.data, len);
        ck_assert(!vptr_decode(&in, &back));
        ck_assert_uint_eq(in.len, len);
    }
    buf_release(&b);
}
END_TEST

START_TEST(pointer_outside_its_value_is_refused)
{
    static const struct vptr bad[] = {
        {1, 0, 100, 50, 51, 0, false, false},
        {1, 0, 100, 50, 0, 51, false, false},
        {1, 0, 100, 50, 50, 1, false, false},
        {1, 0, 100, 50, 2, UINT32_MAX, false, false},
        {1, 0, 100, 50, UINT32_MAX, 2, false, false},
    };
    struct vptr good = {1, 0, 100, 50, 50, 0, false, false}, p;
    struct buf b = {0};
    struct slice in;
    size_t i;

    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        buf_clear(&b);
        vptr_append(&b, &bad[i]);
        in = buf_slice(&b);
        ck_assert(!vptr_decode(&in, &p));
    }
    buf_clear(&b);
    vptr_append(&b, &good);
    in = buf_slice(&b);
    ck_assert(vptr_decode(&in, &p));
    buf_release(&b);
}
END_TEST

/* ---- what goes in comes out ---- */

static void check_value(struct vlog *v, size_t len, unsigned squeezable)
{
    struct buf value = {0};
    struct vptr p, part;
    unsigned i;

    make_value(&value, len, squeezable);
    p = append(v, buf_slice(&value));
    check_read(v, &p, buf_slice(&value), 0, len);
    ck_ok(vlog_check(v, &p, false));
    for (i = 0; i < 60; i++) {
        size_t off = (size_t)test_below(&rng, len + 1);
        size_t n = (size_t)test_below(&rng, len - off + 1);

        if (i % 3 == 0) { /* whole frames */
            off -= off % VLOG_FRAME;
            n = len - off < 2 * VLOG_FRAME ? len - off : 2 * VLOG_FRAME;
        }
        check_read(v, &p, buf_slice(&value), off, n);
        part = p;
        part.off = (uint32_t)off;
        part.len = (uint32_t)n;
        check_read(v, &part, buf_slice(&value), 0, n);
        check_read(v, &part, buf_slice(&value), n / 3, n / 2);
        ck_ok(vlog_check(v, &part, false));
        ck_err(vlog_read(v, &part, n + 1, 0, NULL), EINVAL);
        ck_err(vlog_read(v, &part, 1, n, NULL), EINVAL);
        ck_err(vlog_read(v, &part, 0, SIZE_MAX, NULL), EINVAL);
    }
    buf_release(&value);
}

static void check_values(enum compression compression)
{
    static const size_t sizes[] = {
        0,     1,      4096,   VLOG_FRAME - 1, VLOG_FRAME, VLOG_FRAME + 1,
        50000, 131072, 131073, 1000000,
    };
    struct vlog *v = begin(1 << 20, compression);
    size_t i;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        check_value(v, sizes[i], 0);
        check_value(v, sizes[i], 1);
        check_value(v, sizes[i], 2);
        check_value(v, sizes[i], 4);
    }
    end(v);
}

START_TEST(values_come_back_in_whole_and_in_parts)
{
    check_values(COMPRESS_RAW);
}
END_TEST

START_TEST(values_compressed_with_lz4_come_back)
{
    check_values(COMPRESS_LZ4);
}
END_TEST

START_TEST(values_compressed_with_zstd_come_back)
{
    check_values(COMPRESS_ZSTD);
}
END_TEST

static void check_stored(enum compression compression)
{
    struct vlog *v = begin(1 << 30, compression);
    struct buf value = {0};
    struct vptr p;

    make_value(&value, 8 * VLOG_FRAME, 4);
    p = append(v, buf_slice(&value));
    ck_assert_uint_lt(p.stored, p.raw / 4);
    make_value(&value, 8 * VLOG_FRAME, 2);
    p = append(v, buf_slice(&value));
    ck_assert_uint_gt(p.stored, p.raw / 2);
    ck_assert_uint_lt(p.stored, p.raw * 3 / 4);
    make_value(&value, 8 * VLOG_FRAME, 0);
    p = append(v, buf_slice(&value));
    ck_assert_uint_eq(p.stored, p.raw + 12 + 8 * 12);
    buf_release(&value);
    end(v);
}

START_TEST(frames_that_shrink_are_compressed_and_random_ones_stay_raw)
{
    check_stored(COMPRESS_LZ4);
    check_stored(COMPRESS_ZSTD);
}
END_TEST

/* Reads of the env until a read of the value is done. */
static unsigned count_reads(struct vlog *v, const struct vptr *p, size_t off, size_t len)
{
    uint8_t *to = malloc(len);
    unsigned n;
    int rc;

    for (n = 0, rc = -EIO; rc == -EIO; n++) {
        env_mem_fail_at(env, n + 1, EIO, ENV_MEM_READ, ENV_MEM_ONCE);
        rc = vlog_read(v, p, off, len, to);
    }
    ck_ok(rc);
    env_mem_fail_at(env, 0, 0, 0, ENV_MEM_ONCE);
    free(to);
    return n - 1;
}

START_TEST(reads_are_few)
{
    struct vlog *v = begin(1 << 30, COMPRESS_LZ4);
    struct buf value = {0};
    struct vptr p;

    make_value(&value, 4096, 0);
    p = append(v, buf_slice(&value));
    ck_assert_uint_eq(count_reads(v, &p, 0, 4096), 1);
    ck_assert_uint_eq(count_reads(v, &p, 100, 20), 1);
    make_value(&value, 131072, 4);
    p = append(v, buf_slice(&value));
    ck_assert_uint_eq(count_reads(v, &p, 0, 131072), 1);
    ck_assert_uint_eq(count_reads(v, &p, 20000, 4096), 1);
    ck_assert_uint_eq(count_reads(v, &p, 100000, 4096), 2);
    make_value(&value, 131072, 0);
    p = append(v, buf_slice(&value));
    ck_assert_uint_eq(count_reads(v, &p, 0, 131072), 2); /* frames, header: no copy */
    ck_assert_uint_eq(count_reads(v, &p, 4096, 4096), 1);
    buf_release(&value);
    end(v);
}
END_TEST

/* A log with one value of 128 KiB, of which reads and hints are counted. */
static struct vlog *begin_counted(struct env_count *counts, struct buf *value,
                                  struct vptr *p)
{
    struct vlog *v = begin(1 << 30, COMPRESS_LZ4);

    ck_ok(vlog_close(v));
    env_count_init(counts, env);
    v = open_vlog_in(&counts->base, 1 << 30, COMPRESS_LZ4);
    make_value(value, 131072, 4);
    *p = append(v, buf_slice(value));
    return v;
}

START_TEST(frames_far_from_their_header_are_asked_for_before_it_is_read)
{
    struct env_count counts;
    struct buf value = {0};
    uint8_t to[4096];
    struct vptr p;
    struct vlog *v;

    v = begin_counted(&counts, &value, &p);
    ck_ok(vlog_read(v, &p, 20000, sizeof(to), to));
    ck_assert_uint_eq(counts.readaheads, 0);
    ck_assert_uint_eq(counts.preads, 1);
    ck_ok(vlog_read(v, &p, 100000, sizeof(to), to));
    ck_assert_uint_eq(counts.readaheads, 1);
    ck_assert_uint_eq(counts.preads, 3);
    ck_assert_int_eq(memcmp(to, value.data + 100000, sizeof(to)), 0);
    buf_release(&value);
    end(v);
}
END_TEST

START_TEST(a_hint_for_what_is_not_there_is_none)
{
    struct env_count counts;
    struct buf value = {0};
    struct vptr p;
    struct vlog *v;

    v = begin_counted(&counts, &value, &p);
    vlog_fetch(v, &p);
    ck_assert_uint_eq(counts.readaheads, 1);
    p.offset += 1 << 20;
    vlog_fetch(v, &p);
    p.segment += 1000;
    vlog_fetch(v, &p);
    ck_assert_uint_eq(counts.readaheads, 1);
    ck_assert_uint_eq(counts.preads, 0);
    buf_release(&value);
    end(v);
}
END_TEST

START_TEST(value_over_a_gibibyte_is_refused)
{
    struct vlog *v = begin(1 << 30, COMPRESS_RAW);
    struct vptr p;

    ck_err(vlog_append(v, slice_of("", RECORD_RAW_MAX + 1ull), VLOG_AS_OPENED, &p),
           EINVAL);
    ck_assert_uint_eq(vlog_written(v), 0);
    end(v);
}
END_TEST

/* Never changed: segments on disk hold these bytes. */
START_TEST(record_golden_bytes)
{
    static const char want[] =
        /* checksum, raw length; of the frame: checksum, stored length; the frame */
        "55cda8dfda2eedee"
        "04000000"
        "8a13c5222e5efb1b"
        "04000000"
        "73696c74"
        "8385496e70631c0c"
        "04000000"
        "8a13c5222e5efb1b"
        "04000000"
        "73696c74"
        "f426c288c5cca81c"
        "00000000";
    struct buf got = {0};
    char hex[512];
    struct vlog *v;
    size_t i;

    numbers = 6;
    v = begin(1 << 20, COMPRESS_LZ4);
    append(v, slice_str("silt"));
    append(v, slice_str("silt"));
    append(v, slice_str(""));
    ck_ok(vlog_seal(v));
    ck_ok(env_mem_read(env, "/d/000007.vlog", &got));
    ck_assert_uint_eq(got.len, 28 + 28 + 12);
    for (i = 0; i < got.len; i++)
        snprintf(hex + 2 * i, 3, "%02x", got.data[i]);
    ck_assert_str_eq(hex, want);
    buf_release(&got);
    end(v);
}
END_TEST

/* ---- damage ---- */

START_TEST(flipped_byte_is_found_by_what_reads_it)
{
    struct vlog *v = begin(1 << 30, COMPRESS_LZ4);
    struct buf value = {0};
    struct vptr p;
    uint32_t header, at;
    uint8_t byte;

    make_value(&value, 3 * VLOG_FRAME, 2); /* the third frame is stored as it is */
    p = append(v, slice_str("before"));
    p = append(v, buf_slice(&value));
    header = (uint32_t)record_header_bytes(p.raw);
    for (at = 0; at < p.stored; at += at < header + 1000 ? 1 : 97) {
        bool in_last = at >= p.stored - VLOG_FRAME;

        ck_ok(env_mem_flip(env, "/d/000001.vlog", p.offset + at, 0x10));
        ck_err(read_whole(v, &p), EUCLEAN);
        ck_err(vlog_check(v, &p, true), EUCLEAN);
        if (at < header || in_last)
            ck_err(vlog_read(v, &p, 3 * VLOG_FRAME - 1, 1, &byte), EUCLEAN);
        else
            ck_ok(vlog_read(v, &p, 3 * VLOG_FRAME - 1, 1, &byte));
        ck_ok(env_mem_flip(env, "/d/000001.vlog", p.offset + at, 0x10));
    }
    check_read(v, &p, buf_slice(&value), 0, value.len);
    ck_assert(test_log_has("/d/000001.vlog: damaged at offset 30: value of 49152 bytes"));
    buf_release(&value);
    end(v);
}
END_TEST

START_TEST(check_is_quiet_when_asked)
{
    struct vlog *v = begin(1 << 30, COMPRESS_RAW);
    struct vptr p = append(v, slice_str("value"));

    ck_ok(env_mem_flip(env, "/d/000001.vlog", 3, 1));
    ck_err(vlog_check(v, &p, true), EUCLEAN);
    ck_assert(!test_log_has("damaged"));
    ck_err(vlog_check(v, &p, false), EUCLEAN);
    ck_assert(test_log_has("/d/000001.vlog: damaged at offset 0"));
    end(v);
}
END_TEST

START_TEST(record_in_another_place_is_not_taken_for_ours)
{
    struct vlog *v = begin(1 << 30, COMPRESS_RAW);
    struct vptr a = append(v, slice_str("same")), b = append(v, slice_str("same")), p;
    struct buf segment = {0};

    ck_ok(env_mem_read(env, "/d/000001.vlog", &segment));
    memcpy(segment.data + b.offset, segment.data + a.offset, a.stored);
    ck_ok(env_mem_write(env, "/d/000009.vlog", buf_slice(&segment)));
    ck_ok(vlog_add_segment(v, 9, segment.len));
    p = a;
    p.segment = 9;
    ck_err(read_whole(v, &p), EUCLEAN);
    p.offset = b.offset;
    ck_err(read_whole(v, &p), EUCLEAN);
    ck_ok(read_whole(v, &a));
    buf_release(&segment);
    end(v);
}
END_TEST

START_TEST(missing_bytes_are_damage)
{
    struct vlog *v = begin(1 << 30, COMPRESS_RAW);
    struct buf value = {0}, segment = {0};
    struct vptr p;
    size_t cut;

    make_value(&value, 3 * VLOG_FRAME, 0);
    p = append(v, buf_slice(&value));
    ck_ok(env_mem_read(env, "/d/000001.vlog", &segment));
    for (cut = 0; cut < segment.len; cut += 1 + cut / 7) {
        ck_ok(env_mem_write(env, "/d/000009.vlog", slice_of(segment.data, cut)));
        ck_ok(vlog_add_segment(v, 9, segment.len)); /* as the manifest has it */
        p.segment = 9;
        ck_err(read_whole(v, &p), EUCLEAN);
        ck_err(vlog_check(v, &p, true), EUCLEAN);
        ck_ok(delete_segment(v, 9));
    }
    p.segment = 77;
    ck_err(read_whole(v, &p), EUCLEAN);
    ck_assert(test_log_has("/d/000077.vlog"));
    ck_ok(vlog_add_segment(v, 78, 1000)); /* listed, and no file */
    p.segment = 78;
    p.stored = p.raw = p.len = 0;
    ck_err(vlog_check(v, &p, true), EUCLEAN);
    buf_release(&value);
    buf_release(&segment);
    end(v);
}
END_TEST

/* ---- segments ---- */

static void check_segments(struct vlog *v, unsigned n, uint64_t sum)
{
    struct vlog_segment *list;
    uint64_t bytes = 0, size;
    char path[40];
    size_t got, i;

    ck_ok(vlog_segments(v, &list, &got));
    ck_assert_uint_eq(got, n);
    for (i = 0; i < got; i++) {
        ck_assert(i == 0 || list[i].number > list[i - 1].number);
        ck_assert(list[i].active == (i == got - 1));
        snprintf(path, sizeof(path), "/d/%06d.vlog", (int)list[i].number);
        ck_ok(env_stat(env, path, &size));
        ck_assert(size == list[i].size || (list[i].active && size > list[i].size));
        bytes += list[i].size;
    }
    ck_assert_uint_eq(bytes, sum);
    ck_assert_uint_eq(vlog_written(v), sum);
    free(list);
}

START_TEST(full_segments_are_followed_by_new_ones)
{
    struct vlog *v = begin(10000, COMPRESS_RAW);
    struct buf value = {0};
    struct vptr p[40];
    unsigned i;

    make_value(&value, 4076, 0); /* 4100 stored: two in a segment */
    for (i = 0; i < 40; i++) {
        value.data[0] = (uint8_t)i;
        p[i] = append(v, buf_slice(&value));
        ck_assert_uint_eq(p[i].segment, 1 + i / 2);
        ck_assert_uint_eq(p[i].offset, i % 2 * 4100);
    }
    check_segments(v, 20, 40 * 4100);
    for (i = 0; i < 40; i++) {
        value.data[0] = (uint8_t)i;
        check_read(v, &p[i], buf_slice(&value), 0, value.len);
    }
    make_value(&value, 50000, 0); /* larger than a segment */
    p[0] = append(v, buf_slice(&value));
    check_read(v, &p[0], buf_slice(&value), 0, value.len);
    ck_assert_uint_eq(p[0].offset, 0);
    buf_release(&value);
    end(v);
}
END_TEST

START_TEST(log_is_read_again_after_a_reopen)
{
    struct vlog *v = begin(10000, COMPRESS_RAW);
    struct vptr p = append(v, slice_str("kept")), q;
    uint64_t size;

    ck_ok(vlog_close(v));
    v = open_vlog(10000, COMPRESS_RAW);
    ck_ok(env_stat(env, "/d/000001.vlog", &size));
    ck_ok(vlog_add_segment(v, 1, size));
    ck_err(vlog_add_segment(v, 1, size), EEXIST);
    check_read(v, &p, slice_str("kept"), 0, 4);
    q = append(v, slice_str("more"));
    ck_assert_uint_eq(q.segment, 2);
    ck_assert_uint_eq(vlog_written(v), q.stored);
    end(v);
}
END_TEST

/* Of any sizes, in segments as they fit; the same bytes as one by one. */
START_TEST(some_values_are_appended_as_each_would_be)
{
    struct vlog *v = begin(100000, COMPRESS_LZ4);
    struct buf value[VLOG_SOME] = {{0}};
    static const int kinds[] = {VLOG_AS_OPENED, COMPRESS_RAW, COMPRESS_LZ4,
                                COMPRESS_ZSTD};
    struct slice in[VLOG_SOME];
    struct vptr p[VLOG_SOME];
    int kind[VLOG_SOME];
    unsigned round, i, n;

    for (round = 0; round < 40; round++) {
        uint64_t written = vlog_written(v), stored = 0;

        n = 1 + (unsigned)test_below(&rng, VLOG_SOME);
        for (i = 0; i < n; i++) {
            make_value(&value[i], i == 4 ? 0 : test_below(&rng, i % 3 ? 9000 : 90000),
                       (unsigned)test_below(&rng, 5));
            in[i] = buf_slice(&value[i]);
            kind[i] = kinds[test_below(&rng, 4)];
        }
        ck_ok(vlog_append_some(v, in, kind, n, p));
        for (i = 0; i < n; i++) {
            ck_assert_int_eq(p[i].chosen, kind[i] != VLOG_AS_OPENED);
            ck_assert_uint_eq(p[i].raw, in[i].len);
            if (i && p[i].segment == p[i - 1].segment)
                ck_assert_uint_eq(p[i].offset, p[i - 1].offset + p[i - 1].stored);
            else if (i)
                ck_assert_uint_eq(p[i].offset, 0);
            check_read(v, &p[i], in[i], 0, in[i].len);
            stored += p[i].stored;
        }
        ck_assert_uint_eq(vlog_written(v) - written, stored);
    }
    env_mem_set_space(env, env_mem_used(env) + 10);
    for (i = 0; i < VLOG_SOME; i++) {
        make_value(&value[i], 5000, 0);
        in[i] = buf_slice(&value[i]);
        kind[i] = VLOG_AS_OPENED;
    }
    ck_err(vlog_append_some(v, in, kind, VLOG_SOME, p), ENOSPC);
    env_mem_set_space(env, UINT64_MAX);
    ck_ok(vlog_append_some(v, in, kind, VLOG_SOME, p));
    for (i = 0; i < VLOG_SOME; i++) {
        check_read(v, &p[i], in[i], 0, in[i].len);
        buf_release(&value[i]);
    }
    end(v);
}
END_TEST

START_TEST(seal_ends_the_active_segment)
{
    struct vlog *v = begin(1 << 20, COMPRESS_RAW);
    struct vlog_segment *list;
    struct vptr p;
    size_t n;

    ck_ok(vlog_seal(v));
    p = append(v, slice_str("a"));
    ck_err(delete_segment(v, p.segment), EBUSY);
    ck_ok(vlog_seal(v));
    ck_assert_uint_eq(vlog_unsynced(v), 0);
    ck_ok(vlog_segments(v, &list, &n));
    ck_assert_uint_eq(n, 1);
    ck_assert(!list[0].active);
    free(list);
    ck_assert_uint_eq(append(v, slice_str("b")).segment, 2);
    end(v);
}
END_TEST

START_TEST(deleted_segment_is_gone)
{
    struct vlog *v = begin(1 << 20, COMPRESS_RAW);
    struct vptr p = append(v, slice_str("a"));
    uint64_t size;

    ck_err(delete_segment(v, 99), ENOENT);
    ck_ok(vlog_seal(v));
    ck_ok(read_whole(v, &p));
    ck_ok(delete_segment(v, p.segment));
    ck_err(delete_segment(v, p.segment), ENOENT);
    ck_err(env_stat(env, "/d/000001.vlog", &size), ENOENT);
    ck_err(read_whole(v, &p), EUCLEAN);
    ck_assert_uint_eq(env_mem_open_files(env), 0);
    end(v);
}
END_TEST

START_TEST(unsynced_full_segment_can_be_deleted)
{
    struct vlog *v = begin(10, COMPRESS_RAW);
    struct vptr p = append(v, slice_str("first"));

    append(v, slice_str("second"));
    ck_ok(delete_segment(v, p.segment));
    ck_assert_uint_eq(env_mem_open_files(env), 1);
    ck_ok(vlog_sync(v));
    ck_assert_uint_eq(vlog_unsynced(v), 0);
    end(v);
}
END_TEST

START_TEST(moved_values_go_to_segments_of_their_own)
{
    struct vlog *v = begin(1 << 20, COMPRESS_RAW);
    struct buf value = {0};
    struct vlog_segment *list;
    struct vptr fresh, moved;
    size_t n, i;

    ck_assert_uint_eq(vlog_newest_moved(v), 0);
    make_value(&value, 1000, 0);
    fresh = append(v, buf_slice(&value));
    ck_ok(vlog_append_moved(v, buf_slice(&value), VLOG_AS_OPENED, &moved));
    ck_assert_uint_ne(fresh.segment, moved.segment);
    ck_assert_uint_eq(append(v, buf_slice(&value)).segment, fresh.segment);
    ck_assert_uint_eq(vlog_newest_moved(v), moved.segment);
    check_read(v, &moved, buf_slice(&value), 0, 1000);
    ck_assert_uint_eq(vlog_bytes(v), vlog_written(v));
    /* Neither sync is the other's. */
    ck_ok(vlog_sync_moved(v));
    ck_assert_uint_eq(vlog_unsynced(v), 2ull * fresh.stored);
    ck_ok(vlog_sync(v));
    ck_assert_uint_eq(vlog_unsynced(v), 0);
    ck_ok(vlog_seal(v));
    ck_ok(vlog_segments(v, &list, &n));
    ck_assert_uint_eq(n, 2);
    for (i = 0; i < n; i++) {
        ck_assert(list[i].durable && !list[i].active);
        ck_assert_int_eq(list[i].moved, list[i].number == moved.segment);
    }
    free(list);
    buf_release(&value);
    end(v);
}
END_TEST

/* What moves is p; it reads as before, from segments of what moved. */
static struct vptr move(struct vlog *v, const struct vptr *p, struct slice value)
{
    struct buf scratch = {0};
    struct vptr to;

    ck_ok(vlog_move(v, p, &scratch, &to));
    ck_assert_uint_eq(to.segment, vlog_newest_moved(v));
    ck_assert_uint_eq(to.len, p->len);
    ck_assert_int_eq(to.chosen, p->chosen);
    ck_ok(vlog_check(v, &to, false));
    check_read(v, &to, slice_of(value.data + p->off, p->len), 0, p->len);
    buf_release(&scratch);
    return to;
}

static void ck_same_frames(const struct vptr *a, const struct vptr *b)
{
    size_t header = (size_t)record_header_bytes(a->raw), n = a->stored - header, got;
    uint8_t *bytes = malloc(2 * n);
    const struct vptr *p[] = {a, b};

    ck_assert_uint_eq(a->stored, b->stored);
    for (unsigned i = 0; i < 2; i++) {
        struct env_file *f;
        char path[32];

        snprintf(path, sizeof(path), "/d/%06u.vlog", (unsigned)p[i]->segment);
        ck_ok(env_open(env, path, ENV_READ, 0, &f));
        ck_ok(env_file_pread(f, p[i]->offset + header, bytes + i * n, n, &got));
        ck_assert_uint_eq(got, n);
        ck_ok(env_file_close(f));
    }
    ck_assert_mem_eq(bytes, bytes + n, n);
    free(bytes);
}

START_TEST(a_whole_record_moves_as_it_is_and_a_part_by_itself)
{
    struct vlog *v = begin(1 << 20, COMPRESS_LZ4);
    int zstd = COMPRESS_ZSTD;
    struct buf value = {0};
    struct vptr p, to;

    for (unsigned squeezable = 0; squeezable <= 4; squeezable++) {
        make_value(&value, 5 * VLOG_FRAME + 77, squeezable);
        p = append(v, buf_slice(&value));
        to = move(v, &p, buf_slice(&value));
        ck_same_frames(&p, &to);
        to = move(v, &to, buf_slice(&value)); /* out of where it is now */
        ck_same_frames(&p, &to);
        p.off = VLOG_FRAME;
        p.len = 100;
        to = move(v, &p, buf_slice(&value));
        ck_assert_uint_eq(to.raw, 100);
        ck_ok(vlog_append(v, buf_slice(&value), zstd, &p));
        to = move(v, &p, buf_slice(&value));
        ck_same_frames(&p, &to);
    }
    p = append(v, slice_str(""));
    move(v, &p, slice_str(""));
    buf_release(&value);
    end(v);
}
END_TEST

START_TEST(what_moves_is_compressed_as_new_values_are)
{
    static const enum compression kinds[] = {COMPRESS_RAW, COMPRESS_LZ4, COMPRESS_ZSTD};
    struct vlog *v = begin(1 << 20, COMPRESS_RAW);
    struct buf value = {0};
    unsigned i, k;

    make_value(&value, 3 * VLOG_FRAME, 4);
    for (i = 0; i < 3; i++) {
        for (k = 0; k < 3; k++) {
            struct vptr p, to, fresh;

            vlog_set_compression(v, kinds[i]);
            p = append(v, buf_slice(&value));
            vlog_set_compression(v, kinds[k]);
            to = move(v, &p, buf_slice(&value));
            fresh = append(v, buf_slice(&value));
            ck_assert_uint_eq(to.stored, fresh.stored);
        }
    }
    buf_release(&value);
    end(v);
}
END_TEST

START_TEST(what_is_damaged_does_not_move)
{
    struct vlog *v = begin(1 << 20, COMPRESS_LZ4);
    struct buf value = {0}, scratch = {0};
    struct vptr p, to;
    uint32_t at;

    make_value(&value, 3 * VLOG_FRAME, 2);
    p = append(v, buf_slice(&value));
    ck_ok(vlog_sync(v));
    for (at = 0; at < p.stored; at += 97) {
        ck_ok(env_mem_flip(env, "/d/000001.vlog", p.offset + at, 0x10));
        ck_err(vlog_move(v, &p, &scratch, &to), ENODATA);
        ck_ok(env_mem_flip(env, "/d/000001.vlog", p.offset + at, 0x10));
    }
    ck_assert(test_log_has("/d/000001.vlog: damaged at offset 0"));
    p.offset = 5;
    ck_err(vlog_move(v, &p, &scratch, &to), ENODATA);
    p.segment = 77;
    ck_err(vlog_move(v, &p, &scratch, &to), ENODATA);
    ck_assert_uint_eq(vlog_newest_moved(v), 0);
    buf_release(&value);
    buf_release(&scratch);
    end(v);
}
END_TEST

START_TEST(few_segments_are_open_at_a_time)
{
    struct vlog *v = begin(10, COMPRESS_RAW);
    struct vptr p[300];
    unsigned i;

    for (i = 0; i < 300; i++) {
        p[i] = append(v, slice_of(&i, sizeof(i)));
        if (i % 10 == 0)
            ck_ok(vlog_sync(v));
    }
    ck_ok(vlog_sync(v));
    for (i = 0; i < 3000; i++) {
        unsigned k = (unsigned)test_below(&rng, 300), got;

        ck_ok(vlog_read(v, &p[k], 0, sizeof(got), &got));
        ck_assert_uint_eq(got, k);
        ck_assert_uint_le(env_mem_open_files(env), 65);
    }
    ck_assert_uint_ge(env_mem_open_files(env), 64);
    end(v);
}
END_TEST

/* ---- faults ---- */

START_TEST(failed_append_leaves_no_trace)
{
    struct vlog *v = begin(1 << 20, COMPRESS_RAW);
    struct vptr a = append(v, slice_str("first")), b, p;
    struct buf value = {0};
    uint64_t size;

    make_value(&value, 5000, 0);
    env_mem_set_space(env, 1000);
    ck_err(vlog_append(v, buf_slice(&value), VLOG_AS_OPENED, &p), ENOSPC);
    ck_assert_uint_eq(vlog_written(v), a.stored);
    b = append(v, slice_str("second"));
    ck_assert_uint_eq(b.offset, a.offset + a.stored);
    check_read(v, &a, slice_str("first"), 0, 5);
    check_read(v, &b, slice_str("second"), 0, 6);
    ck_ok(vlog_seal(v)); /* cuts off what the failed append left */
    ck_ok(env_stat(env, "/d/000001.vlog", &size));
    ck_assert_uint_eq(size, a.stored + b.stored);
    env_mem_set_space(env, UINT64_MAX);
    p = append(v, buf_slice(&value));
    check_read(v, &p, buf_slice(&value), 0, 5000);
    buf_release(&value);
    end(v);
}
END_TEST

START_TEST(append_fails_when_no_segment_can_be_made)
{
    struct vlog *v = begin(1 << 20, COMPRESS_RAW);
    struct vptr p;

    env_mem_fail_at(env, 1, ENOSPC, ENV_MEM_OPEN, ENV_MEM_ONCE);
    ck_err(vlog_append(v, slice_str("a"), VLOG_AS_OPENED, &p), ENOSPC);
    p = append(v, slice_str("b"));
    check_read(v, &p, slice_str("b"), 0, 1);
    end(v);
}
END_TEST

START_TEST(failed_sync_ends_writing_but_not_reading)
{
    struct vlog *v = begin(1 << 20, COMPRESS_RAW);
    struct vptr p = append(v, slice_str("a")), q;

    env_mem_fail_at(env, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
    ck_err(vlog_sync(v), EIO);
    ck_assert_uint_eq(vlog_unsynced(v), p.stored);
    ck_err(vlog_sync(v), EIO);
    ck_err(vlog_append(v, slice_str("b"), VLOG_AS_OPENED, &q), EIO);
    check_read(v, &p, slice_str("a"), 0, 1);
    ck_err(vlog_close(v), EIO);
    ck_ok(vlog_close(NULL));
    env_mem_free(env);
}
END_TEST

START_TEST(read_error_is_not_damage)
{
    struct vlog *v = begin(1 << 20, COMPRESS_RAW);
    struct vptr p = append(v, slice_str("a"));

    env_mem_fail_at(env, 1, EIO, ENV_MEM_READ, ENV_MEM_FOREVER);
    ck_err(read_whole(v, &p), EIO);
    ck_err(vlog_check(v, &p, true), EIO);
    env_mem_fail_at(env, 0, 0, 0, ENV_MEM_ONCE);
    ck_ok(vlog_close(v));
    v = open_vlog(1 << 20, COMPRESS_RAW);
    ck_ok(vlog_add_segment(v, 1, p.stored));
    env_mem_fail_at(env, 1, EMFILE, ENV_MEM_OPEN_READ, ENV_MEM_ONCE);
    ck_err(read_whole(v, &p), EMFILE);
    ck_ok(read_whole(v, &p));
    end(v);
}
END_TEST

TEST_MAIN("vlog", TEST_CASE(pointer_golden_bytes),
          TEST_CASE(pointer_of_extremes_fits_and_comes_back),
          TEST_CASE(pointer_outside_its_value_is_refused),
          TEST_CASE(values_come_back_in_whole_and_in_parts),
          TEST_CASE(values_compressed_with_lz4_come_back),
          TEST_CASE(values_compressed_with_zstd_come_back),
          TEST_CASE(frames_that_shrink_are_compressed_and_random_ones_stay_raw),
          TEST_CASE(reads_are_few),
          TEST_CASE(frames_far_from_their_header_are_asked_for_before_it_is_read),
          TEST_CASE(a_hint_for_what_is_not_there_is_none),
          TEST_CASE(value_over_a_gibibyte_is_refused), TEST_CASE(record_golden_bytes),
          TEST_CASE(flipped_byte_is_found_by_what_reads_it),
          TEST_CASE(check_is_quiet_when_asked),
          TEST_CASE(record_in_another_place_is_not_taken_for_ours),
          TEST_CASE(missing_bytes_are_damage),
          TEST_CASE(full_segments_are_followed_by_new_ones),
          TEST_CASE(log_is_read_again_after_a_reopen),
          TEST_CASE(seal_ends_the_active_segment), TEST_CASE(deleted_segment_is_gone),
          TEST_CASE(unsynced_full_segment_can_be_deleted),
          TEST_CASE(moved_values_go_to_segments_of_their_own),
          TEST_CASE(a_whole_record_moves_as_it_is_and_a_part_by_itself),
          TEST_CASE(what_moves_is_compressed_as_new_values_are),
          TEST_CASE(what_is_damaged_does_not_move),
          TEST_CASE(few_segments_are_open_at_a_time),
          TEST_CASE(failed_append_leaves_no_trace),
          TEST_CASE(some_values_are_appended_as_each_would_be),
          TEST_CASE(append_fails_when_no_segment_can_be_made),
          TEST_CASE(failed_sync_ends_writing_but_not_reading),
          TEST_CASE(read_error_is_not_damage))
