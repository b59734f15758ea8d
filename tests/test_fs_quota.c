/*
 * test_fs_quota.c - quotas of directory trees, and fs_du: what counts, that every way in
 * heeds them, that trees can be nested, given to what is there and taken away again, and
 * that what they say is what a walk finds, after any operations.
 *
 * Crashes and faults in the middle of it: fs_load.h, which sets and clears some.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/xattr.h>

#include "fs/keys.h"
#include "fs/record.h"
#include "fs_harm.h"
#include "fs_load.h"
#include "env_mem.h"
#include "soak.h"
#include "test_fs.h"

enum { NAME = 256, XATTR = 64 }; /* FORMAT.md, "Limits" */

static struct rig rig;
static struct rig *const r = &rig;

static int set(uint64_t dir, uint64_t bytes, uint64_t inodes)
{
    return fs_quota_set(r->fs, dir, &(struct fs_limits){bytes, inodes});
}

static struct fs_quota get(uint64_t ino)
{
    struct fs_quota q;

    ck_ok(fs_quota_get(r->fs, ino, &q));
    ck_assert_int_eq(q.state, FS_QUOTA_READY);
    return q;
}

static void ck_used(uint64_t dir, uint64_t bytes, uint64_t inodes)
{
    struct fs_quota q = get(dir);

    ck_assert_uint_eq(q.dir, dir);
    ck_assert_uint_eq(q.used.bytes, bytes);
    ck_assert_uint_eq(q.used.inodes, inodes);
}

static int write_some(uint64_t ino, uint64_t off, size_t len)
{
    static uint8_t data[1 << 20];

    ck_assert_uint_le(len, sizeof(data));
    return fs_write(r->fs, ino, off, slice_of(data, len), false);
}

static int resize(uint64_t ino, uint64_t size)
{
    struct stat st = {.st_size = (off_t)size};
    struct fs_attr a;

    return fs_setattr(r->fs, &r->cred, ino, FS_SET_SIZE, &st, &a);
}

static int move(uint64_t from, const char *name, uint64_t to, const char *new_name,
                unsigned flags)
{
    return fs_rename(r->fs, &r->cred, from, name, to, new_name, flags);
}

static int give_link(uint64_t ino, uint64_t dir, const char *name)
{
    struct fs_attr a;

    return fs_link(r->fs, ino, dir, name, &a);
}

/* ---- what counts, and that it is heeded ---- */

START_TEST(what_is_below_the_directory_counts_and_nothing_else)
{
    struct fs_attr a;
    uint64_t d, e, f;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    ck_err(fs_quota_get(r->fs, d, &(struct fs_quota){0}), ENODATA);
    ck_ok(set(d, 1 << 20, 100));
    ck_used(d, 0, 0);
    rig_file(r, FS_ROOT, "beside");
    e = rig_dir(r, d, "e");
    f = rig_file(r, e, "f");
    ck_used(d, 2 * NAME, 2);
    ck_assert_uint_eq(get(f).dir, d);
    ck_ok(write_some(f, 0, 1000));
    ck_ok(fs_fallocate(r->fs, f, FALLOC_FL_KEEP_SIZE, 0, 3000));
    ck_ok(fs_symlink(r->fs, &r->cred, e, "l", "12345", &a));
    ck_ok(fs_setxattr(r->fs, &r->cred, e, "user.x", slice_str("1234"), 0));
    ck_ok(fs_setxattr(r->fs, &r->cred, d, "user.x", slice_str("its own"), 0));
    ck_ok(give_link(f, d, "g"));
    ck_used(d, 4 * NAME + 3000 + 5 + XATTR + 6 + 4, 3);
    rig_remount(r);
    ck_used(d, 4 * NAME + 3000 + 5 + XATTR + 6 + 4, 3);
    ck_ok(fs_unlink(r->fs, d, "g"));
    ck_ok(fs_unlink(r->fs, e, "f"));
    ck_ok(fs_unlink(r->fs, e, "l"));
    ck_ok(fs_rmdir(r->fs, d, "e"));
    ck_used(d, 0, 0);
    rig_release(r);
}
END_TEST

START_TEST(every_way_in_is_refused_at_the_quota)
{
    struct fs_attr a;
    struct fs_limits full;
    uint64_t d, e, f, copied;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    ck_ok(set(d, 1 << 20, 0));
    e = rig_dir(r, d, "e");
    f = rig_file(r, e, "f");
    ck_ok(write_some(f, 0, 10000));
    rig_file(r, FS_ROOT, "outside");
    ck_ok(write_some(rig_file(r, FS_ROOT, "source"), 0, 10000));
    full = get(d).used;
    ck_ok(set(d, full.bytes, full.inodes));
    ck_err(fs_mknod(r->fs, &r->cred, e, "a", S_IFREG | 0644, 0, &a), EDQUOT);
    ck_err(fs_mknod(r->fs, &r->cred, e, "a", S_IFIFO | 0644, 0, &a), EDQUOT);
    ck_err(fs_mkdir(r->fs, &r->cred, e, "a", 0755, &a), EDQUOT);
    ck_err(fs_symlink(r->fs, &r->cred, e, "a", "x", &a), EDQUOT);
    ck_err(fs_tmpfile(r->fs, &r->cred, e, 0644, &a), EDQUOT);
    ck_err(give_link(f, d, "a"), EDQUOT);
    ck_err(write_some(f, 10000, 1), EDQUOT);
    ck_err(fs_fallocate(r->fs, f, 0, 5000, 6000), EDQUOT);
    ck_err(
        fs_copy_range(r->fs, rig_lookup(r, FS_ROOT, "source"), 0, f, 10000, 100, &copied),
        EDQUOT);
    ck_err(fs_setxattr(r->fs, &r->cred, f, "user.x", slice_str("1"), 0), EDQUOT);
    ck_err(move(FS_ROOT, "outside", e, "a", 0), EDQUOT);
    ck_ok(move(FS_ROOT, "source", e, "f", RENAME_EXCHANGE)); /* as much again */
    ck_ok(move(FS_ROOT, "source", e, "f", RENAME_EXCHANGE));
    ck_used(d, full.bytes, full.inodes);
    /* What adds nothing goes on. */
    ck_ok(write_some(f, 0, 10000));
    ck_ok(move(e, "f", d, "f", 0));
    ck_ok(resize(f, 1 << 30));
    ck_err(move(FS_ROOT, "source", d, "f", 0), EDQUOT); /* f is looked up */
    fs_forget(r->fs, f, 1);
    ck_ok(move(FS_ROOT, "source", d, "f", 0));
    ck_used(d, full.bytes, full.inodes);
    fs_forget(r->fs, rig_lookup(r, d, "f"), 9);
    ck_ok(fs_unlink(r->fs, d, "f"));
    ck_ok(write_some(rig_file(r, d, "again"), 0, 10000));
    rig_release(r);
}
END_TEST

START_TEST(a_quota_of_inodes_is_one_of_inodes)
{
    struct fs_attr a;
    uint64_t d, i;
    char name[16];

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    ck_ok(set(d, 0, 10));
    for (i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "f%" PRIu64, i);
        rig_file(r, d, name);
    }
    ck_err(fs_mkdir(r->fs, &r->cred, d, "x", 0755, &a), EDQUOT);
    ck_ok(give_link(rig_lookup(r, d, "f0"), d, "link"));
    ck_ok(fs_unlink(r->fs, d, "f1"));
    ck_err(fs_mkdir(r->fs, &r->cred, d, "x", 0755, &a), EDQUOT); /* it is looked up */
    fs_forget(r->fs, rig_lookup(r, d, "f2"), 2);
    ck_ok(fs_unlink(r->fs, d, "f2"));
    ck_ok(fs_mkdir(r->fs, &r->cred, d, "x", 0755, &a));
    ck_assert_uint_eq(get(d).used.inodes, 10);
    rig_release(r);
}
END_TEST

START_TEST(a_file_without_a_name_counts_until_it_is_closed)
{
    struct fs_attr a;
    uint64_t d;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    ck_ok(set(d, 1 << 20, 10));
    ck_ok(fs_mknod(r->fs, &r->cred, d, "f", S_IFREG | 0644, 0, &a));
    ck_ok(write_some(a.st.st_ino, 0, 5000));
    ck_ok(fs_unlink(r->fs, d, "f"));
    ck_ok(write_some(a.st.st_ino, 5000, 1000));
    ck_used(d, NAME + 6000, 1);
    ck_err(write_some(a.st.st_ino, 6000, (1 << 20) - 6000), EDQUOT);
    fs_forget(r->fs, a.st.st_ino, 1);
    ck_ok(fs_sync(r->fs));
    ck_used(d, 0, 0);
    ck_ok(fs_tmpfile(r->fs, &r->cred, d, 0644, &a));
    ck_used(d, NAME, 1);
    ck_err(give_link(a.st.st_ino, FS_ROOT, "t"), EXDEV);
    ck_ok(give_link(a.st.st_ino, d, "t"));
    ck_used(d, NAME, 1);
    rig_release(r);
}
END_TEST

/* ---- between trees ---- */

START_TEST(files_go_from_tree_to_tree_and_directories_do_not)
{
    uint64_t a, b, f, sub;

    rig_init(r, "s");
    a = rig_dir(r, FS_ROOT, "a");
    b = rig_dir(r, FS_ROOT, "b");
    ck_ok(set(a, 1 << 20, 0));
    ck_ok(set(b, 1 << 20, 0));
    f = rig_file(r, a, "f");
    ck_ok(write_some(f, 0, 700));
    ck_ok(fs_setxattr(r->fs, &r->cred, f, "user.x", slice_str("1234"), 0));
    ck_ok(move(a, "f", b, "g", 0));
    ck_used(a, 0, 0);
    ck_used(b, NAME + 700 + XATTR + 10, 1);
    ck_ok(move(b, "g", FS_ROOT, "g", 0));
    ck_used(b, 0, 0);
    sub = rig_dir(r, a, "sub");
    ck_err(move(a, "sub", b, "sub", 0), EXDEV);
    ck_err(move(a, "sub", FS_ROOT, "sub", 0), EXDEV);
    ck_err(move(FS_ROOT, "g", a, "sub", RENAME_EXCHANGE), EXDEV);
    ck_ok(move(FS_ROOT, "g", sub, "g", 0));
    ck_ok(give_link(f, a, "h"));
    ck_err(give_link(f, b, "h"), EXDEV);
    ck_err(move(a, "h", b, "h", 0), EXDEV);
    ck_ok(fs_unlink(r->fs, sub, "g"));
    ck_ok(move(a, "h", b, "h", 0)); /* its only name; it has a key of its own */
    ck_used(a, NAME, 1);
    ck_used(b, NAME + 700 + XATTR + 10, 1);
    ck_ok(move(FS_ROOT, "a", FS_ROOT, "a2", 0)); /* with all its tree */
    ck_ok(move(FS_ROOT, "a2", FS_ROOT, "b", RENAME_EXCHANGE));
    rig_remount(r);
    ck_used(a, NAME, 1);
    ck_ok(fs_rename(r->fs, &r->cred, a, "sub", a, "bus", 0));
    ck_ok(write_some(rig_lookup(r, b, "h"), 0, 900));
    ck_used(b, NAME + 900 + XATTR + 10, 1);
    rig_release(r);
}
END_TEST

START_TEST(a_whiteout_and_what_is_renamed_over_count_where_they_are)
{
    uint64_t a;

    rig_init(r, "s");
    a = rig_dir(r, FS_ROOT, "a");
    ck_ok(set(a, 1 << 20, 0));
    ck_ok(write_some(rig_file(r, a, "f"), 0, 100));
    ck_ok(write_some(rig_file(r, FS_ROOT, "g"), 0, 50));
    fs_forget(r->fs, rig_lookup(r, a, "f"), 2);
    ck_ok(move(FS_ROOT, "g", a, "f", 0));
    ck_used(a, NAME + 50, 1);
    ck_ok(move(a, "f", FS_ROOT, "g", RENAME_WHITEOUT));
    ck_used(a, NAME, 1);
    rig_release(r);
}
END_TEST

START_TEST(nested_quotas_all_hold_and_df_shows_the_tightest)
{
    struct fs_statfs s;
    uint64_t a, b, f;

    rig_init(r, "s");
    a = rig_dir(r, FS_ROOT, "a");
    ck_ok(set(a, 100 << 12, 0));
    b = rig_dir(r, a, "b");
    ck_ok(set(b, 50 << 12, 7));
    f = rig_file(r, b, "f");
    ck_used(a, 2 * NAME, 2);
    ck_used(b, NAME, 1);
    ck_ok(fs_statfs(r->fs, f, &s));
    ck_assert_uint_eq(s.blocks, 50);
    ck_assert_uint_eq(s.blocks_free, 49);
    ck_assert_uint_eq(s.files, 7);
    ck_assert_uint_eq(s.files_free, 6);
    ck_ok(fs_statfs(r->fs, a, &s));
    ck_assert_uint_eq(s.blocks, 100);
    ck_err(write_some(f, 0, 50 << 12), EDQUOT);
    ck_assert_uint_eq(fs_room(r->fs, f), (50 << 12) - NAME);
    ck_ok(write_some(rig_file(r, a, "g"), 0, 90 << 12));
    ck_ok(fs_statfs(r->fs, b, &s)); /* the outer one has less left */
    ck_assert_uint_eq(s.blocks, 100);
    ck_assert_uint_eq(s.blocks_avail, 9);
    ck_err(write_some(f, 0, 10 << 12), EDQUOT);
    ck_ok(write_some(f, 0, 9 << 12));
    ck_ok(move(b, "f", a, "h", 0)); /* takes no more of the outer one */
    ck_used(b, 0, 0);
    ck_used(a, 3 * NAME + (99 << 12), 3);
    ck_ok(fs_statfs(r->fs, FS_ROOT, &s));
    ck_assert_uint_gt(s.blocks, 100);
    rig_release(r);
}
END_TEST

/* ---- given and taken ---- */

START_TEST(a_full_directory_is_given_a_quota_and_loses_it)
{
    uint64_t a, b, c, f, g;

    rig_init(r, "s");
    a = rig_dir(r, FS_ROOT, "a");
    b = rig_dir(r, a, "b");
    c = rig_dir(r, b, "c");
    f = rig_file(r, c, "f");
    ck_ok(write_some(f, 0, 1000));
    g = rig_file(r, a, "g");
    ck_ok(give_link(g, b, "g"));
    ck_ok(give_link(g, FS_ROOT, "g"));
    ck_ok(fs_setxattr(r->fs, &r->cred, f, "user.x", slice_str("1234"), 0));
    ck_ok(set(a, 1 << 20, 0));
    ck_used(a, 6 * NAME + 1000 + XATTR + 10, 4);
    ck_ok(set(b, 1 << 20, 0)); /* within it */
    ck_used(a, 6 * NAME + 1000 + XATTR + 10, 4);
    /* The file that has names in both counts there, with all of them. */
    ck_used(b, 5 * NAME + 1000 + XATTR + 10, 3);
    ck_ok(set(FS_ROOT, 1 << 30, 0)); /* and around it */
    ck_used(FS_ROOT, 7 * NAME + 1000 + XATTR + 10, 5);
    ck_ok(write_some(f, 1000, 1000));
    ck_used(FS_ROOT, 7 * NAME + 2000 + XATTR + 10, 5);
    ck_ok(fs_quota_clear(r->fs, a));
    ck_assert_uint_eq(get(a).dir, FS_ROOT);
    ck_ok(write_some(f, 2000, 1000));
    ck_used(FS_ROOT, 7 * NAME + 3000 + XATTR + 10, 5);
    ck_used(b, 5 * NAME + 3000 + XATTR + 10, 3);
    ck_err(fs_quota_clear(r->fs, a), ENODATA);
    rig_remount(r);
    ck_used(b, 5 * NAME + 3000 + XATTR + 10, 3);
    ck_ok(fs_quota_clear(r->fs, FS_ROOT));
    ck_ok(fs_quota_clear(r->fs, b));
    ck_err(fs_quota_get(r->fs, b, &(struct fs_quota){0}), ENODATA);
    ck_ok(move(b, "c", FS_ROOT, "c", 0));
    rig_release(r);
}
END_TEST

static void open_in(struct env *env)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.create = true;
    o.workers = 0;
    o.env = env;
    ck_ok(lsm_open("/s", &o, &r->db));
}

/* The disk is full at the n-th append of the clearing of /a. False: there is none. */
static bool clear_is_cut_off(unsigned n)
{
    struct env *env = env_mem_new(n);
    uint64_t a, f;
    bool happened;

    memset(r, 0, sizeof(*r));
    fs_options_init(&r->options);
    r->options.writeback_ms = 0;
    open_in(env);
    ck_ok(fs_format(r->db, 0, 0, 0755, NULL));
    rig_mount(r);
    a = rig_dir(r, FS_ROOT, "a");
    rig_dir(r, a, "b");
    f = rig_file(r, a, "f");
    ck_ok(give_link(f, a, "g"));
    ck_ok(set(a, 1 << 20, 0));
    env_mem_fail_at(env, n, ENOSPC, ENV_MEM_APPEND, ENV_MEM_ONCE);
    (void)fs_quota_clear(r->fs, a);
    happened = env_mem_failures(env) > 0;
    env_mem_fail_at(env, 0, 0, 0, ENV_MEM_ONCE);
    ck_ok(set(FS_ROOT, 1 << 30, 0));
    ck_used(FS_ROOT, 4 * NAME, 3);
    ck_ok(set(a, 1 << 20, 0));
    ck_used(a, 3 * NAME, 2);
    ck_ok(fs_unmount(r->fs));
    rig_check(r);
    ck_ok(lsm_close(r->db));
    open_in(env);
    rig_mount(r);
    ck_used(FS_ROOT, 4 * NAME, 3);
    rig_release(r);
    env_mem_free(env);
    return happened;
}

START_TEST(around_one_that_is_half_cleared_another_is_set)
{
    unsigned n = 1;

    test_log_capture();
    while (clear_is_cut_off(n))
        n++;
    ck_assert_uint_gt(n, 3);
}
END_TEST

START_TEST(without_a_quota_the_store_is_what_it_was)
{
    struct lsm_value before = {0}, after = {0};
    struct super super;
    uint64_t a;

    rig_init(r, "s");
    a = rig_dir(r, FS_ROOT, "a");
    rig_file(r, a, "f");
    ck_ok(lsm_get(r->db, NULL, key_super(), &before));
    ck_ok(set(a, 0, 0)); /* that counts, and refuses nothing */
    ck_used(a, NAME, 1);
    ck_ok(lsm_get(r->db, NULL, key_super(), &after));
    ck_ok(super_decode(after.value, &super));
    ck_assert(super.quotas);
    ck_ok(fs_quota_clear(r->fs, a));
    rig_remount(r);
    ck_ok(lsm_get(r->db, NULL, key_super(), &after));
    ck_assert(slice_eq(before.value, after.value));
    ck_err(lsm_exists(r->db, NULL, key_quotas()), ENOENT);
    lsm_value_release(&before);
    lsm_value_release(&after);
    rig_release(r);
}
END_TEST

START_TEST(a_removed_directory_takes_its_quota_with_it)
{
    struct fs_attr a;
    uint64_t outer, d;

    rig_init(r, "s");
    outer = rig_dir(r, FS_ROOT, "outer");
    ck_ok(set(outer, 1 << 20, 0));
    d = rig_dir(r, outer, "d");
    ck_ok(set(d, 1 << 20, 0));
    ck_ok(fs_mknod(r->fs, &r->cred, d, "f", S_IFREG | 0644, 0, &a));
    ck_ok(write_some(a.st.st_ino, 0, 1000));
    ck_ok(fs_unlink(r->fs, d, "f"));
    ck_ok(fs_rmdir(r->fs, outer, "d"));
    ck_used(outer, NAME + 1000, 1); /* f is open */
    ck_ok(write_some(a.st.st_ino, 1000, 1000));
    ck_used(outer, NAME + 2000, 1);
    ck_ok(fs_sync(r->fs));
    fs_forget(r->fs, a.st.st_ino, 1);
    ck_ok(fs_sync(r->fs));
    ck_used(outer, 0, 0);
    ck_err(lsm_exists(r->db, NULL, key_quota(&(struct key){{0}}, d)), ENOENT);
    rig_release(r);
}
END_TEST

static int note_path(void *arg, const struct fs_quota *q, const char *path)
{
    char *to = arg;

    snprintf(to + strlen(to), 200 - strlen(to), "%s %" PRIu64 "\n", path,
             q->limits.bytes);
    return 0;
}

START_TEST(quotas_are_listed_with_their_paths)
{
    char text[200] = "";
    uint64_t a, b;

    rig_init(r, "s");
    ck_ok(fs_quota_list(r->fs, note_path, text));
    ck_assert_str_eq(text, "");
    a = rig_dir(r, FS_ROOT, "a\n");
    b = rig_dir(r, a, "b");
    ck_ok(set(b, 5, 0));
    ck_ok(set(FS_ROOT, 7, 0));
    ck_ok(fs_quota_list(r->fs, note_path, text));
    ck_assert_str_eq(text, "/ 7\n/a\\012/b 5\n");
    rig_release(r);
}
END_TEST

START_TEST(what_makes_no_sense_is_refused)
{
    struct fs_attr a;
    uint64_t f, d;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    d = rig_dir(r, FS_ROOT, "d");
    ck_err(set(f, 1, 1), ENOTDIR);
    ck_err(set(f + 1000, 1, 1), ESTALE);
    ck_err(set(d, 1ull << 63, 0), EINVAL);
    ck_err(fs_quota_clear(r->fs, d), ENODATA);
    ck_err(fs_quota_clear(r->fs, f), ENOTDIR);
    ck_ok(fs_rmdir(r->fs, FS_ROOT, "d"));
    ck_err(set(d, 1, 1), ENOENT);
    ck_ok(fs_unmount(r->fs));
    r->options.read_only = true;
    rig_mount(r);
    ck_err(set(FS_ROOT, 1, 1), EROFS);
    ck_ok(fs_getattr(r->fs, FS_ROOT, &a));
    rig_release(r);
}
END_TEST

START_TEST(attributes_say_what_is_used)
{
    char text[16] = "";
    size_t len;
    uint64_t d, e;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    e = rig_dir(r, d, "e");
    ck_err(fs_getxattr(r->fs, d, "user.siltfs.rbytes", text, 16, &len), ENODATA);
    ck_ok(set(d, 0, 0));
    ck_ok(fs_getxattr(r->fs, d, "user.siltfs.rbytes", text, 16, &len));
    ck_assert_int_eq(atoi(text), NAME);
    ck_ok(fs_getxattr(r->fs, d, "user.siltfs.rfiles", NULL, 0, &len));
    ck_assert_uint_eq(len, 1);
    ck_err(fs_getxattr(r->fs, d, "user.siltfs.rbytes", text, 2, &len), ERANGE);
    ck_err(fs_getxattr(r->fs, e, "user.siltfs.rfiles", text, 16, &len), ENODATA);
    ck_err(fs_setxattr(r->fs, &r->cred, d, "user.siltfs.rbytes", slice_str("1"), 0),
           EPERM);
    ck_err(fs_removexattr(r->fs, d, "user.siltfs.rfiles"), EPERM);
    rig_release(r);
}
END_TEST

/* ---- any operations ---- */

enum { QUOTAS_MAX = 64 };

static struct fs_load load;
static struct {
    struct fs_quota said[QUOTAS_MAX], found[QUOTAS_MAX];
    unsigned n;
    uint64_t seen[4096]; /* files */
    unsigned n_seen;
    struct fs_du du; /* of all that has a name */
} walk;

static int note_quota(void *arg, const struct fs_quota *q, const char *path)
{
    ck_assert_uint_lt(walk.n, QUOTAS_MAX);
    ck_assert_int_eq(q->state, FS_QUOTA_READY);
    walk.said[walk.n] = *q;
    walk.found[walk.n++] = (struct fs_quota){.dir = q->dir};
    return 0;
}

static uint64_t xattrs_use(uint64_t ino)
{
    char names[1000], *name;
    uint64_t use = 0;
    size_t len, n;

    ck_ok(fs_listxattr(load.fs, NULL, ino, names, sizeof(names), &len));
    for (name = names; name < names + len; name += strlen(name) + 1) {
        ck_ok(fs_getxattr(load.fs, ino, name, NULL, 0, &n));
        use += XATTR + strlen(name) + n;
    }
    return use;
}

/* The parent of a directory, and whether it has a quota. */
static struct model_node *node_of(uint64_t ino)
{
    struct model_node *n = load.m.all.next;

    while (n != &load.m.all && n->ino != ino)
        n = n->next;
    return n;
}

static void add_found(uint64_t tree, uint64_t bytes)
{
    struct fs_quota q;
    unsigned i;

    for (;;) {
        for (i = 0; i < walk.n && walk.found[i].dir != tree; i++)
            ;
        ck_assert_uint_lt(i, walk.n);
        walk.found[i].used.bytes += bytes;
        walk.found[i].used.inodes++;
        if (tree == FS_ROOT || fs_quota_get(load.fs, node_of(tree)->parent->ino, &q))
            return;
        tree = q.dir;
    }
}

/* Where it must be found, if it has one name; 0: in no tree. */
static uint64_t nearest(const struct model_node *dir)
{
    unsigned i;

    for (;; dir = dir->parent) {
        for (i = 0; i < walk.n; i++)
            if (walk.said[i].dir == dir->ino)
                return dir->ino;
        if (dir->ino == FS_ROOT)
            return 0;
    }
}

static void count_node(const struct model_node *dir, const struct model_node *n)
{
    uint64_t bytes = (n->nlink && !S_ISDIR(n->mode) ? n->nlink : 1) * NAME, tree = 0;
    struct fs_info info;
    struct fs_quota q;
    unsigned i;

    for (i = 0; i < walk.n_seen; i++)
        if (walk.seen[i] == n->ino)
            return;
    walk.seen[walk.n_seen++] = n->ino;
    if (fs_quota_get(load.fs, S_ISDIR(n->mode) ? dir->ino : n->ino, &q) == 0)
        tree = q.dir;
    ck_ok(fs_info(load.fs, n->ino, &info));
    walk.du.inodes += n->nlink || S_ISDIR(n->mode);
    walk.du.dirs += S_ISDIR(n->mode);
    if (n->nlink && S_ISREG(n->mode))
        walk.du.bytes += info.bytes + info.unwritten;
    if (S_ISLNK(n->mode))
        walk.du.bytes += n->size;
    /* One that had names in several trees may be in another than its last. */
    if (S_ISDIR(n->mode) || info.embedded)
        ck_assert_uint_eq(tree, nearest(dir));
    if (!tree)
        return;
    if (S_ISREG(n->mode)) {
        bytes += info.bytes + info.unwritten;
    }
    if (S_ISLNK(n->mode))
        bytes += n->size;
    add_found(tree, bytes + xattrs_use(n->ino));
}

static int ck_du(void *arg, const char *path, const struct fs_du *sum)
{
    if (*path)
        return 0;
    ck_assert_uint_eq(sum->inodes, walk.du.inodes);
    ck_assert_uint_eq(sum->dirs, walk.du.dirs);
    ck_assert_uint_eq(sum->bytes, walk.du.bytes);
    return 0;
}

static void ck_all_found(void)
{
    const struct model_node *d;
    struct fs_attr a;
    unsigned i;
    size_t e;

    walk.n = walk.n_seen = 0;
    walk.du = (struct fs_du){0};
    ck_ok(fs_sync(load.fs));
    ck_ok(fs_quota_list(load.fs, note_quota, NULL));
    for (d = load.m.all.next; d != &load.m.all; d = d->next) {
        for (e = 0; e < d->entries; e++) {
            ck_ok(fs_lookup(load.fs, d->ino, d->entry[e].name, &a));
            count_node(d, d->entry[e].node);
            fs_forget(load.fs, a.st.st_ino, 1);
        }
        if (!S_ISDIR(d->mode) && !d->nlink)
            count_node(NULL, d); /* it is open */
    }
    ck_ok(fs_du(load.fs, FS_ROOT, ck_du, NULL));
    for (i = 0; i < walk.n; i++) {
        ck_assert_uint_eq(walk.said[i].used.bytes, walk.found[i].used.bytes);
        ck_assert_uint_eq(walk.said[i].used.inodes, walk.found[i].used.inodes);
    }
}

START_TEST(after_any_operations_what_is_said_is_what_is_there)
{
    struct soak s;

    for (soak_begin(&s); soak_once(&s);) {
        fs_load_begin(&load, soak_seed(&s));
        while (load.done < FS_LOAD_OPS) {
            ck_ok(fs_load_step(&load));
            if (load.done % 20 == 0)
                ck_all_found();
        }
        s.operations += load.done;
        ck_ok(fs_unmount(load.fs));
        fs_load_check(&load);
        ck_ok(lsm_close(load.db));
        load.fs = NULL;
        ck_ok(fs_load_mount(&load));
        fs_load_end(&load);
        env_mem_free(load.env);
    }
    soak_end(&s);
}
END_TEST

/* ---- while others are at work ---- */

enum { WORKERS = 3, DIRS = 6 };

static uint64_t shared[DIRS];
static _Atomic bool stop;

static void *work(void *arg)
{
    uint64_t rng = (uintptr_t)arg | 1;
    struct fs_attr a;
    char name[24], other[24];

    while (!atomic_load(&stop)) {
        uint64_t dir = shared[test_below(&rng, DIRS)],
                 to = shared[test_below(&rng, DIRS)];
        int rc;

        snprintf(name, sizeof(name), "%" PRIu64, test_below(&rng, 20));
        snprintf(other, sizeof(other), "%" PRIu64, test_below(&rng, 20));
        switch (test_below(&rng, 6)) {
        case 0:
            rc = fs_mkdir(r->fs, &r->cred, dir, name, 0755, &a);
            if (!rc)
                fs_forget(r->fs, a.st.st_ino, 1);
            break;
        case 1:
            rc = move(dir, name, to, other, 0);
            break;
        case 2:
            rc = fs_unlink(r->fs, dir, name);
            if (rc == -EISDIR)
                rc = fs_rmdir(r->fs, dir, name);
            break;
        default:
            rc = fs_mknod(r->fs, &r->cred, dir, name, S_IFREG | 0644, 0, &a);
            if (rc)
                break;
            rc = write_some(a.st.st_ino, 0, 1 + test_below(&rng, 5000));
            if (!rc && test_below(&rng, 4) == 0)
                (void)give_link(a.st.st_ino, to, other);
            fs_forget(r->fs, a.st.st_ino, 2);
        }
        ck_assert_msg(rc != -EIO && rc != -EUCLEAN && rc != -ESTALE && rc != -ENOSPC,
                      "%d", rc);
    }
    return NULL;
}

static void wait_ready(void)
{
    struct timespec ms = {.tv_nsec = 1000000};

    for (;;) {
        struct fs_quota q;
        unsigned i;

        for (i = 0; i < DIRS; i++)
            if (fs_quota_get(r->fs, shared[i], &q) == 0 && q.state != FS_QUOTA_READY)
                break;
        if (i == DIRS)
            return;
        nanosleep(&ms, NULL);
    }
}

START_TEST(trees_are_given_quotas_and_lose_them_while_files_come_and_go)
{
    pthread_t thread[WORKERS];
    char path[24];
    struct soak s;
    unsigned i;

    for (soak_begin_for(&s, 1); soak_once(&s);) {
        uint64_t rng = soak_seed(&s) | 1;

        snprintf(path, sizeof(path), "s%u", s.rounds);
        rig_init(r, path);
        ck_ok(fs_unmount(r->fs));
        r->options.writeback_ms = 2; /* a thread that does the work */
        rig_mount(r);
        shared[0] = FS_ROOT;
        for (i = 1; i < DIRS; i++)
            shared[i] = rig_dir(r, shared[i / 2], (char[]){(char)('a' + i), 0});
        atomic_store(&stop, false);
        for (i = 0; i < WORKERS; i++)
            ck_assert_int_eq(
                pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)(rng + i)), 0);
        for (i = 0; i < (SOAK_SANITIZED ? 40 : 200); i++) {
            uint64_t dir = shared[test_below(&rng, DIRS)];
            int rc = test_below(&rng, 2) ? set(dir, test_below(&rng, 3) * 1000000, 0)
                                         : fs_quota_clear(r->fs, dir);

            ck_assert_msg(!rc || rc == -EBUSY || rc == -ENODATA, "%d", rc);
            if (test_below(&rng, 3) == 0)
                wait_ready();
        }
        wait_ready();
        atomic_store(&stop, true);
        for (i = 0; i < WORKERS; i++)
            pthread_join(thread[i], NULL);
        rig_release(r); /* fs_check counts */
        s.operations += 200;
    }
    soak_end(&s);
}
END_TEST

/* ---- damage ---- */

static uint64_t a_tree(void)
{
    uint64_t d, e;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    e = rig_dir(r, d, "e");
    ck_ok(write_some(rig_file(r, e, "f"), 0, 100));
    ck_ok(set(d, 1 << 20, 0));
    ck_ok(fs_unmount(r->fs));
    return d;
}

static void ck_mended(uint64_t want)
{
    struct fs_repair_options o = {0};
    struct fs_repair_result result;

    ck_assert_uint_eq(rig_problems(r), want);
    ck_ok(fs_repair(r->db, &o, rig_line, NULL, &result));
    ck_assert_uint_eq(result.left, 0);
    rig_check(r);
    rig_mount(r);
}

static void put_quota(uint64_t tree, const struct quota_record *q)
{
    struct buf b = {0};
    struct key k;

    quota_encode(&b, q);
    ck_ok(lsm_put(r->db, key_quota(&k, tree), buf_slice(&b)));
    buf_release(&b);
}

static void put_record(uint64_t ino, uint64_t tree)
{
    struct lsm_value v = {0};
    struct record rec;
    struct buf b = {0};
    struct key k;

    ck_ok(lsm_get(r->db, NULL, key_inode(&k, ino), &v));
    ck_ok(record_decode(v.value, &rec));
    record_encode_tree(&b, &rec, tree);
    ck_ok(lsm_put(r->db, key_inode(&k, ino), buf_slice(&b)));
    buf_release(&b);
    lsm_value_release(&v);
}

START_TEST(wrong_figures_are_found_and_set_right)
{
    uint64_t d = a_tree();

    put_quota(d, &(struct quota_record){QUOTA_READY, 0, 1 << 20, 0, 77, 2});
    ck_mended(1);
    ck_used(d, 2 * NAME + 100, 2);
    rig_release(r);
}
END_TEST

START_TEST(directories_that_say_the_wrong_tree_are_set_right)
{
    uint64_t d = a_tree();

    put_record(d + 1, 0);
    ck_mended(1);
    ck_used(d, 2 * NAME + 100, 2);
    ck_ok(fs_unmount(r->fs));
    put_record(d + 1, 999);
    ck_mended(1);
    ck_ok(fs_unmount(r->fs));
    put_record(d, 0); /* and what is in it goes on to be right */
    ck_mended(1);
    ck_used(d, 2 * NAME + 100, 2);
    rig_release(r);
}
END_TEST

START_TEST(a_lost_quota_is_no_quota)
{
    uint64_t d = a_tree();
    struct key k;

    ck_ok(lsm_delete(r->db, key_quota(&k, d)));
    ck_mended(2); /* two directories say that they are of it */
    ck_err(fs_quota_get(r->fs, d, &(struct fs_quota){0}), ENODATA);
    ck_ok(set(d, 0, 0));
    ck_used(d, 2 * NAME + 100, 2);
    rig_release(r);
}
END_TEST

START_TEST(quotas_of_nothing_in_themselves_and_in_others_are_set_right)
{
    struct quota_record q = {QUOTA_READY, 0, 1 << 20, 0, 0, 0};
    uint64_t d = a_tree();

    put_quota(5000, &q);
    q.outer = d;
    put_quota(d, &q);
    ck_ok(lsm_put(r->db, key_quota(&(struct key){{0}}, 17000), slice_str("what")));
    ck_assert_uint_eq(rig_problems(r), 3);
    rig_mount(r); /* which counts anew */
    ck_ok(fs_unmount(r->fs));
    ck_assert_uint_eq(rig_problems(r), 1);
    ck_ok(fs_repair(r->db, &(struct fs_repair_options){0}, NULL, NULL,
                    &(struct fs_repair_result){0}));
    rig_check(r);
    rig_mount(r);
    ck_used(d, 2 * NAME + 100, 2);
    rig_release(r);
}
END_TEST

/* Two that each say they lie in the other, as soon as it is walked. */
static void walk_in_circles(enum quota_state state)
{
    uint64_t d = a_tree(), e = d + 1;

    put_quota(d, &(struct quota_record){state, e, 0, 0, 0, 0});
    put_quota(e, &(struct quota_record){QUOTA_READY, 0, 0, 0, 0, 0});
    put_record(e, e);
    rig_mount(r); /* which walks, and counts */
    ck_ok(write_some(rig_file(r, e, "g"), 0, 100));
    ck_ok(fs_unmount(r->fs));
    ck_ok(fs_repair(r->db, &(struct fs_repair_options){0}, NULL, NULL,
                    &(struct fs_repair_result){0}));
    rig_mount(r);
    rig_release(r);
}

START_TEST(a_quota_being_set_that_lies_in_one_below_it_ends_nothing_in_circles)
{
    walk_in_circles(QUOTA_FILLING);
}
END_TEST

START_TEST(a_quota_being_cleared_that_lies_in_one_below_it_ends_nothing_in_circles)
{
    walk_in_circles(QUOTA_CLEARING);
}
END_TEST

START_TEST(a_superblock_made_anew_knows_of_quotas)
{
    uint64_t d = a_tree();

    ck_ok(lsm_delete(r->db, key_super()));
    ck_assert_uint_gt(rig_problems(r), 0);
    ck_ok(fs_repair(r->db, &(struct fs_repair_options){0}, NULL, NULL,
                    &(struct fs_repair_result){0}));
    rig_check(r);
    rig_mount(r);
    ck_used(d, 2 * NAME + 100, 2);
    rig_release(r);
}
END_TEST

TEST_MAIN("fs_quota", TEST_CASE(what_is_below_the_directory_counts_and_nothing_else),
          TEST_CASE(every_way_in_is_refused_at_the_quota),
          TEST_CASE(a_quota_of_inodes_is_one_of_inodes),
          TEST_CASE(a_file_without_a_name_counts_until_it_is_closed),
          TEST_CASE(files_go_from_tree_to_tree_and_directories_do_not),
          TEST_CASE(a_whiteout_and_what_is_renamed_over_count_where_they_are),
          TEST_CASE(nested_quotas_all_hold_and_df_shows_the_tightest),
          TEST_CASE(a_full_directory_is_given_a_quota_and_loses_it),
          TEST_CASE(around_one_that_is_half_cleared_another_is_set),
          TEST_CASE(without_a_quota_the_store_is_what_it_was),
          TEST_CASE(a_removed_directory_takes_its_quota_with_it),
          TEST_CASE(quotas_are_listed_with_their_paths),
          TEST_CASE(what_makes_no_sense_is_refused),
          TEST_CASE(attributes_say_what_is_used),
          TEST_CASE_SOAK(after_any_operations_what_is_said_is_what_is_there),
          TEST_CASE_SOAK(trees_are_given_quotas_and_lose_them_while_files_come_and_go),
          TEST_CASE(wrong_figures_are_found_and_set_right),
          TEST_CASE(directories_that_say_the_wrong_tree_are_set_right),
          TEST_CASE(a_lost_quota_is_no_quota),
          TEST_CASE(quotas_of_nothing_in_themselves_and_in_others_are_set_right),
          TEST_CASE(a_superblock_made_anew_knows_of_quotas),
          TEST_CASE(a_quota_being_set_that_lies_in_one_below_it_ends_nothing_in_circles),
          TEST_CASE(
              a_quota_being_cleared_that_lies_in_one_below_it_ends_nothing_in_circles))
