/*
 * test_wal.c - lsm/wal.h. Bytes: lsm/FORMAT.md, "WAL". Crashes: test_wal_crash.c.
 */
#include "env_mem.h"
#include "test.h"

#include <stdlib.h>

#include "lsm/wal.h"
#include "lsm/wal_format.h"

static struct env *env;

static void begin(void)
{
    env = env_mem_new(test_seed());
    test_log_capture();
}

static struct wal *create(const char *path, uint64_t number, uint64_t preallocate,
                          bool reuse)
{
    struct wal_create c = {
        .env = env,
        .path = path,
        .number = number,
        .prev_number = number - 1,
        .prev_length = number * 1000,
        .preallocate = preallocate,
        .reuse = reuse,
    };
    struct wal *w;

    ck_ok(wal_create(&c, &w));
    return w;
}

static uint64_t append(struct wal *w, struct slice payload)
{
    uint64_t end;

    ck_ok(wal_append(w, &payload, 1, &end));
    ck_assert_uint_eq(end, wal_length(w));
    return end;
}

/* ---- replay into memory ---- */

struct replayed {
    struct wal_replay r;
    struct buf all; /* put_bytes of each payload */
    unsigned n;
    unsigned stop_at; /* the payload that fn refuses, from 1; 0: none */
    int stop_with;
    uint64_t end;
};

static int collect(void *arg, struct slice payload, uint64_t end)
{
    struct replayed *to = arg;

    if (to->n + 1 == to->stop_at)
        return to->stop_with;
    ck_assert_uint_gt(end, to->end);
    to->end = end;
    put_bytes(&to->all, payload);
    to->n++;
    return 0;
}

static int replay(const char *path, uint64_t number, struct replayed *to)
{
    to->r.number = number;
    to->end = 0;
    to->n = 0;
    buf_clear(&to->all);
    return wal_replay(env, path, &to->r, collect, to);
}

/* The n-th payload, from 0. */
static struct slice payload_at(const struct replayed *from, unsigned n)
{
    struct slice in = buf_slice(&from->all), one = {0};

    do
        ck_assert(get_bytes(&in, &one));
    while (n--);
    return one;
}

/* ---- what goes in comes out ---- */

START_TEST(payloads_of_all_sizes_come_back_in_order)
{
    static const size_t sizes[] = {0, 1, 100, 4071, 4072, 4073, 70000, 3 << 20, 0, 5};
    enum { N = sizeof(sizes) / sizeof(sizes[0]) };
    uint8_t *bytes = malloc(4 << 20);
    struct replayed got = {0};
    uint64_t rng, end = 0;
    struct wal *w;
    unsigned i;
    size_t k;

    begin();
    rng = test_seed();
    for (k = 0; k < 4 << 20; k++)
        bytes[k] = (uint8_t)test_random(&rng);
    w = create("/7.log", 7, 8 << 20, false);
    for (i = 0; i < N; i++)
        end = append(w, slice_of(bytes + i, sizes[i]));
    ck_ok(wal_close(w, false));
    ck_ok(replay("/7.log", 7, &got));
    ck_assert_uint_eq(got.n, N);
    for (i = 0; i < N; i++)
        ck_assert(slice_eq(payload_at(&got, i), slice_of(bytes + i, sizes[i])));
    ck_assert(got.r.have_header && !got.r.torn);
    ck_assert_uint_eq(got.r.prev_number, 6);
    ck_assert_uint_eq(got.r.prev_length, 7000);
    ck_assert_uint_eq(got.r.length, end);
    ck_assert_uint_eq(got.end, end);
    ck_assert_uint_eq(got.r.torn_bytes, 0);
    buf_release(&got.all);
    free(bytes);
    env_mem_free(env);
}
END_TEST

static void check_parts(unsigned n, size_t each)
{
    struct slice *parts = malloc(n * sizeof(*parts));
    struct replayed got = {0};
    struct buf want = {0};
    struct wal *w;
    uint64_t end;
    unsigned i;

    for (i = 0; i < n * each; i++)
        put_u8(&want, (uint8_t)(i * 31 >> 3));
    for (i = 0; i < n; i++)
        parts[i] = slice_of(want.data + i * each, each);
    w = create("/8.log", 8, 0, false);
    ck_ok(wal_append(w, parts, n, &end));
    ck_ok(wal_close(w, true));
    ck_ok(replay("/8.log", 8, &got));
    ck_assert_uint_eq(got.n, 1);
    ck_assert(slice_eq(payload_at(&got, 0), buf_slice(&want)));
    ck_ok(env_unlink(env, "/8.log"));
    buf_release(&got.all);
    buf_release(&want);
    free(parts);
}

START_TEST(parts_are_joined)
{
    begin();
    check_parts(3, 10);
    check_parts(3, 5000);
    check_parts(255, 100);
    check_parts(256, 100);
    check_parts(2000, 100);
    check_parts(2000, 1);
    env_mem_free(env);
}
END_TEST

START_TEST(payload_over_a_gibibyte_is_refused)
{
    struct slice parts[2] = {slice_of("", WAL_PAYLOAD_MAX), slice_of("x", 1)};
    struct wal *w;
    uint64_t end, before;

    begin();
    w = create("/1.log", 1, 0, false);
    before = wal_length(w);
    ck_err(wal_append(w, parts, 2, &end), EINVAL);
    ck_assert_uint_eq(wal_length(w), before);
    ck_ok(wal_close(w, false));
    env_mem_free(env);
}
END_TEST

/* Never changed: logs on disk hold these bytes. */
START_TEST(golden_bytes)
{
    static const char want[] =
        /* checksum, mark, length, synced offset */
        "efb6b12684a9f378"
        "3332471b"
        "28000000"
        "0000000000000000"
        /* magic, version, flags, number, previous number and length */
        "73696c7477616c0a"
        "01000000"
        "00000000"
        "0700000000000000"
        "0600000000000000"
        "581b000000000000"
        "22d4e1e73bd42758"
        "4de086d5"
        "04000000"
        "4000000000000000"
        "73696c74";
    struct buf got = {0};
    struct wal *w;
    char hex[512];
    size_t i;

    begin();
    w = create("/7.log", 7, 0, false);
    ck_ok(wal_sync(w));
    append(w, slice_str("silt"));
    ck_ok(wal_close(w, false));
    ck_ok(env_mem_read(env, "/7.log", &got));
    ck_assert_uint_eq(got.len, 92);
    for (i = 0; i < got.len; i++)
        snprintf(hex + 2 * i, 3, "%02x", got.data[i]);
    ck_assert_str_eq(hex, want);
    buf_release(&got);
    env_mem_free(env);
}
END_TEST

START_TEST(newer_format_is_refused)
{
    struct replayed got = {0};
    struct buf log = {0};

    begin();
    ck_ok(wal_close(create("/7.log", 7, 0, false), false));
    ck_ok(env_mem_read(env, "/7.log", &log));
    store_le32(log.data + WAL_FRAME_HEADER + WAL_AT_VERSION, WAL_VERSION + 1);
    store_le64(log.data, wal_checksum(log.data, log.len, 7, 0));
    ck_ok(env_mem_write(env, "/7.log", buf_slice(&log)));
    ck_err(replay("/7.log", 7, &got), EPROTONOSUPPORT);
    buf_release(&log);
    env_mem_free(env);
}
END_TEST

START_TEST(log_without_frames_or_header_is_empty)
{
    static const uint8_t zeros[5000];
    struct replayed got = {0};

    begin();
    ck_err(replay("/7.log", 7, &got), ENOENT);
    ck_ok(env_mem_write(env, "/7.log", slice_of(zeros, 0)));
    ck_ok(replay("/7.log", 7, &got));
    ck_assert(!got.r.have_header && !got.r.torn);
    ck_ok(env_mem_write(env, "/7.log", slice_of(zeros, sizeof(zeros))));
    ck_ok(replay("/7.log", 7, &got));
    ck_assert(!got.r.have_header && !got.r.torn);
    ck_assert_uint_eq(got.r.length, 0);
    ck_ok(wal_close(create("/8.log", 8, 1000, false), false));
    ck_ok(replay("/8.log", 8, &got));
    ck_assert(got.r.have_header && !got.r.torn);
    ck_assert_uint_eq(got.n, 0);
    ck_assert_uint_eq(got.r.length, 64);
    env_mem_free(env);
}
END_TEST

START_TEST(close_with_trim_gives_preallocated_space_back)
{
    uint64_t size, end;
    struct wal *w;

    begin();
    w = create("/7.log", 7, 100000, false);
    end = append(w, slice_str("x"));
    ck_ok(wal_close(w, false));
    ck_ok(env_stat(env, "/7.log", &size));
    ck_assert_uint_eq(size, 100000);
    w = create("/7.log", 8, 100000, true);
    end = append(w, slice_str("yy"));
    ck_ok(wal_close(w, true));
    ck_ok(env_stat(env, "/7.log", &size));
    ck_assert_uint_eq(size, end);
    ck_ok(wal_close(NULL, true));
    env_mem_free(env);
}
END_TEST

/* ---- stopping ---- */

START_TEST(callback_ends_the_replay)
{
    struct replayed got = {.stop_at = 3, .stop_with = -ENOMEM};
    uint64_t end2 = 0, end;
    struct wal *w;
    unsigned i;

    begin();
    w = create("/7.log", 7, 0, false);
    for (i = 1; i <= 5; i++) {
        end = append(w, slice_str("payload"));
        end2 = i == 2 ? end : end2;
    }
    ck_err(replay("/7.log", 7, &got), ENOMEM);
    got.stop_with = WAL_STOP;
    ck_ok(replay("/7.log", 7, &got));
    ck_assert_uint_eq(got.n, 2);
    ck_assert_uint_eq(got.r.length, end2);
    ck_assert(got.r.torn);
    ck_assert_uint_eq(got.r.torn_bytes, wal_length(w) - end2);
    /* What is refused was synced, as the next frame tells: that is damage. */
    ck_ok(wal_sync(w));
    append(w, slice_str("witness"));
    ck_err(replay("/7.log", 7, &got), EUCLEAN);
    ck_assert(test_log_has("/7.log: damaged at offset 126"));
    ck_ok(wal_close(w, false));
    buf_release(&got.all);
    env_mem_free(env);
}
END_TEST

/* ---- torn and damaged ---- */

/*
 * Six frames, the first three synced as the others tell; lengths[i]: where frame
 * i ends, lengths[0] the header.
 */
static void make_log(const char *path, uint64_t number, uint64_t preallocate, bool reuse,
                     uint64_t lengths[7])
{
    struct wal *w = create(path, number, preallocate, reuse);
    unsigned i;
    char text[40];

    lengths[0] = wal_length(w);
    for (i = 1; i <= 6; i++) {
        snprintf(text, sizeof(text), "payload %u of log %llu", i,
                 (unsigned long long)number);
        lengths[i] = append(w, slice_str(text));
        if (i == 3)
            ck_ok(wal_sync(w));
    }
    ck_ok(wal_close(w, false));
}

static void check_prefix(const struct replayed *got, unsigned n, uint64_t number)
{
    unsigned i;
    char text[40];

    ck_assert_uint_eq(got->n, n);
    for (i = 0; i < n; i++) {
        snprintf(text, sizeof(text), "payload %u of log %llu", i + 1,
                 (unsigned long long)number);
        ck_slice_str(payload_at(got, i), text);
    }
}

/* How many payloads are whole in the first len bytes. */
static unsigned whole(const uint64_t lengths[7], uint64_t len)
{
    unsigned n = 0;

    while (n < 6 && lengths[n + 1] <= len)
        n++;
    return n;
}

static bool is_end(const uint64_t lengths[7], uint64_t len)
{
    unsigned i;

    for (i = 0; i < 7; i++)
        if (lengths[i] == len)
            return true;
    return len == 0;
}

/* From the middle of a frame, at `at`, to its end. */
static bool is_zero_to(const struct buf *log, uint64_t at, const uint64_t lengths[7])
{
    uint64_t end = log->len;
    unsigned i;

    if (is_end(lengths, at))
        return false;
    for (i = 7; i-- > 0;)
        if (lengths[i] > at)
            end = lengths[i];
    for (; at < end; at++)
        if (log->data[at])
            return false;
    return true;
}

/* Cut after every byte; then `fill` bytes of zeros. */
static void check_cuts(size_t fill)
{
    struct replayed got = {0};
    uint64_t lengths[7], len, good;
    struct buf log = {0}, cut = {0};
    size_t i;

    begin();
    make_log("/7.log", 7, 0, false, lengths);
    ck_ok(env_mem_read(env, "/7.log", &log));
    for (len = 0; len <= log.len; len++) {
        buf_assign(&cut, slice_of(log.data, (size_t)len));
        for (i = 0; i < fill; i++)
            put_u8(&cut, 0);
        if (fill && is_zero_to(&log, len, lengths))
            continue; /* what is cut off is zeros too */
        ck_ok(env_mem_write(env, "/7.log", buf_slice(&cut)));
        ck_ok(replay("/7.log", 7, &got));
        check_prefix(&got, whole(lengths, len), 7);
        good = len < lengths[0] ? 0 : lengths[got.n];
        ck_assert_uint_eq(got.r.length, good);
        ck_assert(got.r.have_header == (len >= lengths[0]));
        if (is_end(lengths, len))
            ck_assert(!got.r.torn);
        else if (len >= lengths[0]) /* a header cut short may be of an old log */
            ck_assert(got.r.torn);
        ck_assert(got.r.torn || got.r.torn_bytes == 0);
    }
    buf_release(&log);
    buf_release(&cut);
    buf_release(&got.all);
    env_mem_free(env);
}

START_TEST(torn_tail_at_every_byte_is_dropped)
{
    check_cuts(0);
}
END_TEST

START_TEST(torn_tail_before_preallocated_zeros_is_dropped)
{
    check_cuts(300);
}
END_TEST

/* The frame, from 0 for the header, that holds the byte. */
static unsigned frame_of(const uint64_t lengths[7], uint64_t at)
{
    unsigned i = 0;

    while (at >= lengths[i])
        i++;
    return i;
}

static void check_flips(const char *path, uint64_t number, const uint64_t lengths[7],
                        bool recycled)
{
    struct replayed got = {0};
    uint64_t at, rng = test_seed();

    for (at = 0; at < lengths[6]; at++) {
        uint8_t mask = (uint8_t)(1 + test_below(&rng, 255));
        unsigned frame = frame_of(lengths, at);
        int rc;

        ck_ok(env_mem_flip(env, path, at, mask));
        rc = replay(path, number, &got);
        if (frame <= 3) {
            ck_assert_int_eq(rc, -EUCLEAN);
            ck_assert_uint_eq(got.r.length, frame ? lengths[frame - 1] : 0);
        } else {
            ck_assert_int_eq(rc, 0);
            check_prefix(&got, frame - 1, number);
            ck_assert_uint_eq(got.r.synced, lengths[3]);
            /* A bad mark may be an old log's byte when nothing follows. */
            if (!recycled || frame < 6 || at - lengths[5] < WAL_AT_MARK ||
                at - lengths[5] >= WAL_AT_LENGTH)
                ck_assert(got.r.torn && got.r.torn_bytes);
        }
        ck_ok(env_mem_flip(env, path, at, mask));
    }
    ck_ok(replay(path, number, &got));
    check_prefix(&got, 6, number);
    ck_assert(!got.r.torn);
    buf_release(&got.all);
}

START_TEST(flipped_byte_is_damage_where_synced_and_torn_where_not)
{
    uint64_t lengths[7];

    begin();
    make_log("/7.log", 7, 0, false, lengths);
    check_flips("/7.log", 7, lengths, false);
    ck_assert(test_log_has("/7.log: damaged at offset 0"));
    make_log("/8.log", 8, 5000, false, lengths);
    check_flips("/8.log", 8, lengths, false);
    make_log("/8.log", 9, 5000, true, lengths);
    check_flips("/8.log", 9, lengths, true);
    env_mem_free(env);
}
END_TEST

START_TEST(lost_sectors_before_a_synced_frame_are_damage)
{
    uint64_t lengths[7];
    struct replayed got = {0};
    struct buf log = {0};

    begin();
    make_log("/7.log", 7, 5000, false, lengths);
    ck_ok(env_mem_read(env, "/7.log", &log));
    memset(log.data, 0, lengths[2]); /* the header too */
    ck_ok(env_mem_write(env, "/7.log", buf_slice(&log)));
    ck_err(replay("/7.log", 7, &got), EUCLEAN);
    ck_assert_uint_eq(got.r.synced, lengths[3]);
    buf_release(&log);
    env_mem_free(env);
}
END_TEST

/* ---- recycling ---- */

START_TEST(old_frames_of_a_recycled_log_are_not_replayed)
{
    struct replayed got = {0};
    uint64_t lengths[7];
    struct wal *w;
    unsigned i;

    begin();
    make_log("/7.log", 7, 20000, false, lengths);
    ck_ok(env_rename(env, "/7.log", "/9.log"));
    /* Not begun yet: an old log under a new name. */
    ck_ok(replay("/9.log", 9, &got));
    ck_assert(!got.r.have_header && !got.r.torn && got.n == 0);
    w = create("/9.log", 9, 20000, true);
    ck_ok(replay("/9.log", 9, &got));
    ck_assert(got.r.have_header && !got.r.torn && got.n == 0);
    /* Frames of the same lengths: the old ones stay whole behind the new. */
    for (i = 1; i <= 3; i++) {
        char text[40];

        snprintf(text, sizeof(text), "payload %u of log 9", i);
        append(w, slice_str(text));
        ck_ok(replay("/9.log", 9, &got));
        check_prefix(&got, i, 9);
        ck_assert(!got.r.torn && got.r.torn_bytes == 0);
        ck_assert_uint_eq(got.r.length, wal_length(w));
    }
    ck_ok(wal_close(w, false));
    buf_release(&got.all);
    env_mem_free(env);
}
END_TEST

START_TEST(torn_frame_of_a_recycled_log_is_seen)
{
    struct replayed got = {0};
    uint64_t lengths[7];
    struct buf old = {0}, log = {0};
    size_t cut;

    begin();
    make_log("/7.log", 7, 2000, false, lengths);
    ck_ok(env_mem_read(env, "/7.log", &old));
    make_log("/7.log", 8, 2000, true, lengths);
    /* Of the last frame the first `cut` bytes were written, and the header. */
    for (cut = WAL_FRAME_HEADER; cut < lengths[6] - lengths[5]; cut++) {
        ck_ok(env_mem_read(env, "/7.log", &log));
        memcpy(log.data + lengths[5] + cut, old.data + lengths[5] + cut,
               log.len - lengths[5] - cut);
        if (memcmp(log.data + lengths[5], old.data + lengths[5], cut) == 0)
            continue;
        ck_ok(env_mem_write(env, "/8.log", buf_slice(&log)));
        ck_ok(replay("/8.log", 8, &got));
        if (got.n == 6)
            continue; /* what is missing is the same in the old frame */
        check_prefix(&got, 5, 8);
        ck_assert(got.r.torn);
        ck_assert_uint_eq(got.r.torn_bytes, lengths[6] - lengths[5]);
    }
    buf_release(&old);
    buf_release(&log);
    buf_release(&got.all);
    env_mem_free(env);
}
END_TEST

/* ---- faults ---- */

START_TEST(failed_append_appends_nothing)
{
    struct replayed got = {0};
    uint64_t end = 0, before;
    struct slice part;
    struct wal *w;
    char text[40];
    unsigned i, n = 0;

    begin();
    w = create("/7.log", 7, 300, false);
    for (i = 1; i <= 50; i++) {
        before = wal_length(w);
        snprintf(text, sizeof(text), "payload %u of log 7", n + 1);
        part = slice_str(text);
        if (i % 3) {
            end = append(w, part);
            n++;
            continue;
        }
        env_mem_fail_at(env, 1, ENOSPC, ENV_MEM_APPEND, ENV_MEM_ONCE);
        ck_err(wal_append(w, &part, 1, &end), ENOSPC);
        ck_assert_uint_eq(wal_length(w), before);
    }
    ck_ok(wal_close(w, false));
    ck_ok(replay("/7.log", 7, &got));
    check_prefix(&got, n, 7);
    buf_release(&got.all);
    env_mem_free(env);
}
END_TEST

START_TEST(failed_sync_stays_failed)
{
    struct slice part = slice_str("x");
    struct wal *w;
    uint64_t end;

    begin();
    w = create("/7.log", 7, 0, false);
    env_mem_fail_at(env, 1, EIO, ENV_MEM_SYNC, ENV_MEM_ONCE);
    ck_err(wal_sync(w), EIO);
    ck_err(wal_sync(w), EIO);
    ck_err(wal_append(w, &part, 1, &end), EIO);
    ck_err(wal_close(w, false), EIO);
    env_mem_free(env);
}
END_TEST

START_TEST(failed_create_leaves_no_file)
{
    struct wal_create c = {.path = "/7.log", .number = 7, .preallocate = 1000};
    struct wal *w;
    uint64_t size;

    begin();
    c.env = env;
    env_mem_fail_at(env, 1, EIO, ENV_MEM_APPEND, ENV_MEM_ONCE);
    ck_err(wal_create(&c, &w), EIO);
    ck_err(env_stat(env, "/7.log", &size), ENOENT);
    env_mem_set_space(env, 100);
    ck_err(wal_create(&c, &w), ENOSPC);
    ck_err(env_stat(env, "/7.log", &size), ENOENT);
    ck_assert_uint_eq(env_mem_open_files(env), 0);
    env_mem_free(env);
}
END_TEST

START_TEST(read_error_is_not_damage)
{
    struct replayed got = {0};
    uint64_t lengths[7];

    begin();
    make_log("/7.log", 7, 0, false, lengths);
    env_mem_fail_at(env, 1, EIO, ENV_MEM_READ, ENV_MEM_ONCE);
    ck_err(replay("/7.log", 7, &got), EIO);
    ck_assert_uint_eq(env_mem_open_files(env), 0);
    env_mem_free(env);
}
END_TEST

TEST_MAIN("wal", TEST_CASE(payloads_of_all_sizes_come_back_in_order),
          TEST_CASE(parts_are_joined), TEST_CASE(payload_over_a_gibibyte_is_refused),
          TEST_CASE(golden_bytes), TEST_CASE(newer_format_is_refused),
          TEST_CASE(log_without_frames_or_header_is_empty),
          TEST_CASE(close_with_trim_gives_preallocated_space_back),
          TEST_CASE(callback_ends_the_replay),
          TEST_CASE(torn_tail_at_every_byte_is_dropped),
          TEST_CASE(torn_tail_before_preallocated_zeros_is_dropped),
          TEST_CASE(flipped_byte_is_damage_where_synced_and_torn_where_not),
          TEST_CASE(lost_sectors_before_a_synced_frame_are_damage),
          TEST_CASE(old_frames_of_a_recycled_log_are_not_replayed),
          TEST_CASE(torn_frame_of_a_recycled_log_is_seen),
          TEST_CASE(failed_append_appends_nothing), TEST_CASE(failed_sync_stays_failed),
          TEST_CASE(failed_create_leaves_no_file), TEST_CASE(read_error_is_not_damage))
