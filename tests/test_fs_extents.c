/*
 * test_fs_extents.c - ranges of files: holes punched, zeroed, collapsed, inserted and
 * copied, beside reads, writes and truncates, against files that are arrays of bytes
 * and know of each whether it lies in an extent or is unwritten. So contents,
 * st_blocks, SEEK_HOLE and SEEK_DATA are compared to the byte. Over remounts and
 * crashes too.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <xxhash.h>

#include "env_mem.h"
#include "soak.h"
#include "test_fs.h"

enum {
    FILES = 3,
    FILE_MAX = 700000,
    CRASH_OPS = 300,
    CRASHES = SOAK_SANITIZED ? 25 : 120,
};

static struct rig rig;
static struct rig *const r = &rig;
static uint64_t rnd;
static unsigned file_max; /* of this test */

enum where { HOLE, DATA, UNWRITTEN };

/* What a file should be. */
struct twin {
    uint64_t ino;
    size_t size;
    uint8_t data[FILE_MAX];
    uint8_t where[FILE_MAX]; /* beyond the end too */
};

static struct twin twins[FILES];

static size_t below(size_t n)
{
    return (size_t)test_below(&rnd, n);
}

/* ---- what the operations do ---- */

static void twin_resize(struct twin *w, size_t size)
{
    if (size <= w->size) {
        memset(w->data + size, 0, w->size - size);
        memset(w->where + size, HOLE, file_max - size);
    }
    w->size = size;
}

static void twin_clear(struct twin *w, size_t off, size_t len, enum where where)
{
    memset(w->data + off, 0, len);
    memset(w->where + off, where, len);
}

/* What is unwritten from off on becomes holes. */
static void twin_forget(struct twin *w, size_t off, size_t end)
{
    for (; off < end; off++)
        if (w->where[off] == UNWRITTEN)
            w->where[off] = HOLE;
}

static size_t twin_bytes(const struct twin *w)
{
    size_t bytes = 0, i;

    for (i = 0; i < file_max; i++)
        bytes += w->where[i] != HOLE;
    return bytes;
}

static void twin_move(struct twin *to, size_t at, const struct twin *from, size_t off,
                      size_t len)
{
    memmove(to->data + at, from->data + off, len);
    memmove(to->where + at, from->where + off, len);
}

static int try_write(struct twin *w)
{
    size_t off = below(3) ? below(file_max) : w->size, i;
    size_t len = 1 + (below(3) ? below(5000) : below(file_max / 2));
    static uint8_t bytes[FILE_MAX];
    int rc;

    if (off > file_max - 1)
        off = 0;
    if (below(2)) { /* what begins and ends where others do */
        off -= off % FS_BLOCK;
        len = (1 + below(4)) * FS_BLOCK;
    }
    if (len > file_max - off)
        len = file_max - off;
    for (i = 0; i < len; i++)
        bytes[i] = (uint8_t)(test_random(&rnd) % 255 + 1);
    rc = fs_write(r->fs, w->ino, off, slice_of(bytes, len), false);
    if (rc)
        return rc;
    if (off + len > w->size)
        w->size = off + len;
    memcpy(w->data + off, bytes, len);
    memset(w->where + off, DATA, len);
    return 0;
}

static int try_truncate(struct twin *w)
{
    struct stat st = {.st_size = (off_t)below(file_max)};
    struct fs_attr a;
    int rc = fs_setattr(r->fs, NULL, w->ino, FS_SET_SIZE, &st, &a);

    if (!rc)
        twin_resize(w, (size_t)st.st_size);
    return rc;
}

static int try_allocate(struct twin *w)
{
    static const int modes[] = {
        0, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE};
    int mode = modes[below(5)], rc;
    size_t off = below(file_max), len = 1 + below(file_max - off), end = off + len, i;

    if (below(2) && len > 9000)
        len = 1 + below(9000), end = off + len;
    rc = fs_fallocate(r->fs, w->ino, mode, off, len);
    if (rc)
        return rc;
    if (mode & FALLOC_FL_PUNCH_HOLE)
        twin_clear(w, off, len, HOLE);
    else if (mode & FALLOC_FL_ZERO_RANGE)
        twin_clear(w, off, len, UNWRITTEN);
    else
        for (i = off; i < end; i++)
            if (w->where[i] == HOLE)
                w->where[i] = UNWRITTEN;
    if (!(mode & FALLOC_FL_KEEP_SIZE) && end > w->size)
        w->size = end;
    return 0;
}

static int try_shift(struct twin *w)
{
    bool insert = below(2);
    size_t off, len;
    int rc;

    if (w->size < 2)
        return 0;
    off = below(w->size - 1);
    len = 1 + below(insert ? file_max / 8 : w->size - off - 1);
    if (insert && w->size + len > file_max)
        return 0;
    rc = fs_fallocate(r->fs, w->ino,
                      insert ? FALLOC_FL_INSERT_RANGE : FALLOC_FL_COLLAPSE_RANGE, off,
                      len);
    if (rc)
        return rc;
    twin_forget(w, off, file_max);
    if (insert) {
        twin_move(w, off + len, w, off, w->size - off);
        twin_clear(w, off, len, HOLE);
        w->size += len;
    } else {
        twin_move(w, off, w, off + len, w->size - off - len);
        twin_resize(w, w->size - len);
    }
    return 0;
}

static int try_copy(struct twin *to)
{
    struct twin *from = &twins[below(FILES)];
    size_t off = below(file_max), at = below(file_max);
    size_t len = 1 + below(below(2) ? 20000 : file_max), want;
    uint64_t copied;
    int rc;

    if (len > file_max - at)
        len = file_max - at;
    want = off >= from->size ? 0 : from->size - off < len ? from->size - off : len;
    rc = fs_copy_range(r->fs, from->ino, off, to->ino, at, len, &copied);
    if (from == to && off < at + want && at < off + want) {
        ck_err(rc, EINVAL);
        return 0;
    }
    if (rc)
        return rc;
    ck_assert_uint_eq(copied, want);
    twin_move(to, at, from, off, want);
    twin_forget(to, at, at + want);
    if (want && at + want > to->size)
        to->size = at + want;
    return 0;
}

static int step(void)
{
    struct twin *w = &twins[below(FILES)];

    switch (below(10)) {
    case 0:
        return try_truncate(w);
    case 1:
    case 2:
        return try_allocate(w);
    case 3:
        return try_shift(w);
    case 4:
    case 5:
    case 6:
        return try_copy(w);
    default:
        return try_write(w);
    }
}

/* ---- what is found ---- */

/* Was anything written to the block that byte i is in? */
static bool in_data(const struct twin *w, size_t i)
{
    size_t from = i - i % FS_BLOCK, to = from + FS_BLOCK;

    return memchr(w->where + from, DATA, (to < w->size ? to : w->size) - from);
}

static void check_seek(struct twin *w, size_t off)
{
    uint64_t got;
    size_t i = off;
    int rc = fs_lseek(r->fs, w->ino, off, SEEK_HOLE, &got);

    if (off >= w->size) {
        ck_err(rc, ENXIO);
        ck_err(fs_lseek(r->fs, w->ino, off, SEEK_DATA, &got), ENXIO);
        return;
    }
    ck_ok(rc);
    while (i < w->size && in_data(w, i))
        i++;
    ck_assert_uint_eq(got, i);
    for (i = off; i < w->size && !in_data(w, i); i++)
        ;
    rc = fs_lseek(r->fs, w->ino, off, SEEK_DATA, &got);
    if (i == w->size) {
        ck_err(rc, ENXIO);
        return;
    }
    ck_ok(rc);
    ck_assert_uint_eq(got, i);
}

static void check_twin(struct twin *w)
{
    struct fs_attr a = rig_attr(r, w->ino);
    size_t i;

    ck_assert_uint_eq((uint64_t)a.st.st_size, w->size);
    ck_assert_uint_eq((uint64_t)a.st.st_blocks, (twin_bytes(w) + 511) / 512);
    rig_expect(r, w->ino, w->data, w->size);
    for (i = 0; i < 6; i++)
        check_seek(w, below(w->size + 1));
}

static void check_all(void)
{
    unsigned i;

    for (i = 0; i < FILES; i++)
        check_twin(&twins[i]);
}

static void make_twins(unsigned max)
{
    char name[] = "a";
    unsigned i;

    file_max = max;
    memset(twins, 0, sizeof(twins));
    for (i = 0; i < FILES; i++, name[0]++)
        twins[i].ino = rig_file(r, FS_ROOT, name);
}

/* After a mount; the numbers stay. */
static void find_twins(void)
{
    char name[] = "a";
    unsigned i;

    for (i = 0; i < FILES; i++, name[0]++)
        ck_assert_uint_eq(rig_lookup(r, FS_ROOT, name), twins[i].ino);
}

START_TEST(ranges_agree_with_memory)
{
    struct soak s;

    for (soak_begin(&s); soak_on(&s); s.operations += 400) {
        char name[32];
        unsigned i;

        rnd = soak_seed(&s);
        snprintf(name, sizeof(name), "model%u", s.rounds);
        rig_init(r, name);
        make_twins(below(2) ? 60000 : FILE_MAX);
        for (i = 0; i < 400; i++) {
            ck_ok(step());
            if (below(8) == 0)
                check_twin(&twins[below(FILES)]);
            if (below(100) == 0) {
                check_all();
                rig_remount(r);
                find_twins();
            }
        }
        check_all();
        rig_release(r);
    }
    soak_end(&s);
}
END_TEST

/* ---- crashes ---- */

static struct env *env;

static void open_store(void)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.create = true;
    o.memtable_bytes = 32 * 1024;
    o.table_bytes = 16 * 1024;
    o.l1_bytes = 32 * 1024;
    o.segment_bytes = 256 * 1024;
    o.workers = 0; /* deterministic */
    o.sync_interval_ms = 0;
    o.env = env;
    ck_ok(lsm_open("/store", &o, &r->db));
}

static void begin(uint64_t seed)
{
    rnd = seed;
    memset(r, 0, sizeof(*r));
    fs_options_init(&r->options);
    r->options.writeback_ms = 0;
    env = env_mem_new(seed);
    open_store();
    ck_ok(fs_format(r->db, 0, 0, 0755, NULL));
    rig_mount(r);
    make_twins(40000);
    ck_ok(fs_sync(r->fs));
}

static void end(void)
{
    (void)fs_unmount(r->fs); /* the store may be dead */
    (void)lsm_close(r->db);
    env_mem_free(env);
}

static uint64_t print_of(uint64_t before, const void *data, size_t size, uint64_t blocks)
{
    uint64_t part[3] = {before, size, blocks};

    return XXH3_64bits_withSeed(data, size, XXH3_64bits(part, sizeof(part)));
}

static uint64_t twins_print(void)
{
    uint64_t sum = 0;
    unsigned i;

    for (i = 0; i < FILES; i++)
        sum = print_of(sum, twins[i].data, twins[i].size,
                       (twin_bytes(&twins[i]) + 511) / 512);
    return sum;
}

static uint64_t real_print(void)
{
    static uint8_t data[FILE_MAX + 1];
    uint64_t sum = 0;
    unsigned i;
    size_t n;

    for (i = 0; i < FILES; i++) {
        struct fs_attr a = rig_attr(r, twins[i].ino);

        ck_ok(fs_read(r->fs, twins[i].ino, 0, sizeof(data), data, &n));
        sum = print_of(sum, data, n, (uint64_t)a.st.st_blocks);
    }
    return sum;
}

struct run {
    uint64_t print[CRASH_OPS + 2];
    unsigned done, synced;
};

static void work(struct run *w)
{
    memset(w, 0, sizeof(*w));
    w->print[0] = twins_print();
    while (w->done < CRASH_OPS) {
        int rc = step();

        if (rc == -EIO || rc == -EROFS)
            return;
        ck_ok(rc);
        w->print[++w->done] = twins_print();
        if (below(12) == 0) {
            if (fs_sync(r->fs))
                return;
            w->synced = w->done;
        }
    }
}

static void crash_once(uint64_t seed, uint64_t n, enum env_mem_crash mode,
                       const struct run *all)
{
    static struct run w;
    struct env *after;
    unsigned i;
    uint64_t print;

    begin(seed);
    env_mem_stop_at(env, n);
    work(&w);
    after = env_mem_crash_clone(env, seed + n, mode);
    end();
    i = mode == ENV_MEM_KEEP_ALL ? w.done : w.synced;
    if (w.done < CRASH_OPS) { /* the operation under way may have happened */
        w.done++;
        w.print[w.done] = all->print[w.done];
    }
    env = after;
    open_store();
    rig_mount(r);
    rig_check(r);
    find_twins();
    print = real_print();
    while (i <= w.done && w.print[i] != print)
        i++;
    ck_assert_msg(i <= w.done, "crash at call %llu, mode %d: contents that never were",
                  (unsigned long long)n, mode);
    ck_ok(fs_unmount(r->fs));
    ck_ok(lsm_close(r->db));
    env_mem_free(env);
}

START_TEST(after_a_crash_each_operation_happened_or_not)
{
    static const enum env_mem_crash modes[] = {ENV_MEM_KEEP_ALL, ENV_MEM_LOSE_UNSYNCED,
                                               ENV_MEM_KEEP_RANDOM};
    static struct run all;
    uint64_t seed = test_seed(), rng = seed, calls;
    unsigned i;

    test_log_capture();
    begin(seed);
    calls = env_mem_calls(env);
    work(&all);
    calls = env_mem_calls(env) - calls;
    ck_assert_uint_eq(all.done, CRASH_OPS);
    ck_assert_uint_eq(real_print(), all.print[CRASH_OPS]);
    end();
    for (i = 0; i < CRASHES; i++)
        crash_once(seed, test_below(&rng, calls), modes[i % 3], &all);
}
END_TEST

/* ---- each by itself ---- */

static void refuses(uint64_t ino, int mode, uint64_t off, uint64_t len, int want)
{
    ck_err(fs_fallocate(r->fs, ino, mode, off, len), want);
}

START_TEST(fallocate_refuses_as_linux_does)
{
    uint64_t f, fifo;
    struct fs_attr a;

    rig_init(r, "refuses");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(fs_mknod(r->fs, &r->cred, FS_ROOT, "fifo", S_IFIFO | 0644, 0, &a));
    fifo = a.st.st_ino;
    rig_write(r, f, 0, "0123456789");
    refuses(f, 0, 0, 0, EINVAL);
    refuses(f, 0, (uint64_t)-1, 10, EINVAL);
    refuses(f, 0, 0, (uint64_t)-1, EINVAL);
    refuses(f, FALLOC_FL_PUNCH_HOLE, 0, 1, EOPNOTSUPP);
    refuses(f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 1,
            EOPNOTSUPP);
    refuses(f, FALLOC_FL_COLLAPSE_RANGE | FALLOC_FL_KEEP_SIZE, 0, 1, EOPNOTSUPP);
    refuses(f, 1 << 20, 0, 1, EOPNOTSUPP);
    refuses(f, 0, FS_SIZE_MAX, 1, EFBIG);
    refuses(f, FALLOC_FL_KEEP_SIZE, FS_SIZE_MAX - 5, 6, EFBIG);
    refuses(f, FALLOC_FL_COLLAPSE_RANGE, 5, 5, EINVAL);
    refuses(f, FALLOC_FL_INSERT_RANGE, 10, 1, EINVAL);
    refuses(f, FALLOC_FL_INSERT_RANGE, 0, FS_SIZE_MAX - 5, EFBIG);
    refuses(FS_ROOT, 0, 0, 1, EISDIR);
    refuses(fifo, 0, 0, 1, ESPIPE);
    refuses(f, 0, 0, FS_SIZE_MAX, ENOSPC);
    rig_expect_str(r, f, "0123456789");
    rig_release(r);
}
END_TEST

START_TEST(every_range_operation_sets_mtime_and_ctime)
{
    static const int modes[] = {0,
                                FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                FALLOC_FL_ZERO_RANGE,
                                FALLOC_FL_COLLAPSE_RANGE,
                                FALLOC_FL_INSERT_RANGE};
    struct timespec a_moment = {.tv_nsec = 20000000};
    uint64_t f, copied;
    size_t i;

    rig_init(r, "times");
    f = rig_file(r, FS_ROOT, "f");
    rig_write(r, f, 0, "some bytes");
    for (i = 0; i <= sizeof(modes) / sizeof(modes[0]); i++) {
        struct fs_attr before = rig_attr(r, f), after;

        nanosleep(&a_moment, NULL);
        if (i < sizeof(modes) / sizeof(modes[0]))
            ck_ok(fs_fallocate(r->fs, f, modes[i], 1, 2));
        else
            ck_ok(fs_copy_range(r->fs, f, 0, f, 4, 2, &copied));
        after = rig_attr(r, f);
        ck_assert_int_gt(stamp_cmp(after.st.st_mtim, before.st.st_mtim), 0);
        ck_assert_int_gt(stamp_cmp(after.st.st_ctim, before.st.st_ctim), 0);
    }
    rig_release(r);
}
END_TEST

START_TEST(files_are_as_large_as_an_offset_can_be)
{
    static const uint64_t pib = 1ULL << 50;
    struct stat st = {.st_size = INT64_MAX};
    struct fs_attr a;
    uint64_t f, g, at, copied;
    char got[4];
    size_t n;

    rig_init(r, "huge");
    f = rig_file(r, FS_ROOT, "f");
    rig_write(r, f, pib, "far");
    ck_assert_int_eq(rig_attr(r, f).st.st_blocks, 1);
    ck_ok(fs_lseek(r->fs, f, 0, SEEK_DATA, &at));
    ck_assert_uint_eq(at, pib);
    ck_ok(fs_lseek(r->fs, f, 0, SEEK_HOLE, &at));
    ck_assert_uint_eq(at, 0);
    ck_ok(fs_lseek(r->fs, f, pib, SEEK_HOLE, &at));
    ck_assert_uint_eq(at, pib + 3);
    rig_write(r, f, FS_SIZE_MAX - 4, "last");
    ck_err(fs_write(r->fs, f, FS_SIZE_MAX - 3, slice_str("last"), false), EFBIG);
    ck_assert_int_eq(rig_attr(r, f).st.st_size, INT64_MAX);
    ck_ok(fs_read(r->fs, f, FS_SIZE_MAX - 4, 4, got, &n));
    ck_assert(n == 4 && memcmp(got, "last", 4) == 0);
    ck_ok(fs_lseek(r->fs, f, pib, SEEK_HOLE, &at));
    ck_assert_uint_eq(at, pib + FS_BLOCK);
    ck_ok(fs_lseek(r->fs, f, at, SEEK_DATA, &at));
    ck_assert_uint_eq(at, FS_SIZE_MAX - FS_BLOCK + 1);
    ck_ok(fs_lseek(r->fs, f, at, SEEK_HOLE, &at));
    ck_assert_uint_eq(at, FS_SIZE_MAX);
    g = rig_file(r, FS_ROOT, "g");
    ck_ok(fs_copy_range(r->fs, f, 0, g, 0, FS_SIZE_MAX, &copied));
    ck_assert_uint_eq(copied, FS_SIZE_MAX);
    ck_assert_int_eq(rig_attr(r, g).st.st_blocks, 1);
    ck_err(fs_copy_range(r->fs, f, pib, g, FS_SIZE_MAX, 1, &copied), EFBIG);
    ck_ok(fs_copy_range(r->fs, f, pib, g, FS_SIZE_MAX - 1, 3, &copied));
    ck_assert_uint_eq(copied, 1);
    ck_ok(fs_fallocate(r->fs, f, FALLOC_FL_COLLAPSE_RANGE, 1, pib - 1));
    ck_ok(fs_read(r->fs, f, 1, 3, got, &n));
    ck_assert(n == 3 && memcmp(got, "far", 3) == 0);
    ck_ok(fs_setattr(r->fs, NULL, f, FS_SET_SIZE, &st, &a));
    ck_ok(fs_fallocate(r->fs, f, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                       FS_SIZE_MAX));
    ck_assert_int_eq(rig_attr(r, f).st.st_blocks, 0);
    rig_release(r);
}
END_TEST

START_TEST(what_is_set_aside_counts_until_it_is_written_cut_or_deleted)
{
    enum { MIB = 1 << 20 };
    struct stat st = {.st_size = 0};
    struct fs_attr a;
    uint64_t f, at;

    rig_init(r, "aside");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(fs_fallocate(r->fs, f, FALLOC_FL_KEEP_SIZE, 0, MIB));
    a = rig_attr(r, f);
    ck_assert_int_eq(a.st.st_size, 0);
    ck_assert_int_eq(a.st.st_blocks, MIB / 512);
    ck_ok(fs_fallocate(r->fs, f, 0, 0, 2 * MIB)); /* half of it is there */
    ck_assert_int_eq(rig_attr(r, f).st.st_blocks, 2 * MIB / 512);
    ck_err(fs_lseek(r->fs, f, 0, SEEK_DATA, &at), ENXIO);
    rig_write(r, f, 5000, "written");
    ck_assert_int_eq(rig_attr(r, f).st.st_blocks, 2 * MIB / 512);
    ck_ok(fs_lseek(r->fs, f, 0, SEEK_DATA, &at));
    ck_assert_uint_eq(at, 4096); /* the block */
    rig_remount(r);
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "f"), f);
    ck_assert_int_eq(rig_attr(r, f).st.st_blocks, 2 * MIB / 512);
    ck_ok(fs_fallocate(r->fs, f, FALLOC_FL_KEEP_SIZE, 0, 4 * MIB));
    ck_assert_int_eq(rig_attr(r, f).st.st_blocks, 4 * MIB / 512);
    st.st_size = 2 * MIB; /* as it is: what lies beyond goes */
    ck_ok(fs_setattr(r->fs, NULL, f, FS_SET_SIZE, &st, &a));
    ck_assert_int_eq(a.st.st_blocks, 2 * MIB / 512);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    fs_forget(r->fs, f, 1);
    rig_release(r); /* whose check finds no range left */
}
END_TEST

/* More extents than a batch should have: the copy goes on where it ended, and is that of
 * no more than one batch at a time. */
START_TEST(a_copy_of_very_many_extents_comes_in_parts)
{
    enum { N = 9000, STEP = 3000, LEN = 2000 };
    static uint8_t block[LEN];
    uint64_t f, g, done = 0, copied;
    unsigned parts = 0;
    size_t n;
    uint8_t got[STEP], want[STEP] = {0};

    rig_init(r, "parts");
    f = rig_file(r, FS_ROOT, "f");
    g = rig_file(r, FS_ROOT, "g");
    for (unsigned i = 0; i < N; i++) {
        memset(block, (int)(i % 250 + 1), LEN);
        ck_ok(fs_write(r->fs, f, (uint64_t)i * STEP, slice_of(block, LEN), false));
    }
    do {
        ck_ok(fs_copy_range(r->fs, f, done, g, done, UINT32_MAX, &copied));
        done += copied;
        parts += copied > 0;
        ck_assert_int_eq(rig_attr(r, g).st.st_size, (off_t)done);
    } while (copied);
    ck_assert_uint_eq(done, (N - 1) * STEP + LEN);
    ck_assert_uint_ge(parts, 2);
    ck_assert_int_eq(rig_attr(r, g).st.st_blocks, rig_attr(r, f).st.st_blocks);
    for (unsigned i = 0; i < N - 1; i += 7) {
        ck_ok(fs_read(r->fs, g, (uint64_t)i * STEP, STEP, got, &n));
        memset(want, (int)(i % 250 + 1), LEN);
        ck_assert(n == STEP && memcmp(got, want, STEP) == 0);
    }
    ck_ok(fs_fallocate(r->fs, f, FALLOC_FL_INSERT_RANGE, 1, 1)); /* all of it moves */
    ck_ok(fs_fallocate(r->fs, f, FALLOC_FL_COLLAPSE_RANGE, 1, 1));
    ck_ok(fs_read(r->fs, f, (uint64_t)6 * STEP, STEP, got, &n));
    memset(want, 7, LEN);
    ck_assert(n == STEP && memcmp(got, want, STEP) == 0);
    rig_release(r);
}
END_TEST

enum { THREADS = 4, UNITS = 64, UNIT = 3000 };

/* Each writes whole units of one byte, and copies, punches and sets aside whole units:
 * whoever reads a unit must see one byte all over. */
static void *mix_units(void *arg)
{
    const uint64_t *file = arg;
    uint64_t state = test_seed() + (uintptr_t)pthread_self(), copied;
    static __thread uint8_t unit[UNIT];
    unsigned i;

    for (i = 0; i < (SOAK_SANITIZED ? 300 : 2000); i++) {
        uint64_t f = file[test_below(&state, 2)], g = file[test_below(&state, 2)];
        uint64_t at = test_below(&state, UNITS) * UNIT;
        uint64_t from = test_below(&state, UNITS) * UNIT, n;
        size_t got;
        int rc;

        switch (test_below(&state, 4)) {
        case 0:
            memset(unit, (int)test_below(&state, 256), UNIT);
            ck_ok(fs_write(r->fs, f, at, slice_of(unit, UNIT), false));
            break;
        case 1:
            n = (1 + test_below(&state, 5)) * UNIT;
            rc = fs_copy_range(r->fs, g, from, f, at, n, &copied);
            ck_assert(rc == 0 || (rc == -EINVAL && f == g));
            break;
        case 2:
            ck_ok(fs_fallocate(r->fs, f,
                               test_below(&state, 2)
                                   ? FALLOC_FL_ZERO_RANGE
                                   : FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                               at, UNIT));
            break;
        default:
            ck_ok(fs_read(r->fs, f, at, UNIT, unit, &got));
            ck_assert(got == 0 || got == UNIT);
            ck_assert(got == 0 || memcmp(unit, unit + 1, UNIT - 1) == 0);
        }
    }
    return NULL;
}

START_TEST(copies_both_ways_at_once_are_each_whole)
{
    pthread_t t[THREADS];
    uint64_t file[2];
    unsigned i;

    rig_init(r, "both_ways");
    file[0] = rig_file(r, FS_ROOT, "a");
    file[1] = rig_file(r, FS_ROOT, "b");
    for (i = 0; i < THREADS; i++)
        ck_assert(pthread_create(&t[i], NULL, mix_units, file) == 0);
    for (i = 0; i < THREADS; i++)
        pthread_join(t[i], NULL);
    rig_release(r);
}
END_TEST

START_TEST(lseek_and_copy_refuse_what_is_no_file)
{
    uint64_t f, d, out;

    rig_init(r, "no_file");
    f = rig_file(r, FS_ROOT, "f");
    d = rig_dir(r, FS_ROOT, "d");
    rig_write(r, f, 0, "abc");
    ck_err(fs_lseek(r->fs, f, 0, SEEK_END, &out), EINVAL);
    ck_err(fs_lseek(r->fs, d, 0, SEEK_DATA, &out), EISDIR);
    ck_err(fs_lseek(r->fs, f, 3, SEEK_HOLE, &out), ENXIO);
    ck_err(fs_copy_range(r->fs, d, 0, f, 0, 1, &out), EISDIR);
    ck_err(fs_copy_range(r->fs, f, 0, d, 0, 1, &out), EISDIR);
    ck_err(fs_copy_range(r->fs, f, 0, f, 1, 2, &out), EINVAL);
    ck_ok(fs_copy_range(r->fs, f, 3, f, 0, 10, &out)); /* nothing there */
    ck_assert_uint_eq(out, 0);
    ck_ok(fs_copy_range(r->fs, f, 0, f, 3, 100, &out));
    ck_assert_uint_eq(out, 3);
    rig_expect_str(r, f, "abcabc");
    rig_release(r);
}
END_TEST

TEST_MAIN("fs_extents", TEST_CASE_SOAK(ranges_agree_with_memory),
          TEST_CASE_ALONE(after_a_crash_each_operation_happened_or_not),
          TEST_CASE(fallocate_refuses_as_linux_does),
          TEST_CASE(every_range_operation_sets_mtime_and_ctime),
          TEST_CASE_ALONE(files_are_as_large_as_an_offset_can_be),
          TEST_CASE_ALONE(what_is_set_aside_counts_until_it_is_written_cut_or_deleted),
          TEST_CASE_ALONE(a_copy_of_very_many_extents_comes_in_parts),
          TEST_CASE(copies_both_ways_at_once_are_each_whole),
          TEST_CASE(lseek_and_copy_refuse_what_is_no_file))
