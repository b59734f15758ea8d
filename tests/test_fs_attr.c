/*
 * test_fs_attr.c - attributes: setattr, the mode bits that clear themselves,
 * and lazy times of access.
 */
#include "fs/keys.h"
#include "env_mem.h"
#include "fs/record.h"
#include "test_fs.h"

static struct rig rig;
static struct rig *const r = &rig;

static bool in_group_7(const struct fs_cred *c, gid_t gid)
{
    return gid == 7;
}

static const struct fs_cred user = {.uid = 1000, .gid = 100, .in_group = in_group_7};
static const struct fs_cred root = {.uid = 0};

static struct fs_attr set(const struct fs_cred *c, uint64_t ino, unsigned what,
                          struct stat st)
{
    struct fs_attr a;

    ck_ok(fs_setattr(r->fs, c, ino, what, &st, &a));
    return a;
}

static uint64_t file_with_mode(const char *name, mode_t mode, gid_t gid)
{
    uint64_t f = rig_file(r, FS_ROOT, name);

    set(&root, f, FS_SET_GID, (struct stat){.st_gid = gid});
    set(&root, f, FS_SET_MODE, (struct stat){.st_mode = mode});
    return f;
}

#define mode_of(ino) (rig_attr(r, ino).st.st_mode & 07777)

START_TEST(attributes_are_set_and_kept)
{
    struct stat st = {.st_mode = 0123, .st_uid = 11, .st_gid = 22};
    struct fs_attr a;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    st.st_atim = (struct timespec){-1000000000000, 999999999};
    st.st_mtim = (struct timespec){4000000000, 1};
    a = set(&root, f, FS_SET_MODE | FS_SET_UID | FS_SET_GID | FS_SET_ATIME | FS_SET_MTIME,
            st);
    ck_assert_uint_eq(a.st.st_mode, S_IFREG | 0123);
    rig_remount(r);
    a = rig_attr(r, rig_lookup(r, FS_ROOT, "f"));
    ck_assert_uint_eq(a.st.st_mode, S_IFREG | 0123);
    ck_assert_uint_eq(a.st.st_uid, 11);
    ck_assert_uint_eq(a.st.st_gid, 22);
    ck_assert_int_eq(stamp_cmp(a.st.st_atim, st.st_atim), 0);
    ck_assert_int_eq(stamp_cmp(a.st.st_mtim, st.st_mtim), 0);
    ck_assert_int_gt(stamp_cmp(a.st.st_ctim, a.btime), 0);
    ck_assert_int_eq(a.st.st_blksize, 4096);
    rig_release(r);
}
END_TEST

START_TEST(nothing_set_changes_nothing)
{
    struct fs_attr before, after;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    before = rig_attr(r, f);
    after = set(&root, f, 0, (struct stat){0});
    ck_assert(memcmp(&before, &after, sizeof(before)) == 0);
    rig_release(r);
}
END_TEST

START_TEST(now_is_now_and_ctime_follows)
{
    struct stat old = {.st_atim = {1, 0}, .st_mtim = {2, 0}, .st_ctim = {3, 4}};
    struct timespec now;
    struct fs_attr a;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    a = set(&user, f, FS_SET_ATIME | FS_SET_MTIME | FS_SET_CTIME, old);
    ck_assert_int_eq(a.st.st_ctim.tv_sec, 3);
    ck_assert_int_eq(a.st.st_ctim.tv_nsec, 4);
    clock_gettime(CLOCK_REALTIME, &now);
    a = set(&user, f, FS_SET_ATIME_NOW, old);
    ck_assert_int_ge(stamp_cmp(a.st.st_atim, now), 0);
    ck_assert_int_ge(stamp_cmp(a.st.st_ctim, now), 0);
    ck_assert_int_eq(a.st.st_mtim.tv_sec, 2);
    a = set(&user, f, FS_SET_MTIME_NOW, old);
    ck_assert_int_ge(stamp_cmp(a.st.st_mtim, now), 0);
    old.st_mtim.tv_nsec = 1000000000;
    ck_err(fs_setattr(r->fs, &user, f, FS_SET_MTIME, &old, &a), EINVAL);
    rig_release(r);
}
END_TEST

START_TEST(chown_clears_suid_and_sgid)
{
    uint64_t f, d;

    rig_init(r, "s");
    f = file_with_mode("f", 06755, 100);
    set(&root, f, FS_SET_UID, (struct stat){.st_uid = 5}); /* root's own as well */
    ck_assert_uint_eq(mode_of(f), 0755);
    f = file_with_mode("g", 02745, 100); /* no group execution: not a privilege */
    set(&root, f, FS_SET_GID, (struct stat){.st_gid = 5});
    ck_assert_uint_eq(mode_of(f), 02745);
    d = rig_dir(r, FS_ROOT, "d");
    set(&root, d, FS_SET_MODE, (struct stat){.st_mode = 06755});
    set(&root, d, FS_SET_UID, (struct stat){.st_uid = 5});
    ck_assert_uint_eq(mode_of(d), 06755);
    rig_release(r);
}
END_TEST

START_TEST(chmod_by_a_stranger_to_the_group_drops_sgid)
{
    uint64_t f;

    rig_init(r, "s");
    f = file_with_mode("f", 0644, 200);
    set(&user, f, FS_SET_MODE, (struct stat){.st_mode = 06755});
    ck_assert_uint_eq(mode_of(f), 04755);
    f = file_with_mode("g", 0644, 7); /* a member */
    set(&user, f, FS_SET_MODE, (struct stat){.st_mode = 06755});
    ck_assert_uint_eq(mode_of(f), 06755);
    f = file_with_mode("h", 0644, 100); /* his own group */
    set(&user, f, FS_SET_MODE, (struct stat){.st_mode = 06755});
    ck_assert_uint_eq(mode_of(f), 06755);
    rig_release(r);
}
END_TEST

START_TEST(write_and_truncate_clear_suid_and_sgid)
{
    uint64_t f;

    rig_init(r, "s");
    f = file_with_mode("f", 06755, 100);
    ck_ok(fs_write(r->fs, f, 0, slice_str("x"), false));
    ck_assert_uint_eq(mode_of(f), 06755);
    ck_ok(fs_write(r->fs, f, 0, slice_str("x"), true));
    ck_assert_uint_eq(mode_of(f), 0755);
    f = file_with_mode("g", 06755, 100);
    set(&root, f, FS_SET_SIZE, (struct stat){.st_size = 10});
    ck_assert_uint_eq(mode_of(f), 06755);
    set(&user, f, FS_SET_SIZE, (struct stat){.st_size = 5});
    ck_assert_uint_eq(mode_of(f), 0755);
    f = file_with_mode("h", 04755, 100);
    set(&user, f, FS_SET_SIZE, (struct stat){.st_size = 0});
    ck_assert_uint_eq(mode_of(f), 0755);
    rig_release(r);
}
END_TEST

/* ---- times of access ---- */

static struct timespec stored_atime(uint64_t ino)
{
    struct lsm_value v = {0};
    struct timespec t;
    struct dentry d;
    struct key k;

    ck_ok(lsm_get(r->db, NULL, key_dentry(&k, FS_ROOT, ino), &v));
    ck_ok(dentry_decode(v.value, &d));
    t = (struct timespec){d.rec.atime.sec, d.rec.atime.nsec};
    lsm_value_release(&v);
    return t;
}

static void read_a_byte(uint64_t ino)
{
    size_t n;
    char c;

    ck_ok(fs_read(r->fs, ino, 0, 1, &c, &n));
}

static uint64_t old_file(const char *name)
{
    uint64_t f = rig_file(r, FS_ROOT, name);

    rig_write(r, f, 0, "x");
    return f;
}

START_TEST(atime_is_lazy)
{
    struct timespec now, stored;
    uint64_t f;

    rig_init(r, "s");
    f = old_file("f");
    stored = stored_atime(f);
    clock_gettime(CLOCK_REALTIME, &now);
    read_a_byte(f);
    ck_assert_int_ge(stamp_cmp(rig_attr(r, f).st.st_atim, now), 0);
    ck_assert_int_eq(stamp_cmp(stored_atime(f), stored), 0); /* not yet */
    fs_forget(r->fs, f, 1);
    ck_assert_int_ge(stamp_cmp(stored_atime(f), now), 0); /* the last reference */
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "f"), f);
    rig_release(r);
}
END_TEST

START_TEST(atime_follows_relatime)
{
    struct timespec first, now;
    struct stat st = {0};
    uint64_t f;

    rig_init(r, "s");
    f = old_file("f");
    read_a_byte(f);
    first = rig_attr(r, f).st.st_atim;
    read_a_byte(f); /* newer than mtime and ctime: stays */
    ck_assert_int_eq(stamp_cmp(rig_attr(r, f).st.st_atim, first), 0);
    rig_write(r, f, 0, "y");
    read_a_byte(f);
    ck_assert_int_gt(stamp_cmp(rig_attr(r, f).st.st_atim, first), 0);
    clock_gettime(CLOCK_REALTIME, &now);
    st.st_ctim = st.st_mtim = (struct timespec){now.tv_sec - 900000, 0};
    st.st_atim = (struct timespec){now.tv_sec - 80000, 0}; /* under a day */
    set(&root, f, FS_SET_ATIME | FS_SET_MTIME | FS_SET_CTIME, st);
    read_a_byte(f);
    ck_assert_int_eq(stamp_cmp(rig_attr(r, f).st.st_atim, st.st_atim), 0);
    st.st_atim = (struct timespec){now.tv_sec - 90000, 0};
    set(&root, f, FS_SET_ATIME | FS_SET_CTIME, st);
    read_a_byte(f);
    ck_assert_int_ge(stamp_cmp(rig_attr(r, f).st.st_atim, now), 0);
    rig_release(r);
}
END_TEST

START_TEST(atime_travels_with_sync_unmount_and_the_next_change)
{
    struct timespec now;
    uint64_t f, g, h, i;

    rig_init(r, "s");
    f = old_file("f");
    g = old_file("g");
    h = old_file("h");
    i = old_file("i");
    clock_gettime(CLOCK_REALTIME, &now);
    read_a_byte(f);
    read_a_byte(g);
    ck_ok(fs_fsync(r->fs, f));
    ck_assert_int_ge(stamp_cmp(stored_atime(f), now), 0);
    ck_assert_int_lt(stamp_cmp(stored_atime(g), now), 0);
    ck_ok(fs_sync(r->fs));
    ck_assert_int_ge(stamp_cmp(stored_atime(g), now), 0);
    read_a_byte(h);
    set(&root, h, FS_SET_UID, (struct stat){.st_uid = 1});
    ck_assert_int_ge(stamp_cmp(stored_atime(h), now), 0);
    read_a_byte(i);
    rig_remount(r);
    ck_assert_int_ge(stamp_cmp(stored_atime(i), now), 0);
    rig_release(r);
}
END_TEST

START_TEST(the_thread_writes_atimes)
{
    struct timespec now;
    uint64_t f;

    rig_init(r, "s");
    r->options.writeback_ms = 20;
    rig_remount(r);
    f = old_file("f");
    clock_gettime(CLOCK_REALTIME, &now);
    read_a_byte(f);
    ck_soon(stamp_cmp(stored_atime(f), now) >= 0);
    rig_release(r);
}
END_TEST

START_TEST(many_waiting_atimes_are_bounded)
{
    struct timespec now;
    uint64_t ino[5000];
    char name[16];
    int i, written = 0;

    rig_init(r, "s");
    for (i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "%d", i);
        ino[i] = old_file(name);
    }
    clock_gettime(CLOCK_REALTIME, &now);
    for (i = 0; i < 5000; i++)
        read_a_byte(ino[i]);
    for (i = 0; i < 5000; i++)
        written += stamp_cmp(stored_atime(ino[i]), now) >= 0;
    ck_assert_int_eq(written, 5000 - 4096);
    ck_ok(fs_sync(r->fs));
    for (i = 0; i < 5000; i++)
        ck_assert_int_ge(stamp_cmp(stored_atime(ino[i]), now), 0);
    rig_release(r);
}
END_TEST

START_TEST(noatime_leaves_it_alone)
{
    struct timespec before;
    uint64_t f;

    rig_init(r, "s");
    r->options.atime = FS_NOATIME;
    rig_remount(r);
    f = old_file("f");
    before = rig_attr(r, f).st.st_atim;
    read_a_byte(f);
    ck_assert_int_eq(stamp_cmp(rig_attr(r, f).st.st_atim, before), 0);
    rig_release(r);
}
END_TEST

static enum fs_taken pass_over(void *arg, const char *name, const struct fs_attr *attr,
                               uint64_t next)
{
    return FS_TAKEN;
}

static struct timespec listed_at(uint64_t dir)
{
    ck_ok(fs_readdir(r->fs, dir, 0, false, pass_over, NULL));
    return rig_attr(r, dir).st.st_atim;
}

START_TEST(strictatime_sets_it_each_time_and_nodiratime_never_by_a_listing)
{
    struct timespec before, once;
    uint64_t f;

    rig_init(r, "s");
    r->options.atime = FS_STRICTATIME;
    rig_remount(r);
    f = old_file("f");
    read_a_byte(f);
    once = rig_attr(r, f).st.st_atim;
    read_a_byte(f);
    ck_assert_int_gt(stamp_cmp(rig_attr(r, f).st.st_atim, once), 0);
    once = listed_at(FS_ROOT);
    ck_assert_int_gt(stamp_cmp(listed_at(FS_ROOT), once), 0);
    r->options.nodiratime = true;
    rig_remount(r);
    before = rig_attr(r, FS_ROOT).st.st_atim;
    ck_assert_int_eq(stamp_cmp(listed_at(FS_ROOT), before), 0);
    f = rig_lookup(r, FS_ROOT, "f");
    before = rig_attr(r, f).st.st_atim;
    read_a_byte(f);
    ck_assert_int_gt(stamp_cmp(rig_attr(r, f).st.st_atim, before), 0);
    rig_release(r);
}
END_TEST

/* ---- a full disk ---- */

static void open_env(struct env *env)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.memtable_bytes = 1 << 20;
    o.segment_bytes = 1 << 20;
    ck_ok(lsm_open("/s", &o, &r->db));
}

/* Until there is no room for a byte. */
static void fill_disk(struct env *env, uint64_t ino)
{
    static uint8_t bytes[1 << 16];
    uint64_t x = 1, off = 0;
    size_t i, n;

    for (i = 0; i < sizeof(bytes); i += 8)
        store_le64(bytes + i, test_random(&x));
    env_mem_set_space(env, env_mem_used(env) + (4 << 20));
    for (n = sizeof(bytes); n; n /= 2)
        while (!fs_write(r->fs, ino, off, slice_of(bytes, n), false))
            off += n;
}

START_TEST(a_time_of_access_that_finds_no_room_keeps_nobody_from_syncing)
{
    struct env *env = env_mem_new(1);
    uint64_t f, g;
    size_t got;
    char byte;

    test_log_capture();
    memset(r, 0, sizeof(*r));
    fs_options_init(&r->options);
    r->options.writeback_ms = 0;
    r->options.atime = FS_STRICTATIME;
    open_env(env);
    ck_ok(fs_format(r->db, 0, 0, 0755, NULL));
    rig_mount(r);
    f = rig_file(r, FS_ROOT, "f");
    g = rig_file(r, FS_ROOT, "g");
    rig_write(r, f, 0, "contents");
    fill_disk(env, g);
    ck_ok(fs_read(r->fs, f, 0, 1, &byte, &got));
    ck_ok(fs_fsync(r->fs, f));
    ck_ok(fs_read(r->fs, f, 0, 1, &byte, &got));
    ck_ok(fs_sync(r->fs));
    ck_ok(fs_read(r->fs, f, 0, 1, &byte, &got));
    ck_ok(fs_unmount(r->fs));
    env_mem_set_space(env, UINT64_MAX);
    ck_ok(lsm_close(r->db));
    open_env(env);
    rig_mount(r);
    rig_release(r);
    env_mem_free(env);
}
END_TEST

/* With a limit a mount begins by a write. */
START_TEST(a_full_disk_can_be_mounted_and_files_deleted)
{
    struct env *env = env_mem_new(1);
    uint64_t g;

    test_log_capture();
    memset(r, 0, sizeof(*r));
    fs_options_init(&r->options);
    r->options.writeback_ms = 0;
    open_env(env);
    ck_ok(fs_format(r->db, 0, 0, 0755, &rig_limits));
    rig_mount(r);
    g = rig_file(r, FS_ROOT, "g");
    fill_disk(env, g);
    ck_ok(fs_sync(r->fs));
    env_mem_set_space(env, UINT64_MAX);
    ck_ok(fs_unmount(r->fs));
    ck_ok(lsm_close(r->db));
    open_env(env);
    rig_mount(r);
    ck_ok(fs_unmount(r->fs)); /* notes that the account is exact */
    ck_ok(lsm_close(r->db));
    env_mem_set_space(env, env_mem_used(env) + (4 << 20));
    open_env(env);
    rig_mount(r);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "g"));
    ck_ok(fs_sync(r->fs));
    env_mem_set_space(env, UINT64_MAX);
    rig_release(r);
    env_mem_free(env);
}
END_TEST

TEST_MAIN("fs_attr", TEST_CASE(attributes_are_set_and_kept),
          TEST_CASE(nothing_set_changes_nothing), TEST_CASE(now_is_now_and_ctime_follows),
          TEST_CASE(chown_clears_suid_and_sgid),
          TEST_CASE(chmod_by_a_stranger_to_the_group_drops_sgid),
          TEST_CASE(write_and_truncate_clear_suid_and_sgid), TEST_CASE(atime_is_lazy),
          TEST_CASE(a_time_of_access_that_finds_no_room_keeps_nobody_from_syncing),
          TEST_CASE(a_full_disk_can_be_mounted_and_files_deleted),
          TEST_CASE(atime_follows_relatime),
          TEST_CASE(atime_travels_with_sync_unmount_and_the_next_change),
          TEST_CASE(the_thread_writes_atimes), TEST_CASE(many_waiting_atimes_are_bounded),
          TEST_CASE(noatime_leaves_it_alone),
          TEST_CASE(strictatime_sets_it_each_time_and_nodiratime_never_by_a_listing))
