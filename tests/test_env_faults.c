/*
 * test_env_faults.c - the engine on a directory of the host, when system calls fail or do
 * half of what they were asked: the linker gives us those of env_posix.c (--wrap, in the
 * Makefile). Every n-th call of a load, one at a time.
 *
 * What is interrupted (EINTR) or short is gone on with, and nobody above hears of it. A
 * quota is a full disk. A sync that fails, for whatever reason, ends writing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

#include "lsm/env.h"
#include "tests/test.h"

enum fault { NO_FAULT, SHORT, FAIL }; /* SHORT: half of the bytes; else as it was */

enum {
    READS = 1 << 0,
    WRITES = 1 << 1,
    SYNCS = 1 << 2,
    FILES = 1 << 3, /* open, fallocate, ftruncate */
    NAMES = 1 << 4,
    AHEAD = 1 << 5, /* sync_file_range */
    STRIDE = SOAK_SANITIZED ? 90 : 23,
    KEYS = 60,
    ROUNDS = 4,
};

/* ---- the calls ---- */

static bool armed;
static enum fault what;
static int failing_errno;
static unsigned kinds;
static unsigned long count, fail_at, happened;

/* Is this call the one? */
static bool due(unsigned kind)
{
    if (!armed || !(kinds & kind))
        return false;
    if (++count != fail_at)
        return false;
    happened++;
    return true;
}

/* As due, for calls that cannot be short. */
static bool fails(unsigned kind)
{
    if (what == SHORT || !due(kind))
        return false;
    errno = failing_errno;
    return true;
}

#define REAL(type, name, params)                                                         \
    type __real_##name params;                                                           \
    type __wrap_##name params

REAL(ssize_t, pwritev64, (int fd, const struct iovec *iov, int n, off_t off));
REAL(ssize_t, pread64, (int fd, void *to, size_t len, off_t off));
REAL(ssize_t, preadv64v2, (int fd, const struct iovec *iov, int n, off_t off, int flags));
REAL(int, open64, (const char *path, int flags, ...));
REAL(int, fallocate64, (int fd, int mode, off_t off, off_t len));
REAL(int, ftruncate64, (int fd, off_t len));
REAL(int, fdatasync, (int fd));
REAL(int, fsync, (int fd));
REAL(int, sync_file_range, (int fd, off_t off, off_t len, unsigned flags));
REAL(int, rename, (const char *from, const char *to));
REAL(int, unlink, (const char *path));
REAL(int, link, (const char *from, const char *to));

ssize_t __wrap_pwritev64(int fd, const struct iovec *iov, int n, off_t off)
{
    struct iovec half = iov[0];

    if (!due(WRITES))
        return __real_pwritev64(fd, iov, n, off);
    half.iov_len = (half.iov_len + 1) / 2;
    if (what == SHORT)
        return __real_pwritev64(fd, &half, 1, off);
    if (failing_errno != EINTR) /* some of it got there */
        (void)!__real_pwritev64(fd, &half, 1, off);
    errno = failing_errno;
    return -1;
}

ssize_t __wrap_pread64(int fd, void *to, size_t len, off_t off)
{
    if (!due(READS))
        return __real_pread64(fd, to, len, off);
    if (what == SHORT)
        return __real_pread64(fd, to, (len + 1) / 2, off);
    errno = failing_errno;
    return -1;
}

ssize_t __wrap_preadv64v2(int fd, const struct iovec *iov, int n, off_t off, int flags)
{
    struct iovec half = iov[0];

    if (!due(READS))
        return __real_preadv64v2(fd, iov, n, off, flags);
    half.iov_len = (half.iov_len + 1) / 2;
    if (what == SHORT)
        return __real_preadv64v2(fd, &half, 1, off, flags);
    errno = failing_errno;
    return -1;
}

int __wrap_open64(const char *path, int flags, ...)
{
    va_list args;
    mode_t mode = 0;

    if (flags & O_CREAT) {
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
    }
    if (failing_errno == ENOSPC && !(flags & O_CREAT))
        return __real_open64(path, flags, mode);
    return fails(FILES) ? -1 : __real_open64(path, flags, mode);
}

int __wrap_fallocate64(int fd, int mode, off_t off, off_t len)
{
    return fails(FILES) ? -1 : __real_fallocate64(fd, mode, off, len);
}

int __wrap_ftruncate64(int fd, off_t len)
{
    return fails(FILES) ? -1 : __real_ftruncate64(fd, len);
}

int __wrap_fdatasync(int fd)
{
    return fails(SYNCS) ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd)
{
    return fails(SYNCS) ? -1 : __real_fsync(fd);
}

int __wrap_sync_file_range(int fd, off_t off, off_t len, unsigned flags)
{
    return fails(AHEAD) ? -1 : __real_sync_file_range(fd, off, len, flags);
}

int __wrap_rename(const char *from, const char *to)
{
    return fails(NAMES) ? -1 : __real_rename(from, to);
}

int __wrap_unlink(const char *path)
{
    return fails(NAMES) ? -1 : __real_unlink(path);
}

int __wrap_link(const char *from, const char *to)
{
    return fails(NAMES) ? -1 : __real_link(from, to);
}

static void arm(enum fault f, int err, unsigned of, unsigned long n)
{
    what = f;
    failing_errno = err;
    kinds = of;
    fail_at = n;
    count = happened = 0;
    armed = true;
}

/* ---- the load ---- */

static char path[200];
static struct lsm *db;
static int round_of[KEYS]; /* of the value acknowledged last; 0: none */
static bool quiet;         /* nobody above may hear of the fault */
static bool went_read_only;

static void open_store(void)
{
    struct lsm_options o;
    int rc;

    lsm_options_init(&o);
    o.create = true;
    o.memtable_bytes = 8 << 10;
    o.memory_bytes = 256 << 10;
    o.table_bytes = 8 << 10;
    o.l1_bytes = 16 << 10;
    o.segment_bytes = 16 << 10;
    o.separate_bytes = 700;
    o.workers = 0;
    o.sync_interval_ms = 0;
    rc = lsm_open(path, &o, &db);
    if (rc && !quiet)
        rc = lsm_open(path, &o, &db);
    ck_assert_msg(rc == 0, "opening: %s", strerror(-rc));
}

static struct slice value_of(int key, int round, uint8_t to[2000])
{
    uint64_t x = (uint64_t)(key * 1000 + round) | 1u << 30;
    size_t len = 20 + (size_t)(key * 37 + round * 101) % 1900, i;

    for (i = 0; i < len; i++)
        to[i] = (uint8_t)test_random(&x);
    return slice_of(to, len);
}

static struct slice key_of(int i, char to[16])
{
    snprintf(to, 16, "key%03d", i);
    return slice_str(to);
}

/* Is key i as in that round? */
static bool is_of(int i, int round)
{
    struct lsm_value v = {0};
    uint8_t want[2000];
    bool same;
    char k[16];
    int rc = lsm_get(db, NULL, key_of(i, k), &v);

    if (rc == -EIO && !quiet) /* the fault was there */
        rc = lsm_get(db, NULL, key_of(i, k), &v);
    same = round ? rc == 0 && slice_eq(v.value, value_of(i, round, want)) : rc == -ENOENT;
    lsm_value_release(&v);
    return same;
}

static void expect_all(void)
{
    int i;

    for (i = 0; i < KEYS; i++)
        ck_assert_msg(is_of(i, round_of[i]), "key %d is not of round %d", i, round_of[i]);
}

static void reopen(void)
{
    int rc = lsm_close(db);

    ck_assert_msg(!quiet || rc == 0, "closing: %s", strerror(-rc));
    open_store();
    expect_all();
}

/* What failed: the key is as it was, or, when a sync failed, as it should be. */
static void settle(int i, int round, int rc)
{
    struct lsm_stats s;

    ck_assert_msg(!quiet, "call %lu: %s", fail_at, strerror(-rc));
    lsm_get_stats(db, &s);
    if (!is_of(i, round_of[i])) {
        ck_assert(s.background_error != 0);
        ck_assert(is_of(i, round));
        round_of[i] = round;
    }
    if (s.background_error) {
        went_read_only = true;
        ck_assert_int_ne(lsm_sync(db), 0);
        ck_err(lsm_put(db, slice_str("zz"), slice_str("no")), EROFS);
        reopen();
    }
}

static void put(int i, int round)
{
    struct lsm_batch *b = lsm_batch_new();
    uint8_t value[2000];
    char k[16];
    int rc;

    lsm_batch_put(b, key_of(i, k), value_of(i, round, value));
    rc = lsm_write(db, b, i % 5 == 0 ? LSM_SYNC : LSM_NOSYNC);
    lsm_batch_free(b);
    if (rc)
        settle(i, round, rc);
    else
        round_of[i] = round;
}

/* The whole load, with the fault in it; true when it came to that. */
static bool run(const char *name, bool want_quiet)
{
    static unsigned stores;
    /* In memory, where syncs cost nothing; a file of it has a window as one of ext4 has.
     */
    const char *dir = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : test_dir();
    int round, i, rc;

    quiet = want_quiet;
    went_read_only = false;
    memset(round_of, 0, sizeof(round_of));
    snprintf(path, sizeof(path), "%s/siltfs-test-%ld-%s%u", dir, (long)getpid(), name,
             stores++);
    open_store();
    for (round = 1; round <= ROUNDS; round++) {
        for (i = 0; i < KEYS; i++)
            put((i * 7) % KEYS, round);
        rc = round % 2 ? 0 : lsm_compact(db, true);
        ck_assert_msg(!quiet || rc == 0, "compacting: %s", strerror(-rc));
        expect_all();
        if (round == 2)
            reopen();
    }
    rc = lsm_close(db);
    ck_assert_msg(!quiet || rc == 0, "closing: %s", strerror(-rc));
    armed = false;
    open_store();
    expect_all();
    ck_ok(lsm_verify(db));
    ck_ok(lsm_close(db));
    return happened > 0;
}

/* That fault at every STRIDE-th call of the kinds. */
static void each(const char *name, enum fault f, int err, unsigned of, bool want_quiet)
{
    unsigned long step = getenv("SOAK") ? 1 : STRIDE, n, faults = 0, read_only = 0;
    char command[300];

    for (n = 1 + test_seed() % step;; n += step) {
        bool reached;

        arm(f, err, of, n);
        reached = run(name, want_quiet);
        snprintf(command, sizeof(command), "rm -rf '%s'", path);
        ck_assert_int_eq(system(command), 0);
        if (!reached)
            break;
        faults++;
        read_only += went_read_only;
    }
    ck_assert_uint_gt(faults, 0);
    printf("%s: %lu calls of %lu, %lu times read-only after\n", name, faults, count,
           read_only);
    fflush(stdout);
}

START_TEST(what_is_interrupted_or_short_is_gone_on_with)
{
    test_log_capture();
    each("short-write", SHORT, 0, WRITES, true);
    each("short-read", SHORT, 0, READS, true);
    each("EINTR-write", FAIL, EINTR, WRITES, true);
    each("EINTR-read", FAIL, EINTR, READS, true);
    each("EINTR-sync", FAIL, EINTR, SYNCS, true);
    each("EINTR-file", FAIL, EINTR, FILES, true);
}
END_TEST

START_TEST(what_fails_is_told_and_nothing_acknowledged_is_lost)
{
    test_log_capture();
    each("EIO-write", FAIL, EIO, WRITES, false);
    each("ENOSPC-write", FAIL, ENOSPC, WRITES, false);
    each("EDQUOT-write", FAIL, EDQUOT, WRITES, false);
    each("EIO-read", FAIL, EIO, READS, false);
    each("EIO-sync", FAIL, EIO, SYNCS, false);
    each("ENOSPC-sync", FAIL, ENOSPC, SYNCS, false);
    each("EIO-file", FAIL, EIO, FILES, false);
    each("ENOSPC-file", FAIL, ENOSPC, FILES, false);
    each("EIO-name", FAIL, EIO, NAMES, false);
}
END_TEST

START_TEST(what_writing_ahead_of_a_sync_loses_the_sync_tells)
{
    struct slice part = slice_str("written ahead");
    struct env_file *f;
    char name[300];

    snprintf(name, sizeof(name), "%s/ahead", test_dir());
    ck_ok(env_open(env_posix(), name, ENV_CREATE, 0, &f));
    ck_ok(env_file_append(f, &part, 1));
    arm(FAIL, EOPNOTSUPP, AHEAD, 1); /* the filesystem cannot, which loses nothing */
    env_file_writeback(f, 0, part.len);
    ck_ok(env_file_sync(f));
    arm(FAIL, ENOSPC, AHEAD, 1);
    env_file_writeback(f, 0, part.len);
    armed = false;
    ck_err(env_file_sync(f), EIO);
    ck_err(env_file_sync(f), EIO); /* for good: it is not there */
    ck_ok(env_file_close(f));
}
END_TEST

TEST_MAIN("env faults", TEST_CASE_SLOW(what_is_interrupted_or_short_is_gone_on_with, 300),
          TEST_CASE_SLOW(what_fails_is_told_and_nothing_acknowledged_is_lost, 300),
          TEST_CASE(what_writing_ahead_of_a_sync_loses_the_sync_tells))
