/*
 * test_fs_rename.c - rename, case by case of its specification.
 */
#include <linux/fs.h>

#include "fs/keys.h"
#include "test_fs.h"

static struct rig rig;
static struct rig *const r = &rig;

#define ren(p, n, q, m) fs_rename(r->fs, NULL, p, n, q, m, 0)
#define whiteout(p, n, q, m, flags)                                                      \
    fs_rename(r->fs, &r->cred, p, n, q, m, RENAME_WHITEOUT | (flags))
#define exchange(p, n, q, m) fs_rename(r->fs, NULL, p, n, q, m, RENAME_EXCHANGE)

static unsigned nlink_of(uint64_t ino)
{
    return (unsigned)rig_attr(r, ino).st.st_nlink;
}

START_TEST(a_file_moves_within_its_directory)
{
    struct fs_attr a, before;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "a");
    rig_write(r, f, 0, "text");
    before = rig_attr(r, f);
    ck_ok(ren(FS_ROOT, "a", FS_ROOT, "b"));
    ck_assert(!rig_has(r, FS_ROOT, "a"));
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "b"), f);
    a = rig_attr(r, f);
    ck_assert_int_gt(stamp_cmp(a.st.st_ctim, before.st.st_ctim), 0);
    ck_assert_int_eq(stamp_cmp(a.st.st_mtim, before.st.st_mtim), 0);
    rig_write(r, f, 4, "!"); /* its record goes under the new name */
    rig_remount(r);
    ck_assert(!rig_has(r, FS_ROOT, "a"));
    rig_expect_str(r, rig_lookup(r, FS_ROOT, "b"), "text!");
    rig_release(r);
}
END_TEST

START_TEST(a_file_moves_between_directories)
{
    uint64_t d, e, f;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    e = rig_dir(r, FS_ROOT, "e");
    f = rig_file(r, d, "a");
    ck_ok(ren(d, "a", e, "b"));
    rig_write(r, f, 0, "moved");
    ck_assert(!rig_has(r, d, "a"));
    ck_ok(ren(e, "b", d, "a"));
    ck_ok(ren(d, "a", e, "b"));
    ck_ok(fs_rmdir(r->fs, FS_ROOT, "d"));
    rig_remount(r);
    rig_expect_str(r, rig_lookup(r, rig_lookup(r, FS_ROOT, "e"), "b"), "moved");
    rig_release(r);
}
END_TEST

START_TEST(a_directory_moves_with_its_link)
{
    uint64_t d, e, s;
    struct fs_attr a;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    e = rig_dir(r, FS_ROOT, "e");
    s = rig_dir(r, d, "s");
    rig_file(r, s, "f");
    ck_ok(ren(d, "s", e, "t"));
    ck_assert_uint_eq(nlink_of(d), 2);
    ck_assert_uint_eq(nlink_of(e), 3);
    ck_ok(fs_lookup(r->fs, s, "..", &a));
    ck_assert_uint_eq(a.st.st_ino, e);
    rig_remount(r);
    e = rig_lookup(r, FS_ROOT, "e");
    s = rig_lookup(r, e, "t");
    ck_assert(rig_has(r, s, "f"));
    ck_assert_uint_eq(rig_lookup(r, s, ".."), e);
    rig_release(r);
}
END_TEST

START_TEST(a_file_replaces_a_file)
{
    struct key k;
    uint64_t d, f, g;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    f = rig_file(r, FS_ROOT, "f");
    g = rig_file(r, FS_ROOT, "g");
    rig_write(r, f, 0, "new");
    rig_write(r, g, 0, "old");
    ck_ok(ren(FS_ROOT, "f", FS_ROOT, "g"));
    ck_assert_uint_eq(nlink_of(g), 0);
    fs_forget(r->fs, g, 1);
    ck_ok(fs_sync(r->fs));
    ck_err(lsm_exists(r->db, NULL, key_extent(&k, g, 3)), ENOENT);
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "g"), f);
    ck_assert_int_eq(rig_attr(r, FS_ROOT).st.st_size, 2);
    g = rig_file(r, d, "g");
    ck_ok(ren(FS_ROOT, "g", d, "g"));
    ck_assert_int_eq(rig_attr(r, FS_ROOT).st.st_size, 1);
    ck_assert_int_eq(rig_attr(r, d).st.st_size, 1);
    rig_remount(r);
    rig_expect_str(r, rig_lookup(r, rig_lookup(r, FS_ROOT, "d"), "g"), "new");
    rig_release(r);
}
END_TEST

START_TEST(a_target_that_is_known_lives_on)
{
    uint64_t f, g;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    g = rig_file(r, FS_ROOT, "g");
    rig_write(r, g, 0, "old");
    ck_ok(ren(FS_ROOT, "f", FS_ROOT, "g"));
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "g"), f);
    rig_expect_str(r, g, "old");
    rig_check(r);
    fs_forget(r->fs, g, 1);
    rig_check(r);
    rig_release(r);
}
END_TEST

START_TEST(a_target_with_other_links_loses_one)
{
    uint64_t g;
    struct fs_attr a;

    rig_init(r, "s");
    rig_file(r, FS_ROOT, "f");
    g = rig_file(r, FS_ROOT, "g");
    ck_ok(fs_link(r->fs, g, FS_ROOT, "h", &a));
    ck_ok(ren(FS_ROOT, "f", FS_ROOT, "g"));
    ck_assert_uint_eq(nlink_of(g), 1);
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "h"), g);
    rig_release(r);
}
END_TEST

START_TEST(two_names_of_one_inode_both_stay)
{
    uint64_t f;
    struct fs_attr a;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(fs_link(r->fs, f, FS_ROOT, "g", &a));
    ck_ok(ren(FS_ROOT, "f", FS_ROOT, "g"));
    ck_ok(exchange(FS_ROOT, "f", FS_ROOT, "g"));
    ck_ok(ren(FS_ROOT, "f", FS_ROOT, "f"));
    ck_assert(rig_has(r, FS_ROOT, "f"));
    ck_assert(rig_has(r, FS_ROOT, "g"));
    ck_assert_uint_eq(nlink_of(f), 2);
    rig_release(r);
}
END_TEST

START_TEST(types_must_agree)
{
    uint64_t d;

    rig_init(r, "s");
    rig_file(r, FS_ROOT, "f");
    d = rig_dir(r, FS_ROOT, "d");
    rig_dir(r, FS_ROOT, "e");
    ck_err(ren(FS_ROOT, "f", FS_ROOT, "d"), EISDIR);
    ck_err(ren(FS_ROOT, "d", FS_ROOT, "f"), ENOTDIR);
    rig_file(r, d, "x");
    ck_err(ren(FS_ROOT, "e", FS_ROOT, "d"), ENOTEMPTY);
    ck_ok(ren(FS_ROOT, "d", FS_ROOT, "e")); /* an empty one gives way */
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "e"), d);
    ck_assert_uint_eq(nlink_of(FS_ROOT), 3);
    rig_release(r);
}
END_TEST

START_TEST(a_directory_cannot_go_below_itself)
{
    uint64_t a, b, c;

    rig_init(r, "s");
    a = rig_dir(r, FS_ROOT, "a");
    b = rig_dir(r, a, "b");
    c = rig_dir(r, b, "c");
    ck_err(ren(FS_ROOT, "a", a, "x"), EINVAL);
    ck_err(ren(FS_ROOT, "a", c, "x"), EINVAL);
    ck_err(ren(FS_ROOT, "a", b, "c"), EINVAL);
    ck_err(ren(b, "c", FS_ROOT, "a"), ENOTEMPTY);
    ck_err(ren(b, "c", a, "b"), ENOTEMPTY);
    ck_err(exchange(FS_ROOT, "a", b, "c"), EINVAL);
    ck_err(exchange(b, "c", FS_ROOT, "a"), EINVAL);
    ck_ok(ren(b, "c", FS_ROOT, "c")); /* up is fine */
    ck_ok(ren(FS_ROOT, "a", c, "a")); /* and so is the other way then */
    ck_assert_uint_eq(rig_lookup(r, a, ".."), c);
    rig_release(r);
}
END_TEST

START_TEST(flags_are_honoured_or_refused)
{
    uint64_t f, g;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    g = rig_file(r, FS_ROOT, "g");
    ck_err(fs_rename(r->fs, NULL, FS_ROOT, "f", FS_ROOT, "g", RENAME_NOREPLACE), EEXIST);
    ck_ok(fs_rename(r->fs, NULL, FS_ROOT, "f", FS_ROOT, "h", RENAME_NOREPLACE));
    ck_err(exchange(FS_ROOT, "h", FS_ROOT, "none"), ENOENT);
    ck_err(exchange(FS_ROOT, "none", FS_ROOT, "h"), ENOENT);
    ck_err(fs_rename(r->fs, NULL, FS_ROOT, "h", FS_ROOT, "g", 1u << 31), EINVAL);
    ck_err(whiteout(FS_ROOT, "h", FS_ROOT, "g", RENAME_EXCHANGE), EINVAL);
    ck_err(whiteout(FS_ROOT, "h", FS_ROOT, "g", RENAME_NOREPLACE), EEXIST);
    ck_err(fs_rename(r->fs, NULL, FS_ROOT, "h", FS_ROOT, "g",
                     RENAME_NOREPLACE | RENAME_EXCHANGE),
           EINVAL);
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "h"), f);
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "g"), g);
    rig_release(r);
}
END_TEST

START_TEST(exchange_swaps_any_two)
{
    uint64_t d, e, f, s;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    e = rig_dir(r, FS_ROOT, "e");
    f = rig_file(r, d, "f");
    s = rig_dir(r, e, "s");
    rig_write(r, f, 0, "file");
    rig_file(r, s, "inside");
    ck_ok(exchange(d, "f", e, "s"));
    ck_assert_uint_eq(rig_lookup(r, d, "f"), s);
    ck_assert_uint_eq(rig_lookup(r, e, "s"), f);
    ck_assert_uint_eq(nlink_of(d), 3);
    ck_assert_uint_eq(nlink_of(e), 2);
    ck_assert_uint_eq(rig_lookup(r, s, ".."), d);
    rig_remount(r);
    ck_ok(exchange(rig_lookup(r, FS_ROOT, "d"), "f", FS_ROOT, "e"));
    e = rig_lookup(r, rig_lookup(r, FS_ROOT, "d"), "f");
    rig_expect_str(r, rig_lookup(r, e, "s"), "file");
    rig_write(r, f, 0, "FILE");
    ck_ok(exchange(FS_ROOT, "d", FS_ROOT, "e"));
    rig_remount(r);
    d = rig_lookup(r, FS_ROOT, "e");
    rig_expect_str(r, rig_lookup(r, rig_lookup(r, d, "f"), "s"), "FILE");
    rig_release(r);
}
END_TEST

START_TEST(a_whiteout_is_left_where_the_file_was)
{
    struct fs_attr a;
    struct fs_stats before, s;
    uint64_t d, f;

    rig_init(r, "s");
    r->cred.uid = 7;
    r->cred.gid = 8;
    d = rig_dir(r, FS_ROOT, "d");
    f = rig_file(r, FS_ROOT, "f");
    rig_file(r, d, "f");
    rig_dir(r, FS_ROOT, "sub");
    fs_get_stats(r->fs, &before);
    ck_ok(whiteout(FS_ROOT, "f", FS_ROOT, "g", RENAME_NOREPLACE));
    ck_ok(whiteout(FS_ROOT, "g", d, "f", 0)); /* over another */
    ck_ok(whiteout(FS_ROOT, "sub", d, "sub", 0));
    fs_get_stats(r->fs, &s);
    ck_assert_uint_eq(s.inodes, before.inodes + 3); /* and the one replaced is held */
    rig_remount(r);
    d = rig_lookup(r, FS_ROOT, "d");
    ck_assert_uint_eq(rig_lookup(r, d, "f"), f);
    ck_assert_uint_eq(nlink_of(d), 3);
    ck_assert_uint_eq(nlink_of(FS_ROOT), 3);
    for (const char *name = "f\0g\0sub\0"; *name; name += strlen(name) + 1) {
        ck_ok(fs_lookup(r->fs, FS_ROOT, name, &a));
        ck_assert_uint_eq(a.st.st_mode, S_IFCHR);
        ck_assert_uint_eq(a.st.st_rdev, 0);
        ck_assert_uint_eq(a.st.st_nlink, 1);
        ck_assert_uint_eq(a.st.st_uid, 7);
        ck_assert_uint_eq(a.st.st_gid, 8);
    }
    ck_ok(ren(d, "f", FS_ROOT, "f"));               /* it can be replaced, */
    ck_ok(whiteout(FS_ROOT, "f", FS_ROOT, "f", 0)); /* and a name stays what it is, */
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "f"), f);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "g")); /* or removed */
    rig_release(r);
}
END_TEST

START_TEST(bad_names_and_places_are_refused)
{
    char longest[257];
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    memset(longest, 'x', 256);
    longest[256] = 0;
    ck_err(ren(FS_ROOT, "x", FS_ROOT, "y"), ENOENT);
    ck_err(ren(FS_ROOT, ".", FS_ROOT, "y"), EINVAL);
    ck_err(ren(FS_ROOT, "f", FS_ROOT, ".."), EINVAL);
    ck_err(ren(FS_ROOT, "", FS_ROOT, "y"), EINVAL);
    ck_err(ren(FS_ROOT, "f", FS_ROOT, "a/b"), EINVAL);
    ck_err(ren(FS_ROOT, "f", FS_ROOT, longest), ENAMETOOLONG);
    ck_err(ren(FS_ROOT, "f", f, "y"), ENOTDIR);
    ck_err(ren(f, "x", FS_ROOT, "y"), ENOTDIR);
    ck_err(ren(f, "x", f, "y"), ENOTDIR);
    ck_err(ren(999, "x", FS_ROOT, "y"), ESTALE);
    ck_err(ren(FS_ROOT, "f", 999, "y"), ESTALE);
    rig_release(r);
}
END_TEST

START_TEST(links_move_like_files)
{
    struct fs_attr a;
    uint64_t d, f;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(fs_link(r->fs, f, d, "g", &a));
    ck_ok(ren(FS_ROOT, "f", d, "h"));
    rig_write(r, f, 0, "two names");
    rig_remount(r);
    d = rig_lookup(r, FS_ROOT, "d");
    ck_assert_uint_eq(rig_lookup(r, d, "g"), f);
    ck_assert_uint_eq(rig_lookup(r, d, "h"), f);
    ck_assert(!rig_has(r, FS_ROOT, "f"));
    rig_expect_str(r, f, "two names");
    rig_release(r);
}
END_TEST

/* All cases again where every name has one of two hashes. */
START_TEST(names_that_collide_move_too)
{
    uint64_t f[8], d;
    char name[16];
    int i, round;

    name_hash_mask = 1;
    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    for (i = 0; i < 8; i++) {
        snprintf(name, sizeof(name), "%d", i);
        f[i] = rig_file(r, FS_ROOT, name);
    }
    for (round = 0; round < 3; round++) {
        for (i = 0; i < 8; i += 2) {
            char other[16];

            snprintf(name, sizeof(name), "%d", i);
            snprintf(other, sizeof(other), "%d", i + 1);
            ck_ok(exchange(FS_ROOT, name, FS_ROOT, other));
            ck_assert_uint_eq(rig_lookup(r, FS_ROOT, name), f[i + (round + 1) % 2]);
            ck_ok(ren(FS_ROOT, name, FS_ROOT, "tmp"));
            ck_ok(ren(FS_ROOT, "tmp", d, other));
            ck_ok(ren(d, other, FS_ROOT, name));
            rig_check(r);
        }
    }
    for (i = 0; i < 8; i += 2) {
        char other[16];

        snprintf(name, sizeof(name), "%d", i);
        snprintf(other, sizeof(other), "%d", i + 1);
        ck_ok(ren(FS_ROOT, name, FS_ROOT, other));
        rig_check(r);
    }
    rig_release(r);
}
END_TEST

TEST_MAIN("fs_rename", TEST_CASE(a_file_moves_within_its_directory),
          TEST_CASE(a_file_moves_between_directories),
          TEST_CASE(a_directory_moves_with_its_link), TEST_CASE(a_file_replaces_a_file),
          TEST_CASE(a_target_that_is_known_lives_on),
          TEST_CASE(a_target_with_other_links_loses_one),
          TEST_CASE(two_names_of_one_inode_both_stay), TEST_CASE(types_must_agree),
          TEST_CASE(a_directory_cannot_go_below_itself),
          TEST_CASE(flags_are_honoured_or_refused), TEST_CASE(exchange_swaps_any_two),
          TEST_CASE(a_whiteout_is_left_where_the_file_was),
          TEST_CASE(bad_names_and_places_are_refused), TEST_CASE(links_move_like_files),
          TEST_CASE(names_that_collide_move_too))
