/*
 * test_fs_names.c - names: lookup, mknod and its kin, link, unlink, rmdir;
 * format and mount.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "fs/keys.h"
#include "fs/record.h"
#include "test_fs.h"

static struct rig rig;
static struct rig *const r = &rig;

static uint64_t live(void)
{
    struct fs_stats s;

    fs_get_stats(r->fs, &s);
    return s.live_inodes;
}

static uint64_t inodes(void)
{
    struct fs_stats s;

    fs_get_stats(r->fs, &s);
    return s.inodes;
}

/* ---- the filesystem as a whole ---- */

START_TEST(format_refuses_what_is_not_empty)
{
    struct fs_options o;
    struct fs *fs;

    rig_init(r, "s");
    ck_err(fs_format(r->db, 0, 0, 0755, NULL), EEXIST);
    rig_release(r);
    snprintf(r->path, sizeof(r->path), "%s/other", test_dir());
    rig_open_store(r);
    fs_options_init(&o);
    ck_err(fs_mount(r->db, &o, &fs), ENODATA);
    ck_ok(lsm_put(r->db, slice_str("x"), slice_str("y")));
    ck_err(fs_format(r->db, 0, 0, 0755, NULL), ENOTEMPTY);
    ck_ok(lsm_close(r->db));
}
END_TEST

START_TEST(a_newer_filesystem_is_refused)
{
    struct fs *fs;

    rig_init(r, "s");
    ck_ok(fs_unmount(r->fs));
    ck_ok(lsm_put(r->db, key_super(), slice_str("siltfs\x04")));
    ck_err(fs_mount(r->db, &r->options, &fs), EPROTONOSUPPORT);
    ck_ok(lsm_put(r->db, key_super(), slice_str("siltfs\x01")));
    test_log_capture();
    ck_err(fs_mount(r->db, &r->options, &fs), EUCLEAN);
    ck_assert(test_log_has("superblock"));
    ck_ok(lsm_close(r->db));
}
END_TEST

START_TEST(the_root_is_as_formatted)
{
    struct fs_attr a;

    rig_init(r, "s");
    a = rig_attr(r, FS_ROOT);
    ck_assert_uint_eq(a.st.st_ino, FS_ROOT);
    ck_assert_uint_eq(a.st.st_mode, S_IFDIR | 0755);
    ck_assert_uint_eq(a.st.st_nlink, 2);
    ck_assert_uint_eq(inodes(), 1);
    ck_ok(fs_lookup(r->fs, FS_ROOT, "..", &a));
    ck_assert_uint_eq(a.st.st_ino, FS_ROOT);
    fs_forget(r->fs, FS_ROOT, 1);
    rig_release(r);
}
END_TEST

START_TEST(a_read_only_mount_changes_nothing)
{
    struct stat st = {0};
    struct fs_attr a;
    uint64_t f;
    char c;
    size_t n;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    rig_write(r, f, 0, "x");
    ck_ok(fs_unmount(r->fs));
    r->options.read_only = true;
    rig_mount(r);
    f = rig_lookup(r, FS_ROOT, "f");
    ck_ok(fs_read(r->fs, f, 0, 1, &c, &n));
    ck_err(fs_write(r->fs, f, 0, slice_str("y"), false), EROFS);
    ck_err(fs_mknod(r->fs, &r->cred, FS_ROOT, "g", S_IFREG, 0, &a), EROFS);
    ck_err(fs_mkdir(r->fs, &r->cred, FS_ROOT, "g", 0755, &a), EROFS);
    ck_err(fs_symlink(r->fs, &r->cred, FS_ROOT, "g", "t", &a), EROFS);
    ck_err(fs_link(r->fs, f, FS_ROOT, "g", &a), EROFS);
    ck_err(fs_unlink(r->fs, FS_ROOT, "f"), EROFS);
    ck_err(fs_rmdir(r->fs, FS_ROOT, "f"), EROFS);
    ck_err(fs_rename(r->fs, NULL, FS_ROOT, "f", FS_ROOT, "g", 0), EROFS);
    ck_err(fs_setattr(r->fs, NULL, f, FS_SET_MODE, &st, &a), EROFS);
    ck_err(fs_setattr(r->fs, NULL, f, FS_SET_SIZE, &st, &a), EROFS);
    ck_ok(fs_fsync(r->fs, f));
    ck_ok(fs_sync(r->fs));
    rig_release(r);
}
END_TEST

START_TEST(numbers_ascend_over_mounts_and_are_never_reused)
{
    uint64_t last = 0, ino;
    char name[16];
    int i;

    rig_init(r, "s");
    for (i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        ino = rig_file(r, FS_ROOT, name);
        ck_assert_uint_gt(ino, last);
        ck_assert_uint_ge(ino, 16);
        last = ino;
        if (i % 3 == 0)
            ck_ok(fs_unlink(r->fs, FS_ROOT, name));
    }
    rig_remount(r);
    ino = rig_file(r, FS_ROOT, "after");
    ck_assert_uint_eq(ino, last + 1); /* a clean unmount skips none */
    rig_release(r);
}
END_TEST

/* ---- lookup ---- */

START_TEST(lookup_finds_what_was_made)
{
    struct fs_attr a;
    uint64_t d, f;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    f = rig_file(r, d, "f");
    ck_assert_uint_eq(rig_lookup(r, d, "f"), f);
    ck_assert_uint_eq(rig_lookup(r, d, "."), d);
    ck_assert_uint_eq(rig_lookup(r, d, ".."), FS_ROOT);
    ck_err(fs_lookup(r->fs, d, "g", &a), ENOENT);
    ck_err(fs_lookup(r->fs, d, "", &a), EINVAL);
    ck_err(fs_lookup(r->fs, d, "f/", &a), EINVAL);
    ck_err(fs_lookup(r->fs, f, "x", &a), ENOTDIR);
    ck_err(fs_lookup(r->fs, f, "..", &a), ENOTDIR);
    ck_err(fs_lookup(r->fs, 12345, "x", &a), ESTALE);
    rig_remount(r);
    d = rig_lookup(r, FS_ROOT, "d");
    ck_assert_uint_eq(rig_lookup(r, d, "f"), f);
    rig_release(r);
}
END_TEST

START_TEST(names_may_be_255_bytes_of_anything)
{
    char name[257];
    struct fs_attr a;
    uint64_t f;
    int i;

    rig_init(r, "s");
    for (i = 0; i < 256; i++)
        name[i] = (char)(i == '/' || i == 0 ? 'x' : i);
    name[256] = 0;
    ck_err(fs_mknod(r->fs, &r->cred, FS_ROOT, name, S_IFREG, 0, &a), ENAMETOOLONG);
    ck_err(fs_lookup(r->fs, FS_ROOT, name, &a), ENAMETOOLONG);
    name[255] = 0;
    f = rig_file(r, FS_ROOT, name);
    rig_remount(r);
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, name), f);
    rig_release(r);
}
END_TEST

START_TEST(references_keep_an_inode_in_memory_and_no_longer)
{
    uint64_t f;

    rig_init(r, "s");
    ck_assert_uint_eq(live(), 1);
    f = rig_file(r, FS_ROOT, "f");
    rig_lookup(r, FS_ROOT, "f");
    ck_assert_uint_eq(live(), 2);
    fs_forget(r->fs, f, 1);
    ck_assert_uint_eq(live(), 2);
    fs_forget(r->fs, f, 100); /* more than there are */
    ck_assert_uint_eq(live(), 1);
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "f"), f);
    ck_assert_uint_eq(live(), 2);
    fs_forget(r->fs, 777, 1);
    rig_release(r);
}
END_TEST

/* ---- by number alone, as for file handles ---- */

static int by_number(uint64_t ino)
{
    struct fs_attr a;
    int rc = fs_lookup(r->fs, ino, ".", &a);

    if (!rc)
        ck_assert_uint_eq(a.st.st_ino, ino);
    return rc;
}

START_TEST(a_number_leads_to_what_nobody_refers_to)
{
    uint64_t dirs[20], files[20], link, moved;
    char name[16];
    int i;

    rig_init(r, "s");
    for (i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "d%d", i);
        dirs[i] = rig_dir(r, i % 3 ? dirs[i / 2] : FS_ROOT, name);
        files[i] = rig_file(r, dirs[i], "f");
        rig_write(r, files[i], 0, name);
    }
    link = rig_file(r, FS_ROOT, "link");
    ck_ok(fs_link(r->fs, link, dirs[3], "second", &(struct fs_attr){0}));
    moved = rig_file(r, FS_ROOT, "moved"); /* into one that is older, one that is newer */
    ck_ok(fs_rename(r->fs, NULL, FS_ROOT, "moved", rig_dir(r, FS_ROOT, "new"), "n", 0));
    ck_ok(fs_rename(r->fs, NULL, dirs[19], "f", dirs[0], "g", 0));
    rig_remount(r);
    ck_assert_uint_eq(live(), 1);
    for (i = 0; i < 20; i++) {
        ck_ok(by_number(files[i]));
        ck_ok(by_number(dirs[i]));
        snprintf(name, sizeof(name), "d%d", i);
        rig_expect_str(r, files[i], name);
    }
    ck_ok(by_number(link));
    ck_ok(by_number(moved));
    ck_assert_uint_eq(live(), 43);
    fs_forget(r->fs, moved, 1);
    ck_assert_uint_eq(live(), 42);
    rig_release(r);
}
END_TEST

START_TEST(a_number_of_nothing_is_stale)
{
    uint64_t f, d, link, second;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    d = rig_dir(r, FS_ROOT, "d");
    link = rig_file(r, FS_ROOT, "link");
    ck_ok(fs_link(r->fs, link, d, "second", &(struct fs_attr){0}));
    second = link + 1; /* the place of that name */
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    ck_ok(by_number(f)); /* is still referred to */
    fs_forget(r->fs, f, 2);
    ck_err(by_number(f), ESTALE);
    ck_err(by_number(second), ESTALE);
    ck_err(by_number(second + 100), ESTALE);
    ck_err(by_number(0), ESTALE);
    ck_err(by_number(2), ESTALE);
    ck_err(by_number(UINT64_MAX), ESTALE);
    ck_err(by_number(INT64_MAX), ESTALE);
    ck_ok(fs_unlink(r->fs, d, "second"));
    ck_ok(fs_rmdir(r->fs, FS_ROOT, "d"));
    ck_err(by_number(d), ESTALE); /* though its shell is in memory */
    rig_remount(r);
    ck_err(by_number(f), ESTALE);
    ck_err(by_number(d), ESTALE);
    ck_ok(by_number(link));
    rig_release(r);
}
END_TEST

/* One goes from directory to directory, to a second name and back, is forgotten and asked
 * for by its number: it is always there. */
struct mover {
    uint64_t dir[2], ino;
    _Atomic bool done;
};

static void *move_about(void *arg)
{
    struct mover *m = arg;
    struct fs_attr a;
    int i;

    for (i = 0; i < 300; i++) {
        ck_ok(fs_rename(r->fs, NULL, m->dir[i % 2], "f", m->dir[(i + 1) % 2], "f", 0));
        ck_ok(fs_lookup(r->fs, m->dir[(i + 1) % 2], "f", &a));
        fs_forget(r->fs, m->ino, 1);
    }
    ck_ok(by_number(m->ino));
    ck_ok(fs_link(r->fs, m->ino, m->dir[1], "g", &a));
    fs_forget(r->fs, m->ino, 2);
    atomic_store(&m->done, true);
    return NULL;
}

START_TEST(a_number_leads_to_what_is_moved_meanwhile)
{
    struct mover m = {.done = false};
    pthread_t t;
    int i;

    rig_init(r, "s");
    m.dir[0] = rig_dir(r, FS_ROOT, "a");
    for (i = 0; i < 20; i++) {
        char name[16];

        snprintf(name, sizeof(name), "d%d", i);
        rig_dir(r, m.dir[0], name);
    }
    m.ino = rig_file(r, m.dir[0], "f");
    m.dir[1] = rig_dir(r, FS_ROOT, "b");
    fs_forget(r->fs, m.ino, 1);
    ck_assert_int_eq(pthread_create(&t, NULL, move_about, &m), 0);
    while (!atomic_load(&m.done)) {
        ck_ok(by_number(m.ino));
        fs_forget(r->fs, m.ino, 1);
    }
    pthread_join(t, NULL);
    ck_ok(by_number(m.ino));
    rig_release(r);
}
END_TEST

/* ---- making ---- */

START_TEST(mknod_makes_every_kind_and_keeps_it)
{
    static const struct {
        const char *name;
        mode_t mode;
    } kinds[] = {
        {"reg", S_IFREG | 0640}, {"fifo", S_IFIFO | 0600}, {"sock", S_IFSOCK | 0755},
        {"chr", S_IFCHR | 0666}, {"blk", S_IFBLK | 0660},
    };
    dev_t dev = (dev_t)0x12345 << 12 | 7;
    struct fs_attr a;
    unsigned i;

    rig_init(r, "s");
    r->cred.umask = 022;
    for (i = 0; i < 5; i++)
        ck_ok(fs_mknod(r->fs, &r->cred, FS_ROOT, kinds[i].name, kinds[i].mode, dev, &a));
    ck_err(fs_mknod(r->fs, &r->cred, FS_ROOT, "d", S_IFDIR | 0755, 0, &a), EPERM);
    ck_err(fs_mknod(r->fs, &r->cred, FS_ROOT, "l", S_IFLNK | 0777, 0, &a), EINVAL);
    ck_ok(fs_mknod(r->fs, &r->cred, FS_ROOT, "zero", 0600, 0, &a));
    ck_assert_uint_eq(a.st.st_mode, S_IFREG | 0600);
    rig_remount(r);
    for (i = 0; i < 5; i++) {
        ck_ok(fs_lookup(r->fs, FS_ROOT, kinds[i].name, &a));
        ck_assert_uint_eq(a.st.st_mode, kinds[i].mode & ~022u);
        ck_assert_uint_eq(a.st.st_nlink, 1);
        ck_assert_uint_eq(a.st.st_rdev, i >= 3 ? dev : 0);
    }
    rig_release(r);
}
END_TEST

START_TEST(a_name_exists_once)
{
    struct fs_attr a;

    rig_init(r, "s");
    rig_file(r, FS_ROOT, "f");
    ck_err(fs_mknod(r->fs, &r->cred, FS_ROOT, "f", S_IFREG, 0, &a), EEXIST);
    ck_err(fs_mknod(r->fs, &r->cred, FS_ROOT, "f", S_IFIFO, 0, &a), EEXIST);
    ck_err(fs_mkdir(r->fs, &r->cred, FS_ROOT, "f", 0755, &a), EEXIST);
    ck_err(fs_symlink(r->fs, &r->cred, FS_ROOT, "f", "x", &a), EEXIST);
    ck_err(fs_mkdir(r->fs, &r->cred, FS_ROOT, ".", 0755, &a), EEXIST);
    ck_err(fs_mkdir(r->fs, &r->cred, FS_ROOT, "..", 0755, &a), EEXIST);
    ck_err(fs_mkdir(r->fs, &r->cred, FS_ROOT, "", 0755, &a), EINVAL);
    ck_err(fs_mkdir(r->fs, &r->cred, FS_ROOT, "a/b", 0755, &a), EINVAL);
    ck_assert_uint_eq(inodes(), 2);
    rig_release(r);
}
END_TEST

START_TEST(directories_count_links_and_entries)
{
    uint64_t d, e, f;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    e = rig_dir(r, d, "e");
    f = rig_file(r, d, "f");
    ck_assert_uint_eq(rig_attr(r, FS_ROOT).st.st_nlink, 3);
    ck_assert_uint_eq(rig_attr(r, d).st.st_nlink, 3);
    ck_assert_int_eq(rig_attr(r, d).st.st_size, 2);
    ck_assert_uint_eq(rig_attr(r, e).st.st_nlink, 2);
    ck_err(fs_rmdir(r->fs, FS_ROOT, "d"), ENOTEMPTY);
    ck_ok(fs_rmdir(r->fs, d, "e"));
    ck_ok(fs_unlink(r->fs, d, "f"));
    fs_forget(r->fs, f, 1);
    ck_assert_uint_eq(rig_attr(r, d).st.st_nlink, 2);
    ck_assert_int_eq(rig_attr(r, d).st.st_size, 0);
    ck_ok(fs_rmdir(r->fs, FS_ROOT, "d"));
    ck_assert_uint_eq(rig_attr(r, FS_ROOT).st.st_nlink, 2);
    ck_assert_uint_eq(inodes(), 1);
    rig_release(r);
}
END_TEST

START_TEST(a_change_of_names_is_a_change_of_the_directory)
{
    struct fs_attr before, after;

    rig_init(r, "s");
    before = rig_attr(r, FS_ROOT);
    rig_file(r, FS_ROOT, "f");
    after = rig_attr(r, FS_ROOT);
    ck_assert_int_gt(stamp_cmp(after.st.st_mtim, before.st.st_mtim), 0);
    ck_assert_int_gt(stamp_cmp(after.st.st_ctim, before.st.st_ctim), 0);
    before = after;
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    after = rig_attr(r, FS_ROOT);
    ck_assert_int_gt(stamp_cmp(after.st.st_mtim, before.st.st_mtim), 0);
    rig_remount(r);
    ck_assert_int_eq(stamp_cmp(rig_attr(r, FS_ROOT).st.st_mtim, after.st.st_mtim), 0);
    rig_release(r);
}
END_TEST

START_TEST(symlinks_keep_their_target)
{
    char longest[FS_SYMLINK_MAX + 2], got[FS_SYMLINK_MAX + 1];
    struct fs_attr a;
    uint64_t f;

    rig_init(r, "s");
    memset(longest, 't', sizeof(longest));
    longest[FS_SYMLINK_MAX + 1] = 0;
    ck_err(fs_symlink(r->fs, &r->cred, FS_ROOT, "l", longest, &a), ENAMETOOLONG);
    ck_err(fs_symlink(r->fs, &r->cred, FS_ROOT, "l", "", &a), ENOENT);
    longest[FS_SYMLINK_MAX] = 0;
    ck_ok(fs_symlink(r->fs, &r->cred, FS_ROOT, "long", longest, &a));
    ck_assert_int_eq(a.st.st_size, FS_SYMLINK_MAX);
    ck_ok(fs_symlink(r->fs, &r->cred, FS_ROOT, "l", "../x", &a));
    ck_assert_uint_eq(a.st.st_mode, S_IFLNK | 0777);
    /* Its other changes must not lose the target. */
    ck_ok(fs_rename(r->fs, NULL, FS_ROOT, "l", FS_ROOT, "m", 0));
    ck_ok(fs_link(r->fs, a.st.st_ino, FS_ROOT, "n", &a));
    ck_assert_uint_eq(a.st.st_nlink, 2);
    rig_remount(r);
    ck_ok(fs_readlink(r->fs, rig_lookup(r, FS_ROOT, "m"), got));
    ck_assert_str_eq(got, "../x");
    ck_ok(fs_readlink(r->fs, rig_lookup(r, FS_ROOT, "long"), got));
    ck_assert_str_eq(got, longest);
    f = rig_file(r, FS_ROOT, "f");
    ck_err(fs_readlink(r->fs, f, got), EINVAL);
    rig_release(r);
}
END_TEST

START_TEST(directories_with_sgid_hand_on_their_group)
{
    struct stat st = {.st_mode = 02775, .st_gid = 50};
    struct fs_attr a;
    uint64_t d;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    ck_ok(fs_setattr(r->fs, NULL, d, FS_SET_MODE | FS_SET_GID, &st, &a));
    r->cred = (struct fs_cred){.uid = 1000, .gid = 100};
    ck_ok(fs_mkdir(r->fs, &r->cred, d, "sub", 0755, &a));
    ck_assert_uint_eq(a.st.st_gid, 50);
    ck_assert_uint_eq(a.st.st_mode, S_IFDIR | 02755);
    ck_ok(fs_mknod(r->fs, &r->cred, d, "f", S_IFREG | 02755, 0, &a));
    ck_assert_uint_eq(a.st.st_uid, 1000);
    ck_assert_uint_eq(a.st.st_gid, 50);
    ck_assert_uint_eq(a.st.st_mode, S_IFREG | 0755); /* no member of group 50 */
    ck_ok(fs_mknod(r->fs, &r->cred, FS_ROOT, "g", S_IFREG | 02755, 0, &a));
    ck_assert_uint_eq(a.st.st_gid, 100);
    ck_assert_uint_eq(a.st.st_mode, S_IFREG | 02755);
    rig_release(r);
}
END_TEST

/* ---- links ---- */

START_TEST(links_are_names_of_one_inode)
{
    struct fs_attr a;
    uint64_t d, f;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    f = rig_file(r, FS_ROOT, "f");
    rig_write(r, f, 0, "hello");
    ck_ok(fs_link(r->fs, f, d, "g", &a));
    ck_assert_uint_eq(a.st.st_ino, f);
    ck_assert_uint_eq(a.st.st_nlink, 2);
    ck_ok(fs_link(r->fs, f, FS_ROOT, "h", &a));
    ck_assert_uint_eq(rig_attr(r, f).st.st_nlink, 3);
    ck_err(fs_link(r->fs, f, d, "g", &a), EEXIST);
    ck_err(fs_link(r->fs, d, FS_ROOT, "d2", &a), EPERM);
    ck_err(fs_link(r->fs, d, d, "d2", &a), EPERM);
    ck_err(fs_link(r->fs, f, f, "x", &a), ENOTDIR);
    rig_remount(r);
    ck_assert_uint_eq(rig_lookup(r, d, "g"), f);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    ck_assert_uint_eq(rig_attr(r, f).st.st_nlink, 2);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "h"));
    rig_write(r, f, 5, " there");
    ck_assert_uint_eq(rig_attr(r, f).st.st_nlink, 1);
    rig_remount(r);
    f = rig_lookup(r, d, "g");
    rig_expect_str(r, f, "hello there");
    ck_ok(fs_unlink(r->fs, d, "g"));
    ck_err(fs_link(r->fs, f, d, "again", &a), ENOENT);
    fs_forget(r->fs, f, 1);
    ck_assert_uint_eq(inodes(), 2);
    rig_release(r);
}
END_TEST

static enum fs_taken note_lost(void *arg, const char *name, const struct fs_attr *attr,
                               uint64_t next)
{
    (void)next;
    if (strcmp(name, "f") == 0)
        *(bool *)arg = attr->lost_name;
    return FS_TAKEN;
}

/* How many tell it of those three: getattr, by name, and in a listing. */
static int lost_name(uint64_t ino)
{
    bool listed = false;
    struct fs_attr a;

    ck_ok(fs_lookup(r->fs, FS_ROOT, "f", &a));
    fs_forget(r->fs, ino, 1);
    ck_ok(fs_readdir(r->fs, FS_ROOT, 0, true, note_lost, &listed));
    return listed + a.lost_name + rig_attr(r, ino).lost_name;
}

/* It is told for a second, in which a busy machine may not come to ask. */
static bool is_over(uint64_t since)
{
    return env_now_ns(env_posix()) - since > 900000000;
}

static bool link_again(uint64_t f)
{
    struct fs_attr a;

    ck_ok(fs_link(r->fs, f, FS_ROOT, "g", &a));
    fs_forget(r->fs, f, 1);
    return true;
}

START_TEST(attributes_tell_that_a_name_just_went)
{
    struct stat st = {.st_mode = 04755};
    struct fs_attr a;
    uint64_t f, since;
    int told, still;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(fs_link(r->fs, f, FS_ROOT, "g", &a));
    ck_assert_int_eq(lost_name(f), 0);
    do {
        since = env_now_ns(env_posix());
        ck_ok(fs_unlink(r->fs, FS_ROOT, "g"));
        told = lost_name(f);
        ck_ok(fs_setattr(r->fs, &r->cred, f, FS_SET_MODE, &st, &a));
        still = lost_name(f);
    } while (is_over(since) && link_again(f));
    ck_assert_int_eq(told, 3);
    ck_assert_int_eq(still, 3);
    /* The user has to hear of a mode that he did not ask for. */
    ck_ok(fs_write(r->fs, f, 0, slice_str("x"), true));
    ck_assert_uint_eq(rig_attr(r, f).st.st_mode, S_IFREG | 0755);
    ck_assert_int_eq(lost_name(f), 0);
    st.st_mode = 0600;
    ck_ok(fs_setattr(r->fs, &r->cred, f, FS_SET_MODE, &st, &a));
    ck_assert_int_eq(lost_name(f), 0);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    ck_assert(!rig_attr(r, f).lost_name);
    fs_forget(r->fs, f, 2);
    rig_release(r);
}
END_TEST

START_TEST(a_rename_over_a_name_tells_it_too)
{
    struct fs_attr a;
    uint64_t f, since;
    int told;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    do {
        ck_ok(fs_link(r->fs, f, FS_ROOT, "g", &a));
        rig_file(r, FS_ROOT, "h");
        since = env_now_ns(env_posix());
        ck_ok(fs_rename(r->fs, &r->cred, FS_ROOT, "h", FS_ROOT, "g", 0));
        told = lost_name(f);
    } while (is_over(since) && fs_unlink(r->fs, FS_ROOT, "g") == 0);
    ck_assert_int_eq(told, 3);
    rig_release(r);
}
END_TEST

START_TEST(link_counts_have_an_end)
{
    struct lsm_value v = {0};
    struct buf b = {0};
    struct record rec;
    struct fs_attr a;
    struct key k;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(fs_link(r->fs, f, FS_ROOT, "g", &a));
    fs_forget(r->fs, f, 2);
    ck_ok(lsm_get(r->db, NULL, key_inode(&k, f), &v));
    ck_ok(record_decode(v.value, &rec));
    rec.nlink = FS_LINK_MAX;
    record_encode(&b, &rec);
    ck_ok(lsm_put(r->db, key_inode(&k, f), buf_slice(&b)));
    f = rig_lookup(r, FS_ROOT, "f");
    ck_err(fs_link(r->fs, f, FS_ROOT, "h", &a), EMLINK);
    ck_assert(!rig_has(r, FS_ROOT, "h"));
    ck_ok(fs_unlink(r->fs, FS_ROOT, "g"));
    ck_ok(fs_link(r->fs, f, FS_ROOT, "h", &a));
    ck_assert_uint_eq(a.st.st_nlink, FS_LINK_MAX);
    lsm_value_release(&v);
    buf_release(&b);
    ck_ok(fs_unmount(r->fs));
    ck_ok(lsm_close(r->db));
}
END_TEST

START_TEST(unlink_refuses_directories_and_rmdir_files)
{
    rig_init(r, "s");
    rig_dir(r, FS_ROOT, "d");
    rig_file(r, FS_ROOT, "f");
    ck_err(fs_unlink(r->fs, FS_ROOT, "d"), EISDIR);
    ck_err(fs_rmdir(r->fs, FS_ROOT, "f"), ENOTDIR);
    ck_err(fs_unlink(r->fs, FS_ROOT, "x"), ENOENT);
    ck_err(fs_rmdir(r->fs, FS_ROOT, "x"), ENOENT);
    ck_err(fs_unlink(r->fs, FS_ROOT, "."), EISDIR);
    ck_err(fs_rmdir(r->fs, FS_ROOT, "."), EINVAL);
    ck_err(fs_rmdir(r->fs, FS_ROOT, ".."), ENOTEMPTY);
    ck_err(fs_unlink(r->fs, FS_ROOT, ""), EINVAL);
    rig_release(r);
}
END_TEST

START_TEST(a_removed_directory_takes_nothing_more)
{
    struct fs_attr a;
    uint64_t d;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    ck_ok(fs_rmdir(r->fs, FS_ROOT, "d"));
    ck_assert_uint_eq(rig_attr(r, d).st.st_nlink, 0);
    ck_err(fs_mknod(r->fs, &r->cred, d, "f", S_IFREG, 0, &a), ENOENT);
    ck_err(fs_lookup(r->fs, d, "f", &a), ENOENT);
    ck_err(fs_rename(r->fs, NULL, d, "f", FS_ROOT, "g", 0), ENOENT);
    rig_file(r, FS_ROOT, "f");
    ck_err(fs_rename(r->fs, NULL, FS_ROOT, "f", d, "g", 0), ENOENT);
    fs_forget(r->fs, d, 1);
    ck_err(fs_getattr(r->fs, d, &a), ESTALE);
    rig_release(r);
}
END_TEST

/* ---- after the last name ---- */

START_TEST(a_file_lives_as_long_as_its_last_reference)
{
    struct fs_attr a;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    rig_lookup(r, FS_ROOT, "f");
    rig_write(r, f, 0, "hello");
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    ck_assert(!rig_has(r, FS_ROOT, "f"));
    rig_check(r);
    rig_write(r, f, 5, " world");
    rig_expect_str(r, f, "hello world");
    ck_assert_uint_eq(rig_attr(r, f).st.st_nlink, 0);
    fs_forget(r->fs, f, 1);
    rig_expect_str(r, f, "hello world");
    fs_forget(r->fs, f, 1);
    ck_err(fs_getattr(r->fs, f, &a), ESTALE);
    ck_assert_uint_eq(inodes(), 1);
    rig_release(r);
}
END_TEST

/* Regression: a reader that had looked a name up found nothing to open when the
 * name was replaced by a rename meanwhile. */
START_TEST(a_file_that_was_looked_up_outlives_its_name)
{
    struct fs_attr a;
    struct key k;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    rig_write(r, f, 0, "hello");
    rig_file(r, FS_ROOT, "g");
    ck_ok(fs_rename(r->fs, NULL, FS_ROOT, "g", FS_ROOT, "f", 0));
    rig_check(r);
    ck_assert_uint_eq(rig_attr(r, f).st.st_nlink, 0);
    rig_expect_str(r, f, "hello");
    ck_ok(lsm_exists(r->db, NULL, key_orphan(&k, f)));
    fs_forget(r->fs, f, 1);
    ck_err(fs_getattr(r->fs, f, &a), ESTALE);
    ck_ok(fs_sync(r->fs));
    ck_err(lsm_exists(r->db, NULL, key_orphan(&k, f)), ENOENT);
    ck_err(lsm_exists(r->db, NULL, key_inode(&k, f)), ENOENT);
    ck_err(lsm_exists(r->db, NULL, key_extent(&k, f, 5)), ENOENT);
    rig_check(r);
    rig_release(r);
}
END_TEST

/* Regression: the count, stale after a crash, fell below zero, and the next mount
 * refused the store. */
START_TEST(a_stale_count_does_no_harm)
{
    struct lsm_batch *b = lsm_batch_new();
    struct buf v = {0};
    struct fs_attr a;

    rig_init(r, "s");
    rig_file(r, FS_ROOT, "f");
    rig_file(r, FS_ROOT, "g");
    ck_ok(fs_unmount(r->fs));
    put_varint(&v, 1);
    lsm_batch_put(b, key_count(), buf_slice(&v));
    ck_ok(lsm_write(r->db, b, LSM_NOSYNC));
    rig_mount(r);
    ck_ok(fs_lookup(r->fs, FS_ROOT, "f", &a));
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    ck_ok(fs_unlink(r->fs, FS_ROOT, "g"));
    fs_forget(r->fs, a.st.st_ino, 1); /* it waits to be deleted */
    ck_assert_uint_eq(inodes(), 1);
    rig_remount(r);
    ck_assert_uint_eq(inodes(), 1);
    lsm_batch_free(b);
    buf_release(&v);
    rig_release(r);
}
END_TEST

START_TEST(a_mount_removes_the_orphans_of_a_crash)
{
    static struct fs *volatile crashed; /* reachable: no leak to the sanitizer */
    struct fs_stats s;
    struct key k;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    rig_file(r, FS_ROOT, "g");
    rig_write(r, f, 0, "contents");
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    ck_ok(fs_unlink(r->fs, FS_ROOT, "g"));
    crashed = r->fs; /* never unmounted: what a crash leaves */
    rig_mount(r);
    fs_get_stats(r->fs, &s);
    ck_assert_uint_eq(s.orphans_removed, 2);
    ck_err(lsm_exists(r->db, NULL, key_inode(&k, f)), ENOENT);
    ck_err(lsm_exists(r->db, NULL, key_extent(&k, f, 8)), ENOENT);
    rig_check(r);
    ck_assert_uint_ge(rig_file(r, FS_ROOT, "new"), 16 + 4096); /* numbers reserved */
    rig_check(r);
    ck_ok(fs_unmount(r->fs));
    ck_ok(lsm_close(r->db));
    (void)crashed;
}
END_TEST

/* Older versions kept the record under I, and the note under O was empty. */
START_TEST(a_mount_removes_the_orphans_of_an_older_version)
{
    static struct fs *volatile crashed; /* reachable: no leak to the sanitizer */
    struct lsm_value v = {0};
    struct fs_stats s;
    struct key k;
    uint64_t f, g;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    g = rig_file(r, FS_ROOT, "g");
    rig_write(r, f, 0, "contents");
    rig_write(r, g, 0, "contents");
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    ck_ok(fs_unlink(r->fs, FS_ROOT, "g"));
    crashed = r->fs;
    ck_err(lsm_exists(r->db, NULL, key_inode(&k, f)), ENOENT);
    ck_ok(lsm_get(r->db, NULL, key_orphan(&k, f), &v));
    ck_ok(lsm_put(r->db, key_inode(&k, f), v.value));
    ck_ok(lsm_put(r->db, key_orphan(&k, f), slice_of(NULL, 0)));
    rig_check(r);
    rig_mount(r);
    fs_get_stats(r->fs, &s);
    ck_assert_uint_eq(s.orphans_removed, 2);
    ck_err(lsm_exists(r->db, NULL, key_inode(&k, f)), ENOENT);
    ck_err(lsm_exists(r->db, NULL, key_orphan(&k, f)), ENOENT);
    ck_err(lsm_exists(r->db, NULL, key_extent(&k, f, 8)), ENOENT);
    ck_err(lsm_exists(r->db, NULL, key_extent(&k, g, 8)), ENOENT);
    rig_check(r);
    ck_ok(fs_unmount(r->fs));
    ck_ok(lsm_close(r->db));
    lsm_value_release(&v);
    (void)crashed;
}
END_TEST

START_TEST(unmount_removes_orphans_that_are_still_known)
{
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    rig_write(r, f, 0, "contents");
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    rig_remount(r);
    ck_assert_uint_eq(inodes(), 1);
    rig_release(r);
}
END_TEST

/* ---- names with one hash ---- */

START_TEST(names_may_collide)
{
    char name[16], other[16];
    uint64_t ino[40];
    int i;

    name_hash_mask = 7;
    rig_init(r, "s");
    for (i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        ino[i] = rig_file(r, FS_ROOT, name);
    }
    ck_assert(!rig_has(r, FS_ROOT, "other"));
    rig_remount(r);
    for (i = 0; i < 40; i += 2) {
        snprintf(name, sizeof(name), "n%d", i);
        snprintf(other, sizeof(other), "m%d", i);
        if (i % 4)
            ck_ok(fs_unlink(r->fs, FS_ROOT, name));
        else
            ck_ok(fs_rename(r->fs, NULL, FS_ROOT, name, FS_ROOT, other, 0));
    }
    rig_remount(r);
    for (i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), i % 4 ? "n%d" : "m%d", i);
        ck_assert_int_eq(rig_has(r, FS_ROOT, name), i % 4 != 2);
        if (i % 4 != 2)
            ck_assert_uint_eq(rig_lookup(r, FS_ROOT, name), ino[i]);
    }
    rig_release(r);
}
END_TEST

TEST_MAIN("fs_names", TEST_CASE(format_refuses_what_is_not_empty),
          TEST_CASE(a_newer_filesystem_is_refused), TEST_CASE(the_root_is_as_formatted),
          TEST_CASE(a_read_only_mount_changes_nothing),
          TEST_CASE(numbers_ascend_over_mounts_and_are_never_reused),
          TEST_CASE(lookup_finds_what_was_made),
          TEST_CASE(names_may_be_255_bytes_of_anything),
          TEST_CASE(references_keep_an_inode_in_memory_and_no_longer),
          TEST_CASE(a_number_leads_to_what_nobody_refers_to),
          TEST_CASE(a_number_of_nothing_is_stale),
          TEST_CASE(a_number_leads_to_what_is_moved_meanwhile),
          TEST_CASE(mknod_makes_every_kind_and_keeps_it), TEST_CASE(a_name_exists_once),
          TEST_CASE(directories_count_links_and_entries),
          TEST_CASE(a_change_of_names_is_a_change_of_the_directory),
          TEST_CASE(symlinks_keep_their_target),
          TEST_CASE(directories_with_sgid_hand_on_their_group),
          TEST_CASE(links_are_names_of_one_inode),
          TEST_CASE(attributes_tell_that_a_name_just_went),
          TEST_CASE(a_rename_over_a_name_tells_it_too),
          TEST_CASE(link_counts_have_an_end),
          TEST_CASE(unlink_refuses_directories_and_rmdir_files),
          TEST_CASE(a_removed_directory_takes_nothing_more),
          TEST_CASE(a_file_lives_as_long_as_its_last_reference),
          TEST_CASE(a_file_that_was_looked_up_outlives_its_name),
          TEST_CASE(a_stale_count_does_no_harm),
          TEST_CASE(a_mount_removes_the_orphans_of_a_crash),
          TEST_CASE(a_mount_removes_the_orphans_of_an_older_version),
          TEST_CASE(unmount_removes_orphans_that_are_still_known),
          TEST_CASE(names_may_collide))
