/*
 * test_base.c - lsm/coding.h, buf.h, names.h, lock.h, err.h.
 */
#include "test.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsm/names.h"

/* ---- coding ---- */

START_TEST(fixed_integers_have_their_byte_order)
{
    static const uint8_t want[] = {
        0x34, 0x12, 0x78, 0x56, 0x34, 0x12, 0x08, 0x07, 0x06, 0x05, 0x04,
        0x03, 0x02, 0x01, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08,
    };
    uint8_t p[22];

    store_le16(p, 0x1234);
    store_le32(p + 2, 0x12345678);
    store_le64(p + 6, 0x0102030405060708);
    store_be64(p + 14, 0x0102030405060708);
    ck_assert_mem_eq(p, want, sizeof(want));
    ck_assert_uint_eq(load_le16(p), 0x1234);
    ck_assert_uint_eq(load_le32(p + 2), 0x12345678);
    ck_assert_uint_eq(load_le64(p + 6), 0x0102030405060708);
    ck_assert_uint_eq(load_be64(p + 14), 0x0102030405060708);
}
END_TEST

START_TEST(big_endian_order_is_numeric_order)
{
    uint64_t rng = test_seed(), a, b;
    uint8_t pa[8], pb[8];
    unsigned i;

    for (i = 0; i < 1000; i++) {
        a = test_random(&rng) >> test_below(&rng, 64);
        b = test_random(&rng) >> test_below(&rng, 64);
        store_be64(pa, a);
        store_be64(pb, b);
        ck_assert_int_eq((memcmp(pa, pb, 8) > 0) - (memcmp(pa, pb, 8) < 0),
                         (a > b) - (a < b));
    }
}
END_TEST

START_TEST(varint_golden_bytes)
{
    static const struct {
        uint64_t v;
        const char *bytes;
        size_t len;
    } want[] = {
        {0, "\x00", 1},
        {127, "\x7f", 1},
        {128, "\x80\x01", 2},
        {300, "\xac\x02", 2},
        {UINT32_MAX, "\xff\xff\xff\xff\x0f", 5},
        {UINT64_MAX, "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},
    };
    uint8_t p[VARINT_MAX];
    size_t i;

    for (i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
        ck_assert_uint_eq(store_varint(p, want[i].v), want[i].len);
        ck_assert_uint_eq(varint_size(want[i].v), want[i].len);
        ck_assert_mem_eq(p, want[i].bytes, want[i].len);
    }
}
END_TEST

START_TEST(varints_come_back_and_cut_ones_do_not)
{
    uint64_t rng = test_seed(), v, back;
    uint8_t p[VARINT_MAX];
    unsigned i;
    size_t n, cut;

    for (i = 0; i < 10000; i++) {
        struct slice in;

        v = test_random(&rng) >> test_below(&rng, 64);
        n = store_varint(p, v);
        in = slice_of(p, n);
        ck_assert(get_varint(&in, &back));
        ck_assert_uint_eq(back, v);
        ck_assert_uint_eq(in.len, 0);
        for (cut = 0; cut < n; cut++) {
            in = slice_of(p, cut);
            ck_assert(!get_varint(&in, &back));
            ck_assert_uint_eq(in.len, cut);
        }
    }
}
END_TEST

START_TEST(varint_of_more_bits_than_fit_is_refused)
{
    static const uint8_t more_than_64[] = {0xff, 0xff, 0xff, 0xff, 0xff,
                                           0xff, 0xff, 0xff, 0xff, 0x02};
    static const uint8_t endless[] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0x01};
    static const uint8_t more_than_32[] = {0xff, 0xff, 0xff, 0xff, 0x1f};
    struct slice in = slice_of(more_than_64, sizeof(more_than_64));
    uint64_t v;
    uint32_t v32;

    ck_assert(!get_varint(&in, &v));
    in = slice_of(endless, sizeof(endless));
    ck_assert(!get_varint(&in, &v));
    in = slice_of(more_than_32, sizeof(more_than_32));
    ck_assert(!get_varint32(&in, &v32));
    ck_assert_uint_eq(in.len, 5);
    ck_assert(get_varint(&in, &v));
    ck_assert_uint_eq(v, 0x1ffffffff);
}
END_TEST

static void put_one_of_each(struct buf *b)
{
    put_u8(b, 1);
    put_le32(b, 2);
    put_le64(b, 3);
    put_be64(b, 4);
    put_varint(b, 500);
    put_varint(b, 600);
    put_bytes(b, slice_str("six"));
    put_bytes(b, slice_str(""));
    buf_append(b, "raw", 3);
}

static bool get_one_of_each(struct slice *in)
{
    struct slice s;
    uint8_t u8;
    uint32_t u32;
    uint64_t u64;

    return get_u8(in, &u8) && u8 == 1 && get_le32(in, &u32) && u32 == 2 &&
           get_le64(in, &u64) && u64 == 3 && get_be64(in, &u64) && u64 == 4 &&
           get_varint(in, &u64) && u64 == 500 && get_varint32(in, &u32) && u32 == 600 &&
           get_bytes(in, &s) && slice_eq(s, slice_str("six")) && get_bytes(in, &s) &&
           s.len == 0 && get_raw(in, 3, &s) && slice_eq(s, slice_str("raw"));
}

START_TEST(decoders_take_what_encoders_put_and_stop_at_the_end)
{
    struct buf b = {0};
    struct slice in;
    size_t len;

    put_one_of_each(&b);
    ck_ok(buf_error(&b));
    in = buf_slice(&b);
    ck_assert(get_one_of_each(&in));
    ck_assert_uint_eq(in.len, 0);
    for (len = 0; len < b.len; len++) {
        uint8_t *copy = malloc(len + !len);

        memcpy(copy, b.data, len);
        in = slice_of(copy, len);
        ck_assert(!get_one_of_each(&in));
        free(copy);
    }
    buf_release(&b);
}
END_TEST

START_TEST(bytes_longer_than_what_is_there_leave_the_slice)
{
    static const uint8_t p[] = {5, 'a', 'b'};
    static const uint8_t huge[] = {0xff, 0xff, 0xff, 0xff, 0xff,
                                   0xff, 0xff, 0xff, 0xff, 1};
    struct slice in = slice_of(p, sizeof(p)), s;

    ck_assert(!get_bytes(&in, &s));
    ck_assert_uint_eq(in.len, 3);
    in = slice_of(huge, sizeof(huge));
    ck_assert(!get_bytes(&in, &s));
    ck_assert_uint_eq(in.len, 10);
}
END_TEST

/* ---- slices and buffers ---- */

START_TEST(slices_have_memcmp_order)
{
    ck_assert_int_eq(slice_cmp(slice_str("a"), slice_str("a")), 0);
    ck_assert_int_lt(slice_cmp(slice_str("a"), slice_str("ab")), 0);
    ck_assert_int_gt(slice_cmp(slice_str("b"), slice_str("ab")), 0);
    ck_assert_int_lt(slice_cmp(slice_str("\x7f"), slice_str("\x80")), 0);
    ck_assert_int_lt(slice_cmp(slice_of(NULL, 0), slice_str("a")), 0);
    ck_assert(slice_eq(slice_of(NULL, 0), slice_str("")));
    ck_assert(slice_has_prefix(slice_str("abc"), slice_str("ab")));
    ck_assert(slice_has_prefix(slice_str("abc"), slice_of(NULL, 0)));
    ck_assert(!slice_has_prefix(slice_str("ab"), slice_str("abc")));
    ck_assert(!slice_has_prefix(slice_str("xabc"), slice_str("abc")));
}
END_TEST

START_TEST(buffer_grows_and_keeps_its_content)
{
    struct buf b = {0};
    unsigned i;

    for (i = 0; i < 100000; i++)
        put_le32(&b, i);
    ck_ok(buf_error(&b));
    ck_assert_uint_eq(b.len, 400000);
    for (i = 0; i < 100000; i++)
        ck_assert_uint_eq(load_le32(b.data + 4 * (size_t)i), i);
    buf_clear(&b);
    ck_assert_uint_eq(b.len, 0);
    buf_assign(&b, slice_str("new"));
    ck_slice_str(buf_slice(&b), "new");
    buf_release(&b);
    ck_assert(!b.data && !b.cap);
}
END_TEST

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
/* With little memory to be had, as the sanitizers cannot. */
START_TEST(buffer_out_of_memory_stays_failed_until_cleared)
{
    struct rlimit limit;
    struct buf b = {0};

    buf_append(&b, "x", 1);
    ck_assert(getrlimit(RLIMIT_AS, &limit) == 0);
    limit.rlim_cur = 256 << 20;
    ck_assert(setrlimit(RLIMIT_AS, &limit) == 0);
    ck_assert(!buf_reserve(&b, 512 << 20));
    ck_err(buf_error(&b), ENOMEM);
    buf_append(&b, "y", 1);
    ck_err(buf_error(&b), ENOMEM);
    buf_clear(&b);
    buf_append(&b, "z", 1);
    ck_ok(buf_error(&b));
    ck_slice_str(buf_slice(&b), "z");
    buf_release(&b);
}
END_TEST
#else
START_TEST(buffer_out_of_memory_stays_failed_until_cleared)
{
}
END_TEST
#endif

/* ---- names ---- */

static void check_name(enum file_kind kind, uint64_t number, const char *want)
{
    char name[NAME_BYTES], path[NAME_BYTES + 10];
    uint64_t back = 99;
    char *got;

    file_name(name, kind, number);
    ck_assert_str_eq(name, want);
    ck_assert_int_eq(file_parse(name, &back), kind);
    ck_assert_uint_eq(back, number);
    got = file_path("/store", kind, number);
    snprintf(path, sizeof(path), "/store/%s", want);
    ck_assert_str_eq(got, path);
    free(got);
}

START_TEST(names_are_made_and_parsed)
{
    check_name(FILE_CURRENT, 0, "CURRENT");
    check_name(FILE_LOCK, 0, "LOCK");
    check_name(FILE_MANIFEST, 7, "MANIFEST-000007");
    check_name(FILE_LOG, 12, "000012.log");
    check_name(FILE_TABLE, 1234567, "1234567.sst");
    check_name(FILE_SEGMENT, 0, "000000.vlog");
    check_name(FILE_TEMP, UINT64_MAX / 10, "1844674407370955161.tmp");
}
END_TEST

START_TEST(other_names_are_not_ours)
{
    static const char *const other[] = {
        "",         "a",         ".log",        "12",
        "12.logs",  "12.lo",     "x12.log",     "12x.log",
        "-1.log",   "MANIFEST-", "MANIFEST-7x", "MANIFEST-7.log",
        "CURRENT2", "LOCK ",     "12.sst.tmp",  "99999999999999999999999.log",
        "12.VLOG",  " 12.log",   "lost+found",  "18446744073709551616.sst",
    };
    uint64_t number;
    size_t i;

    for (i = 0; i < sizeof(other) / sizeof(other[0]); i++)
        ck_assert_msg(file_parse(other[i], &number) == FILE_OTHER, "%s", other[i]);
}
END_TEST

/* ---- locks ---- */

START_TEST(timed_wait_ends)
{
    struct mutex m;
    pthread_cond_t c;

    mutex_init(&m, LOCK_DB_STATE);
    cond_init(&c);
    mutex_lock(&m);
    ck_err(cond_wait_ns(&c, &m, 2000000), ETIMEDOUT);
    ck_err(cond_wait_ns(&c, &m, 0), ETIMEDOUT);
    mutex_unlock(&m);
    pthread_cond_destroy(&c);
    mutex_release(&m);
}
END_TEST

#ifdef LOCK_CHECK
static bool aborts(void (*fn)(void))
{
    pid_t pid = fork();
    int status;

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        ck_assert(freopen("/dev/null", "w", stderr) != NULL);
        fn();
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static struct mutex outer, inner;
static struct rwlock same[2];

static void in_order(void)
{
    mutex_lock(&outer);
    mutex_lock(&inner);
    mutex_unlock(&outer); /* in any order back */
    mutex_unlock(&inner);
    rwlock_write(&same[0]);
    rwlock_write_nested(&same[1]);
    rwlock_unlock(&same[0]);
    rwlock_unlock(&same[1]);
}

static void out_of_order(void)
{
    mutex_lock(&inner);
    mutex_lock(&outer);
}

static void same_rank(void)
{
    rwlock_read(&same[0]);
    rwlock_read(&same[1]);
}

static void not_held(void)
{
    mutex_lock(&inner);
    lock_note_give(LOCK_DB_WRITE);
}

START_TEST(locks_out_of_order_abort)
{
    mutex_init(&outer, LOCK_DB_WRITE);
    mutex_init(&inner, LOCK_CACHE);
    rwlock_init(&same[0], LOCK_FS_INODE);
    rwlock_init(&same[1], LOCK_FS_INODE);
    in_order();
    ck_assert(!aborts(in_order));
    ck_assert(aborts(out_of_order));
    ck_assert(aborts(same_rank));
    ck_assert(aborts(not_held));
    mutex_release(&outer);
    mutex_release(&inner);
    rwlock_release(&same[0]);
    rwlock_release(&same[1]);
}
END_TEST
#else
START_TEST(locks_out_of_order_abort)
{
    /* Only where LOCK_CHECK is built in: make asan, make tsan. */
}
END_TEST
#endif

/* ---- errors ---- */

START_TEST(corruption_is_logged_with_its_place)
{
    test_log_capture();
    ck_err(err_corrupt("/store/000007.log", 4096, "frame %d", 3), EUCLEAN);
    ck_assert(test_log_has("/store/000007.log: damaged at offset 4096: frame 3\n"));
    ck_assert(!test_log_has("frame 4"));
}
END_TEST

TEST_MAIN("base", TEST_CASE(fixed_integers_have_their_byte_order),
          TEST_CASE(big_endian_order_is_numeric_order), TEST_CASE(varint_golden_bytes),
          TEST_CASE(varints_come_back_and_cut_ones_do_not),
          TEST_CASE(varint_of_more_bits_than_fit_is_refused),
          TEST_CASE(decoders_take_what_encoders_put_and_stop_at_the_end),
          TEST_CASE(bytes_longer_than_what_is_there_leave_the_slice),
          TEST_CASE(slices_have_memcmp_order),
          TEST_CASE(buffer_grows_and_keeps_its_content),
          TEST_CASE(buffer_out_of_memory_stays_failed_until_cleared),
          TEST_CASE(names_are_made_and_parsed), TEST_CASE(other_names_are_not_ours),
          TEST_CASE(timed_wait_ends), TEST_CASE(locks_out_of_order_abort),
          TEST_CASE(corruption_is_logged_with_its_place))
