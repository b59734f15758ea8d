/*
 * test_fs_tmpfile.c - files that are made without a name (fs_tmpfile), and get one or
 * not.
 */
#include "test_fs.h"

#include "fs/fs_impl.h"

static struct rig rig, *r = &rig;

static uint64_t tmpfile_in(uint64_t dir, mode_t mode)
{
    struct fs_attr a;

    ck_ok(fs_tmpfile(r->fs, &r->cred, dir, mode, &a));
    ck_assert_uint_eq(a.st.st_nlink, 0);
    return a.st.st_ino;
}

static void let_go(uint64_t ino)
{
    fs_forget(r->fs, ino, 1);
}

static uint64_t inodes(void)
{
    struct fs_stats s;

    fs_get_stats(r->fs, &s);
    return s.inodes;
}

START_TEST(it_goes_with_its_last_reference)
{
    struct timespec before;
    struct fs_attr a;
    struct key k;
    uint64_t f;

    rig_init(r, "s");
    before = rig_attr(r, FS_ROOT).st.st_mtim;
    f = tmpfile_in(FS_ROOT, 0640);
    rig_write(r, f, 0, "contents");
    rig_expect_str(r, f, "contents");
    ck_assert_uint_eq(rig_attr(r, f).st.st_mode, S_IFREG | 0640);
    ck_assert_uint_eq(inodes(), 2);
    rig_check(r);
    ck_assert_int_eq(stamp_cmp(before, rig_attr(r, FS_ROOT).st.st_mtim), 0);
    ck_assert_int_eq(rig_attr(r, FS_ROOT).st.st_size, 0);
    let_go(f);
    ck_err(fs_getattr(r->fs, f, &a), ESTALE);
    ck_ok(fs_sync(r->fs));
    ck_err(lsm_exists(r->db, NULL, key_inode(&k, f)), ENOENT);
    ck_err(lsm_exists(r->db, NULL, key_orphan(&k, f)), ENOENT);
    ck_err(lsm_exists(r->db, NULL, key_extent(&k, f, 8)), ENOENT);
    ck_assert_uint_eq(inodes(), 1);
    rig_release(r);
}
END_TEST

START_TEST(a_link_gives_it_a_name_and_it_stays)
{
    struct fs_attr a;
    uint64_t f, d;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    f = tmpfile_in(d, 0600);
    rig_write(r, f, 0, "contents");
    ck_ok(fs_link(r->fs, f, FS_ROOT, "named", &a));
    ck_assert_uint_eq(a.st.st_nlink, 1);
    fs_forget(r->fs, f, 1);
    ck_ok(fs_link(r->fs, f, d, "again", &a));
    ck_assert_uint_eq(a.st.st_nlink, 2);
    fs_forget(r->fs, f, 1);
    rig_check(r);
    let_go(f);
    rig_remount(r);
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "named"), f);
    rig_expect_str(r, f, "contents");
    rig_release(r);
}
END_TEST

/* Linked and unlinked again it is a file like others: it gets no name any more. */
START_TEST(only_one_that_never_had_a_name_gets_one)
{
    struct fs_attr a;
    uint64_t f, g;

    rig_init(r, "s");
    f = tmpfile_in(FS_ROOT, 0600);
    ck_ok(fs_link(r->fs, f, FS_ROOT, "f", &a));
    fs_forget(r->fs, f, 1);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    ck_err(fs_link(r->fs, f, FS_ROOT, "f", &a), ENOENT);
    g = rig_file(r, FS_ROOT, "g");
    ck_ok(fs_unlink(r->fs, FS_ROOT, "g"));
    ck_err(fs_link(r->fs, g, FS_ROOT, "g", &a), ENOENT);
    let_go(f);
    rig_release(r);
}
END_TEST

START_TEST(a_name_that_is_taken_leaves_it_without)
{
    struct fs_attr a;
    uint64_t f;

    rig_init(r, "s");
    rig_file(r, FS_ROOT, "taken");
    f = tmpfile_in(FS_ROOT, 0600);
    ck_err(fs_link(r->fs, f, FS_ROOT, "taken", &a), EEXIST);
    ck_ok(fs_link(r->fs, f, FS_ROOT, "free", &a));
    fs_forget(r->fs, f, 1);
    let_go(f);
    rig_release(r);
}
END_TEST

START_TEST(a_directory_that_was_removed_takes_none)
{
    struct fs_attr a;
    uint64_t d, f;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(fs_rmdir(r->fs, FS_ROOT, "d"));
    ck_err(fs_tmpfile(r->fs, &r->cred, d, 0600, &a), ENOENT);
    ck_err(fs_tmpfile(r->fs, &r->cred, f, 0600, &a), ENOTDIR);
    rig_release(r);
}
END_TEST

START_TEST(the_mount_after_a_crash_removes_it_and_keeps_one_that_got_a_name)
{
    static struct fs *volatile crashed; /* reachable: no leak to the sanitizer */
    struct fs_stats s;
    struct fs_attr a;
    uint64_t f, g;

    rig_init(r, "s");
    f = tmpfile_in(FS_ROOT, 0600);
    g = tmpfile_in(FS_ROOT, 0600);
    rig_write(r, f, 0, "gone");
    rig_write(r, g, 0, "kept");
    ck_ok(fs_link(r->fs, g, FS_ROOT, "g", &a));
    crashed = r->fs; /* never unmounted: what a crash leaves */
    rig_mount(r);
    fs_get_stats(r->fs, &s);
    ck_assert_uint_eq(s.orphans_removed, 1);
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "g"), g);
    rig_expect_str(r, g, "kept");
    rig_check(r);
    ck_ok(fs_unmount(r->fs));
    ck_ok(lsm_close(r->db));
    (void)crashed;
}
END_TEST

START_TEST(it_inherits_like_any_other)
{
    struct fs_attr a;
    struct stat st = {.st_mode = 02775, .st_gid = 7};
    uint64_t d, f;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    ck_ok(fs_setattr(r->fs, &r->cred, d, FS_SET_MODE | FS_SET_GID, &st, &a));
    r->cred.umask = 022;
    f = tmpfile_in(d, 0666);
    ck_assert_uint_eq(rig_attr(r, f).st.st_mode, S_IFREG | 0644);
    ck_assert_uint_eq(rig_attr(r, f).st.st_gid, 7);
    let_go(f);
    rig_release(r);
}
END_TEST

TEST_MAIN("fs tmpfile", TEST_CASE(it_goes_with_its_last_reference),
          TEST_CASE(a_link_gives_it_a_name_and_it_stays),
          TEST_CASE(only_one_that_never_had_a_name_gets_one),
          TEST_CASE(a_name_that_is_taken_leaves_it_without),
          TEST_CASE(a_directory_that_was_removed_takes_none),
          TEST_CASE(the_mount_after_a_crash_removes_it_and_keeps_one_that_got_a_name),
          TEST_CASE(it_inherits_like_any_other))
