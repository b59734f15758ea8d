/*
 * test_fs_file.c - contents: read, write, truncate; and the extents they leave.
 */
#include "fs/keys.h"
#include "fs/record.h"
#include "env_mem.h"
#include "test_fs.h"

static struct rig rig;
static struct rig *const r = &rig;

enum { KIB = 1024, MIB = 1024 * 1024 };

/* A file and what it should hold. */
struct twin {
    uint64_t ino;
    uint8_t *want;
    size_t size, cap;
    uint64_t random;
};

static void twin_init(struct twin *t, const char *name, size_t cap)
{
    t->ino = rig_file(r, FS_ROOT, name);
    t->want = calloc(1, cap);
    t->size = 0;
    t->cap = cap;
    t->random = test_seed();
}

static void twin_write(struct twin *t, size_t off, size_t len)
{
    size_t i;

    ck_assert_uint_le(off + len, t->cap);
    for (i = 0; i < len; i++)
        t->want[off + i] = (uint8_t)test_random(&t->random);
    ck_ok(fs_write(r->fs, t->ino, off, slice_of(t->want + off, len), false));
    if (len && off + len > t->size)
        t->size = off + len;
}

static void set_size(uint64_t ino, uint64_t size)
{
    struct stat st = {.st_size = (off_t)size};
    struct fs_attr a;

    ck_ok(fs_setattr(r->fs, NULL, ino, FS_SET_SIZE, &st, &a));
    ck_assert_uint_eq((uint64_t)a.st.st_size, size);
}

static void twin_truncate(struct twin *t, size_t size)
{
    if (size < t->size)
        memset(t->want + size, 0, t->size - size);
    set_size(t->ino, size);
    t->size = size;
}

static void twin_check(struct twin *t)
{
    ck_assert_int_eq(rig_attr(r, t->ino).st.st_size, (off_t)t->size);
    rig_expect(r, t->ino, t->want, t->size);
}

static void twin_release(struct twin *t)
{
    free(t->want);
}

static struct record record_of(uint64_t ino)
{
    struct lsm_value v = {0};
    struct key k;
    struct dentry d;

    ck_ok(lsm_get(r->db, NULL, key_dentry(&k, FS_ROOT, ino), &v));
    ck_ok(dentry_decode(v.value, &d));
    ck_assert(d.embedded);
    lsm_value_release(&v);
    return d.rec;
}

/* ---- reading and writing ---- */

START_TEST(what_is_written_is_read)
{
    char got[8];
    size_t n;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    rig_expect(r, f, "", 0);
    rig_write(r, f, 0, "hello world");
    rig_expect_str(r, f, "hello world");
    rig_write(r, f, 6, "W");
    rig_expect_str(r, f, "hello World");
    ck_ok(fs_read(r->fs, f, 9, 8, got, &n));
    ck_assert_uint_eq(n, 2);
    ck_assert(memcmp(got, "ld", 2) == 0);
    ck_ok(fs_read(r->fs, f, 11, 8, got, &n));
    ck_assert_uint_eq(n, 0);
    ck_ok(fs_read(r->fs, f, UINT64_MAX, 8, got, &n));
    ck_assert_uint_eq(n, 0);
    ck_ok(fs_write(r->fs, f, 100, slice_of("", 0), false)); /* nothing happens */
    rig_expect_str(r, f, "hello World");
    rig_release(r);
}
END_TEST

START_TEST(only_files_have_contents)
{
    struct fs_attr a;
    char c;
    size_t n;
    uint64_t d;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    ck_err(fs_read(r->fs, d, 0, 1, &c, &n), EISDIR);
    ck_err(fs_write(r->fs, d, 0, slice_str("x"), false), EISDIR);
    ck_ok(fs_symlink(r->fs, &r->cred, FS_ROOT, "l", "t", &a));
    ck_err(fs_read(r->fs, a.st.st_ino, 0, 1, &c, &n), EINVAL);
    ck_err(fs_write(r->fs, a.st.st_ino, 0, slice_str("x"), false), EINVAL);
    ck_err(fs_read(r->fs, 4711, 0, 1, &c, &n), ESTALE);
    ck_err(fs_write(r->fs, 4711, 0, slice_str("x"), false), ESTALE);
    rig_release(r);
}
END_TEST

START_TEST(large_writes_are_pieces)
{
    struct record rec;
    struct twin t;

    rig_init(r, "s");
    twin_init(&t, "f", 3 * MIB);
    twin_write(&t, 0, MIB);
    rec = record_of(t.ino);
    ck_assert_uint_eq(rec.file.extents, 8);
    ck_assert_uint_eq(rec.file.bytes, MIB);
    twin_write(&t, MIB, 128 * KIB + 1);
    twin_check(&t);
    twin_write(&t, 100, 2 * MIB + 77); /* over all of it, askew */
    twin_check(&t);
    rig_remount(r);
    t.ino = rig_lookup(r, FS_ROOT, "f");
    twin_check(&t);
    twin_release(&t);
    rig_release(r);
}
END_TEST

START_TEST(a_write_cuts_what_was_there)
{
    /* One extent of 1000 bytes; then a write somewhere about it. */
    static const struct {
        size_t off, len;
        unsigned extents;
    } cuts[] = {
        {100, 1000, 1}, {100, 500, 2},  {600, 500, 2}, {300, 100, 3}, {0, 2000, 1},
        {50, 100, 2},   {1050, 100, 2}, {99, 1, 2},    {1100, 1, 2},
    };
    struct twin t;
    unsigned i;

    rig_init(r, "s");
    for (i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        char name[16];

        snprintf(name, sizeof(name), "%u", i);
        twin_init(&t, name, 4096);
        twin_write(&t, 100, 1000);
        twin_write(&t, cuts[i].off, cuts[i].len);
        twin_check(&t);
        ck_assert_uint_eq(record_of(t.ino).file.extents, cuts[i].extents);
        twin_release(&t);
    }
    rig_release(r);
}
END_TEST

START_TEST(many_extents_are_overwritten_at_once)
{
    struct twin t;
    int i;

    rig_init(r, "s");
    twin_init(&t, "f", MIB);
    for (i = 0; i < 200; i++) /* with holes, so that none merge */
        twin_write(&t, (size_t)i * 5000, 4500);
    ck_assert_uint_eq(record_of(t.ino).file.extents, 200);
    twin_write(&t, 2500, 5000 * 198);
    twin_check(&t);
    ck_assert_uint_eq(record_of(t.ino).file.extents, 11); /* 8 new, 3 that stick out */
    rig_remount(r);
    t.ino = rig_lookup(r, FS_ROOT, "f");
    twin_check(&t);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    twin_release(&t);
    rig_release(r);
}
END_TEST

START_TEST(holes_read_as_zeros_and_take_no_room)
{
    struct fs_attr a;
    char got[16];
    uint64_t f;
    size_t n;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    rig_write(r, f, 1 << 20, "end");
    a = rig_attr(r, f);
    ck_assert_int_eq(a.st.st_size, (1 << 20) + 3);
    ck_assert_int_eq(a.st.st_blocks, 1);
    ck_ok(fs_read(r->fs, f, (1 << 20) - 4, 16, got, &n));
    ck_assert_uint_eq(n, 7);
    ck_assert(memcmp(got, "\0\0\0\0end", 7) == 0);
    rig_write(r, f, 1 << 19, "mid");
    ck_ok(fs_read(r->fs, f, (1 << 19) - 2, 8, got, &n));
    ck_assert(n == 8 && memcmp(got, "\0\0mid\0\0\0", 8) == 0);
    ck_ok(fs_read(r->fs, f, 0, 16, got, &n));
    ck_assert(n == 16 && memcmp(got, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16) == 0);
    rig_release(r);
}
END_TEST

START_TEST(a_file_may_reach_the_largest_size)
{
    struct stat st = {.st_size = INT64_MAX};
    uint64_t max = FS_SIZE_MAX, f;
    struct fs_attr a;
    char got[8];
    size_t n;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    rig_write(r, f, max - 3, "abc");
    rig_write(r, f, max - 2, "B");
    ck_ok(fs_read(r->fs, f, max - 4, 8, got, &n));
    ck_assert_uint_eq(n, 4);
    ck_assert(memcmp(got, "\0aBc", 4) == 0);
    ck_err(fs_write(r->fs, f, max, slice_str("x"), false), EFBIG);
    ck_err(fs_write(r->fs, f, max - 1, slice_str("xy"), false), EFBIG);
    ck_err(fs_write(r->fs, f, UINT64_MAX, slice_str("x"), false), EFBIG);
    set_size(f, 5);
    ck_ok(fs_setattr(r->fs, NULL, f, FS_SET_SIZE, &st, &a));
    ck_assert_int_eq(a.st.st_blocks, 0);
    ck_ok(fs_read(r->fs, f, max - 4, 8, got, &n));
    ck_assert_uint_eq(n, 4);
    rig_release(r);
}
END_TEST

/* ---- truncating ---- */

START_TEST(shrinking_zeroes_the_rest)
{
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    rig_write(r, f, 0, "secret");
    set_size(f, 2);
    set_size(f, 6);
    rig_expect(r, f, "se\0\0\0\0", 6);
    set_size(f, 0);
    set_size(f, 3);
    rig_expect(r, f, "\0\0\0", 3);
    ck_assert_uint_eq(record_of(f).file.extents, 0);
    rig_release(r);
}
END_TEST

START_TEST(truncate_cuts_few_and_many_extents)
{
    struct twin t;
    int i, many;

    rig_init(r, "s");
    for (many = 0; many < 2; many++) {
        twin_init(&t, many ? "many" : "few", MIB);
        for (i = 0; i < (many ? 200 : 20); i++)
            twin_write(&t, (size_t)i * 5000, 4500);
        twin_truncate(&t, t.size - 100);
        twin_check(&t);
        twin_truncate(&t, 12000); /* inside the third */
        twin_check(&t);
        ck_assert_uint_eq(record_of(t.ino).file.extents, 3);
        twin_write(&t, 12000, 10); /* appends to the cut */
        twin_truncate(&t, 9700);   /* in a hole */
        ck_assert_uint_eq(record_of(t.ino).file.extents, 2);
        twin_truncate(&t, 9500); /* where one ends */
        twin_check(&t);
        twin_truncate(&t, 20000);
        twin_write(&t, 19999, 10);
        twin_check(&t);
        rig_remount(r);
        t.ino = rig_lookup(r, FS_ROOT, many ? "many" : "few");
        twin_check(&t);
        twin_release(&t);
    }
    rig_release(r);
}
END_TEST

START_TEST(truncate_sets_mtime_even_at_equal_size)
{
    struct fs_attr before, after;
    struct stat st = {.st_size = 3};
    uint64_t f, d;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    d = rig_dir(r, FS_ROOT, "d");
    rig_write(r, f, 0, "abc");
    before = rig_attr(r, f);
    set_size(f, 3);
    after = rig_attr(r, f);
    ck_assert_int_gt(stamp_cmp(after.st.st_mtim, before.st.st_mtim), 0);
    ck_assert_int_gt(stamp_cmp(after.st.st_ctim, before.st.st_ctim), 0);
    ck_err(fs_setattr(r->fs, NULL, d, FS_SET_SIZE, &st, &after), EISDIR);
    st.st_size = -1;
    ck_err(fs_setattr(r->fs, NULL, f, FS_SET_SIZE, &st, &after), EINVAL);
    rig_release(r);
}
END_TEST

START_TEST(truncation_of_an_empty_file_sets_its_times)
{
    struct stat st = {.st_size = 0};
    struct fs_attr before, after;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    rig_write(r, f, 0, "abc");
    before = rig_attr(r, f);
    ck_ok(fs_setattr(r->fs, NULL, f, FS_SET_SIZE, &st, &after));
    ck_assert_int_eq(after.st.st_size, 0);
    ck_assert_int_gt(stamp_cmp(after.st.st_mtim, before.st.st_mtim), 0);
    ck_ok(fs_setattr(r->fs, NULL, f, FS_SET_SIZE, &st, &before)); /* and again */
    ck_assert_int_gt(stamp_cmp(before.st.st_mtim, after.st.st_mtim), 0);
    rig_release(r);
}
END_TEST

/* ---- small appends ---- */

START_TEST(small_appends_become_few_extents)
{
    struct record rec;
    struct twin t;
    int i;

    rig_init(r, "s");
    twin_init(&t, "f", MIB);
    for (i = 0; i < 1000; i++) {
        twin_write(&t, t.size, 1 + test_below(&t.random, 200));
        rec = record_of(t.ino);
        ck_assert_uint_le(rec.run_count, RUN_COUNT);
        ck_assert_uint_lt(rec.run_bytes, RUN_BYTES);
        ck_assert_uint_le(rec.file.extents, t.size / RUN_BYTES + RUN_COUNT);
        if (i % 100 == 0)
            rig_check(r);
    }
    twin_check(&t);
    rig_remount(r);
    t.ino = rig_lookup(r, FS_ROOT, "f");
    twin_write(&t, t.size, 10); /* the run goes on after a mount */
    twin_check(&t);
    twin_release(&t);
    rig_release(r);
}
END_TEST

START_TEST(appends_of_any_size_mix_with_overwrites)
{
    struct twin t;
    int i;

    rig_init(r, "s");
    twin_init(&t, "f", 4 * MIB);
    for (i = 0; i < 600; i++) {
        size_t len = 1 + test_below(&t.random, test_below(&t.random, 4) ? 300 : 9000);
        size_t back = test_below(&t.random, 5) ? 0 : test_below(&t.random, 3000);

        twin_write(&t, back < t.size ? t.size - back : t.size, len);
        if (test_below(&t.random, 20) == 0)
            twin_truncate(&t, t.size - test_below(&t.random, 100) % (t.size + 1));
        if (test_below(&t.random, 30) == 0)
            twin_write(&t, t.size + test_below(&t.random, 100), 20);
        if (i % 50 == 0) {
            rig_check(r);
            twin_check(&t);
        }
    }
    twin_check(&t);
    rig_remount(r);
    t.ino = rig_lookup(r, FS_ROOT, "f");
    twin_check(&t);
    twin_release(&t);
    rig_release(r);
}
END_TEST

START_TEST(random_writes_and_truncates_agree_with_memory)
{
    struct twin t;
    int i;

    rig_init(r, "s");
    twin_init(&t, "f", 2 * MIB);
    for (i = 0; i < 1500; i++) {
        size_t len = 1 + test_below(&t.random, test_below(&t.random, 8) ? 5000 : 300000);
        size_t off = test_below(&t.random, t.cap - len);

        if (test_below(&t.random, 10) == 0)
            twin_truncate(&t, test_below(&t.random, t.cap));
        else
            twin_write(&t, off, len);
        if (i % 100 == 0) {
            twin_check(&t);
            rig_check(r);
        }
        if (i % 500 == 499) {
            rig_remount(r);
            t.ino = rig_lookup(r, FS_ROOT, "f");
        }
    }
    twin_check(&t);
    twin_release(&t);
    rig_release(r);
}
END_TEST

/* ---- damage ---- */

START_TEST(a_missing_extent_is_damage_not_zeros)
{
    struct key k;
    char c[5];
    size_t n;
    uint64_t f, g;

    test_log_capture();
    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    g = rig_file(r, FS_ROOT, "g");
    rig_write(r, f, 0, "abc");
    rig_write(r, g, 0, "abc");
    rig_write(r, g, 10, "abc");
    ck_ok(lsm_delete(r->db, key_extent(&k, f, 3)));
    ck_err(fs_read(r->fs, f, 0, 1, c, &n), EUCLEAN);
    ck_assert(test_log_has("extent"));
    ck_ok(lsm_put(r->db, key_extent(&k, g, 12), slice_str("overlapping")));
    ck_err(fs_read(r->fs, g, 0, sizeof(c), c, &n), EUCLEAN); /* where they meet */
    ck_err(fs_write(r->fs, g, 5, slice_str("x"), false), EUCLEAN);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "g")); /* goes all the same */
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    rig_release(r);
}
END_TEST

START_TEST(statfs_tells_the_room_of_the_store)
{
    struct fs_statfs s;

    rig_init(r, "s");
    rig_file(r, FS_ROOT, "f");
    ck_ok(fs_statfs(r->fs, FS_ROOT, &s));
    ck_assert_uint_gt(s.blocks, s.blocks_free);
    ck_assert_uint_ge(s.blocks_free, s.blocks_avail);
    ck_assert_uint_eq(s.files - s.files_free, 2);
    ck_assert(fs_store(r->fs) == r->db);
    ck_ok(fs_sync(r->fs));
    rig_release(r);
}
END_TEST

/* What that made, an empty file in the root, and a byte in it; how many syncs it took. */
static uint64_t syncs_of_a_file(const char *name)
{
    struct lsm_stats before, after;

    lsm_get_stats(r->db, &before);
    ck_ok(fs_write(r->fs, rig_file(r, FS_ROOT, name), 0, slice_str("x"), false));
    lsm_get_stats(r->db, &after);
    return after.syncs - before.syncs;
}

START_TEST(where_appends_are_in_memory_no_call_waits_for_them_that_is_told_later)
{
    struct env *env = env_mem_new(test_seed());
    struct lsm_options o;
    struct lsm_stats before, after;

    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.sync_interval_ms = 0;
    env->appends_in_memory = true;
    memset(r, 0, sizeof(*r));
    fs_options_init(&r->options);
    r->options.writeback_ms = 0;
    ck_ok(lsm_open("/s", &o, &r->db));
    ck_ok(fs_format(r->db, 0, 0, 0755, NULL));
    rig_mount(r);
    ck_assert_uint_ge(syncs_of_a_file("at once"), 2);
    ck_ok(fs_unmount(r->fs));
    r->options.told_later = true;
    rig_mount(r);
    rig_file(r, FS_ROOT, "first"); /* numbers are set aside */
    ck_assert_uint_eq(syncs_of_a_file("later"), 0);
    lsm_get_stats(r->db, &before);
    ck_ok(fs_settle(r->fs));
    lsm_get_stats(r->db, &after);
    ck_assert_uint_eq(after.syncs - before.syncs, 1);
    ck_ok(fs_unmount(r->fs));
    ck_ok(lsm_close(r->db));
    env_mem_free(env);
}
END_TEST

TEST_MAIN("fs_file", TEST_CASE(what_is_written_is_read),
          TEST_CASE(only_files_have_contents), TEST_CASE(large_writes_are_pieces),
          TEST_CASE(a_write_cuts_what_was_there),
          TEST_CASE(many_extents_are_overwritten_at_once),
          TEST_CASE(holes_read_as_zeros_and_take_no_room),
          TEST_CASE(a_file_may_reach_the_largest_size),
          TEST_CASE(shrinking_zeroes_the_rest),
          TEST_CASE(truncate_cuts_few_and_many_extents),
          TEST_CASE(truncate_sets_mtime_even_at_equal_size),
          TEST_CASE(truncation_of_an_empty_file_sets_its_times),
          TEST_CASE(small_appends_become_few_extents),
          TEST_CASE(appends_of_any_size_mix_with_overwrites),
          TEST_CASE(random_writes_and_truncates_agree_with_memory),
          TEST_CASE(a_missing_extent_is_damage_not_zeros),
          TEST_CASE(statfs_tells_the_room_of_the_store),
          TEST_CASE(where_appends_are_in_memory_no_call_waits_for_them_that_is_told_later))
