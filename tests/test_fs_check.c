/*
 * test_fs_check.c - fs_check finds each kind of damage, and the operations
 * meet damage with errors.
 */
#include "fs/keys.h"
#include "fs/record.h"
#include "test_fs.h"

static struct rig rig;
static struct rig *const r = &rig;

/* A small tree: d/, d/sub/, f (one small extent), g and g2 (one inode), l. */
struct tree {
    uint64_t d, sub, f, g, l;
};

static struct buf told;

static void tell(void *arg, const char *line)
{
    buf_append(&told, line, strlen(line));
    buf_append(&told, "\n", 1);
}

static struct tree build(void)
{
    struct fs_attr a;
    struct tree t;

    rig_init(r, "s");
    t.d = rig_dir(r, FS_ROOT, "d");
    t.sub = rig_dir(r, t.d, "sub");
    t.f = rig_file(r, FS_ROOT, "f");
    rig_write(r, t.f, 0, "contents");
    t.g = rig_file(r, FS_ROOT, "g");
    ck_ok(fs_link(r->fs, t.g, t.d, "g2", &a));
    ck_ok(fs_symlink(r->fs, &r->cred, t.d, "l", "target", &a));
    t.l = a.st.st_ino;
    ck_ok(fs_unmount(r->fs));
    rig_check(r);
    return t;
}

/* fs_check now finds something, and says so with this. */
static void ck_found(const char *part)
{
    uint64_t n = 0;

    buf_clear(&told);
    ck_ok(fs_check(r->db, tell, NULL, &n));
    put_u8(&told, 0);
    ck_assert_msg(n > 0, "nothing found, not: %s", part);
    ck_assert_msg(strstr((char *)told.data, part), "found:\n%snot: %s", told.data, part);
}

static void put(struct slice key, struct buf *value)
{
    ck_ok(lsm_put(r->db, key, buf_slice(value)));
    buf_clear(value);
}

static struct record get_inode(uint64_t ino)
{
    struct lsm_value v = {0};
    struct record rec;
    struct key k;

    ck_ok(lsm_get(r->db, NULL, key_inode(&k, ino), &v));
    ck_ok(record_decode(v.value, &rec));
    lsm_value_release(&v);
    return rec;
}

static void put_inode(uint64_t ino, const struct record *rec)
{
    struct buf b = {0};
    struct key k;

    record_encode(&b, rec);
    put(key_inode(&k, ino), &b);
    buf_release(&b);
}

static uint64_t seq_of_g2(const struct tree *t)
{
    return t->g + 1;
}

START_TEST(nothing_is_wrong_with_a_whole_tree)
{
    build();
    ck_ok(lsm_close(r->db));
}
END_TEST

START_TEST(no_filesystem_is_no_problem_but_an_error)
{
    uint64_t n;

    snprintf(r->path, sizeof(r->path), "%s/empty", test_dir());
    rig_open_store(r);
    ck_err(fs_check(r->db, tell, NULL, &n), ENODATA);
    ck_ok(lsm_close(r->db));
}
END_TEST

START_TEST(a_lost_name_list)
{
    struct tree t = build();
    struct lsm_value v = {0};
    struct super s;
    struct key k;

    ck_ok(lsm_get(r->db, NULL, key_super(), &v));
    ck_ok(super_decode(v.value, &s));
    ck_ok(lsm_delete(r->db,
                     key_names(&k, FS_ROOT, name_hash(s.hash_seed, slice_str("f")))));
    ck_found("/f: the name is not in the index");
    (void)t;
    lsm_value_release(&v);
}
END_TEST

START_TEST(a_lost_entry)
{
    struct tree t = build();
    struct fs_attr a;
    struct key k;

    test_log_capture();
    ck_ok(lsm_delete(r->db, key_dentry(&k, FS_ROOT, t.f)));
    ck_found("its index of names leads to entry");
    ck_found("inode 18: its record is missing, but there are contents of it");
    rig_mount(r);
    ck_err(fs_lookup(r->fs, FS_ROOT, "f", &a), EUCLEAN);
    ck_err(fs_unlink(r->fs, FS_ROOT, "f"), EUCLEAN);
    ck_ok(fs_unmount(r->fs));
}
END_TEST

START_TEST(a_lost_inode)
{
    struct tree t = build();
    struct fs_attr a;
    struct key k;

    test_log_capture();
    ck_ok(lsm_delete(r->db, key_inode(&k, t.g)));
    ck_found("/g: leads to inode 19, which does not exist");
    rig_mount(r);
    ck_err(fs_lookup(r->fs, FS_ROOT, "g", &a), EUCLEAN);
    ck_ok(fs_unmount(r->fs));
}
END_TEST

START_TEST(a_wrong_link_count)
{
    struct tree t = build();
    struct record rec = get_inode(t.g);

    rec.nlink = 3;
    put_inode(t.g, &rec);
    ck_found("says 3 links, but has 2 names");
    rec.nlink = 0;
    put_inode(t.g, &rec);
    ck_found("says 0 links, but has 2 names");
}
END_TEST

START_TEST(wrong_directory_counts_and_parents)
{
    struct tree t = build();
    struct record rec = get_inode(t.d);

    rec.dir.entries++;
    put_inode(t.d, &rec);
    ck_found("inode 16 (/d): says 4 entries, 1 of them directories, but has 3, 1");
    rec.dir.entries--;
    rec.dir.subdirs--;
    put_inode(t.d, &rec);
    ck_found("0 of them directories, but has 3, 1");
    rec = get_inode(t.sub);
    rec.dir.parent = FS_ROOT;
    put_inode(t.sub, &rec);
    ck_found("/d/sub: directory 17 says that it lies in directory 1");
}
END_TEST

START_TEST(a_loop_of_directories)
{
    struct tree t = build();
    struct buf b = {0};
    struct fs_attr a;
    struct key k;

    test_log_capture();
    /* d loses its name in the root and gets one in its own child. */
    ck_ok(lsm_delete(r->db, key_dentry(&k, FS_ROOT, t.d)));
    dentry_encode_ref(&b, slice_str("d"), t.d, S_IFDIR);
    put(key_dentry(&k, t.sub, t.d), &b);
    ck_found("lies below itself");
    rig_mount(r);
    ck_err(fs_lookup(r->fs, FS_ROOT, "d", &a), EUCLEAN);
    ck_ok(fs_unmount(r->fs));
    buf_release(&b);
}
END_TEST

START_TEST(two_records_of_one_inode)
{
    struct tree t = build();
    struct record rec = get_inode(t.g);

    rec.nlink = 1;
    put_inode(t.f, &rec);
    ck_found("/f: holds a second record of inode 18");
}
END_TEST

START_TEST(extents_that_do_not_fit)
{
    struct tree t = build();
    struct key k;

    ck_ok(lsm_put(r->db, key_extent(&k, t.f, 20), slice_str("beyond")));
    ck_found("says that it is 8 bytes long, but has contents up to 20");
    ck_ok(lsm_delete(r->db, key_extent(&k, t.f, 20)));
    ck_ok(lsm_put(r->db, key_extent(&k, t.f, 3), slice_str("abc")));
    ck_found("two extents overlap in 3 bytes before 8");
    ck_found("says 8 bytes of contents in 1 extents, but has 8 in 2");
    ck_ok(lsm_delete(r->db, key_extent(&k, t.f, 3)));
    ck_ok(lsm_put(r->db, key_extent(&k, t.f, 8), slice_str("short")));
    ck_found("run of small extents");
    ck_ok(lsm_put(r->db, key_extent(&k, t.f, 8), slice_str("much too long")));
    ck_found("an extent of 13 bytes, which cannot end at 8");
    ck_ok(lsm_delete(r->db, key_extent(&k, t.f, 8)));
    ck_found("its last extent does not end with it");
    ck_ok(lsm_put(r->db, key_extent(&k, t.d, 1), slice_str("x")));
    ck_found("inode 16 (/d): no file, but has 1 extents");
}
END_TEST

static void put_unwritten(uint64_t ino, uint64_t end, uint64_t len)
{
    struct buf b = {0};
    struct key k;

    put_varint(&b, len);
    put(key_unwritten(&k, ino, end), &b);
    buf_release(&b);
}

START_TEST(unwritten_ranges_that_do_not_fit)
{
    struct tree t = build();
    struct key k;

    put_unwritten(t.f, 2000, 1000);
    ck_found("says 0 bytes of unwritten ranges, but has 1000");
    put_unwritten(t.f, 2500, 501);
    ck_found("the unwritten range before 2500 overlaps another");
    ck_ok(lsm_delete(r->db, key_unwritten(&k, t.f, 2500)));
    put_unwritten(t.f, 2000, 2000);
    ck_found("the unwritten range before 2000 has contents");
    put_unwritten(t.f, 2000, 2001);
    ck_found("the unwritten range before 2000 makes no sense");
    ck_ok(lsm_delete(r->db, key_unwritten(&k, t.f, 2000)));
    put_unwritten(t.d, 1, 1);
    ck_found("inode 16 (/d): no file, but has 1 unwritten ranges");
}
END_TEST

START_TEST(orphans_that_are_none)
{
    struct record rec = {.mode = S_IFREG | 0600};
    struct tree t = build();
    struct buf value = {0};
    struct fs_stats s;
    struct key k;
    int how; /* as older versions put it; with its record; with none that makes sense */

    test_log_capture();
    for (how = 0; how < 3; how++) {
        if (how == 1)
            record_encode_tree(&value, &rec, 0);
        else if (how == 2)
            buf_assign(&value, slice_str("nothing"));
        ck_ok(lsm_put(r->db, key_orphan(&k, t.g), buf_slice(&value)));
        ck_found("noted as an orphan, but has links");
        rig_mount(r); /* must not delete what has names */
        ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "g"), t.g);
        fs_get_stats(r->fs, &s);
        ck_assert_uint_eq(s.orphans_removed, 0);
        ck_ok(fs_unmount(r->fs));
    }
    buf_release(&value);
    ck_ok(lsm_put(r->db, key_orphan(&k, 12345), slice_of(NULL, 0)));
    ck_found("inode 12345: does not exist, but there is an orphan of it");
    rig_mount(r);
    ck_ok(fs_unmount(r->fs));
    ck_err(lsm_exists(r->db, NULL, key_orphan(&k, 12345)), ENOENT);
}
END_TEST

START_TEST(a_counter_that_fell_behind)
{
    build();
    ck_ok(lsm_put(r->db, key_next(), slice_of("\x11", 1)));
    ck_found("the counter is at 17");
}
END_TEST

START_TEST(keys_and_values_of_no_kind)
{
    struct tree t = build();
    struct key k;

    ck_ok(lsm_put(r->db, slice_str("P?"), slice_str("")));
    ck_found("a key of unknown kind: P?");
    ck_ok(lsm_put(r->db, slice_str("D"), slice_str("")));
    ck_found("a bad key of an entry: D");
    ck_ok(lsm_put(r->db, slice_str("I2"), slice_str("")));
    ck_found("a bad key of an inode: I2");
    ck_ok(lsm_put(r->db, slice_str("E2"), slice_str("")));
    ck_found("a bad key of an extent: E2");
    ck_ok(lsm_put(r->db, slice_str("N2"), slice_str("\x20")));
    ck_found("a bad key of a name list: N2");
    ck_ok(lsm_put(r->db, slice_str("O2"), slice_str("")));
    ck_found("a bad key of an orphan: O2");
    ck_ok(lsm_put(r->db, slice_str("X"), slice_str("")));
    ck_found("a bad key of an attribute: X");
    ck_ok(lsm_put(r->db, slice_of("X\0\0\0\0\0\0\0\x7fuser.x", 15), slice_str("")));
    ck_found("inode 127: does not exist, but there is an attribute of it");
    ck_ok(lsm_put(r->db, key_two(&k, KEY_XATTR, t.f, 0), slice_str("")));
    ck_found("a bad key of an attribute: X"); /* NULs in the name */
    ck_ok(lsm_put(r->db, key_inode(&k, t.d), slice_str("?")));
    ck_found("inode 16: its record makes no sense");
    ck_ok(lsm_put(r->db, key_dentry(&k, FS_ROOT, t.f), slice_str("?")));
    ck_found("inode 1 (/): its entry 18 makes no sense");
    ck_ok(lsm_put(r->db, key_names(&k, FS_ROOT, 5), slice_of(NULL, 0)));
    ck_found("a list in its index of names makes no sense");
}
END_TEST

static void put_xattr(uint64_t ino, const char *name, struct slice value)
{
    struct xattr_key k;

    ck_ok(lsm_put(r->db, key_xattr(&k, ino, slice_str(name)), value));
}

START_TEST(attributes_and_flags_that_disagree)
{
    struct tree t = build();
    struct record rec = get_inode(t.d);

    put_xattr(t.f, "user.a", slice_str("1"));
    ck_found("inode 18 (/f): has attributes, but says that it has none");
    rec.flags = REC_XATTR | REC_CAPABILITY;
    put_inode(t.d, &rec);
    ck_found("inode 16 (/d): says that it has attributes, but has none");
    put_xattr(t.d, "user.a", slice_str("1"));
    ck_found("inode 16 (/d): says that it has a file capability, but has none");
    put_xattr(t.d, "security.capability", slice_str("1"));
    put_xattr(t.sub, "system.posix_acl_default", slice_str(""));
    ck_found("inode 17 (/d/sub): its default ACL makes no sense");
}
END_TEST

START_TEST(a_damaged_acl)
{
    static const uint8_t mode_754[] = {2,   0,   0, 0, 1,   0,   7,   0,   255, 255,
                                       255, 255, 4, 0, 5,   0,   255, 255, 255, 255,
                                       32,  0,   4, 0, 255, 255, 255, 255};
    struct tree t = build();
    struct record rec = get_inode(t.d);
    struct stat st = {.st_mode = 0700};
    struct fs_attr a;
    size_t len;

    rec.flags = REC_XATTR | REC_ACL | REC_DEFAULT_ACL;
    put_inode(t.d, &rec);
    put_xattr(t.d, "system.posix_acl_access", slice_of(mode_754, 28));
    put_xattr(t.d, "system.posix_acl_default", slice_of(mode_754, 27));
    ck_found("its ACL says mode 754, not 755");
    ck_found("its default ACL makes no sense");
    put_xattr(t.d, "system.posix_acl_access", slice_of(mode_754, 4));
    ck_found("its access ACL makes no sense");
    ck_ok(fs_set_limits(r->db, &rig_limits)); /* counts anew */
    test_log_capture();
    rig_mount(r);
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "d"), t.d);
    ck_err(fs_mkdir(r->fs, &r->cred, t.d, "new", 0755, &a), EUCLEAN);
    ck_err(fs_setattr(r->fs, &r->cred, t.d, FS_SET_MODE, &st, &a), EUCLEAN);
    ck_ok(fs_removexattr(r->fs, t.d, "system.posix_acl_default"));
    ck_ok(fs_removexattr(r->fs, t.d, "system.posix_acl_access"));
    ck_ok(fs_setattr(r->fs, &r->cred, t.d, FS_SET_MODE, &st, &a));
    ck_ok(fs_listxattr(r->fs, &r->cred, t.d, NULL, 0, &len));
    ck_assert_uint_eq(len, 0);
    ck_ok(fs_mkdir(r->fs, &r->cred, t.d, "new", 0755, &a));
    rig_release(r);
}
END_TEST

START_TEST(one_name_twice)
{
    struct tree t = build();
    struct buf b = {0};
    struct key k;

    dentry_encode_ref(&b, slice_str("l"), t.g, S_IFREG);
    put(key_dentry(&k, t.d, seq_of_g2(&t)), &b); /* g2 becomes a second l */
    ck_found("which has another name");
    buf_release(&b);
}
END_TEST

START_TEST(an_entry_of_the_wrong_type)
{
    struct tree t = build();
    struct buf b = {0};
    struct fs_attr a;
    struct key k;

    test_log_capture();
    dentry_encode_ref(&b, slice_str("g2"), t.g, S_IFIFO);
    put(key_dentry(&k, t.d, seq_of_g2(&t)), &b);
    ck_found("/d/g2: says another type than inode 19");
    rig_mount(r);
    ck_err(fs_lookup(r->fs, rig_lookup(r, FS_ROOT, "d"), "g2", &a), EUCLEAN);
    ck_ok(fs_unmount(r->fs));
    buf_release(&b);
}
END_TEST

TEST_MAIN("fs_check", TEST_CASE(nothing_is_wrong_with_a_whole_tree),
          TEST_CASE(no_filesystem_is_no_problem_but_an_error),
          TEST_CASE(a_lost_name_list), TEST_CASE(a_lost_entry), TEST_CASE(a_lost_inode),
          TEST_CASE(a_wrong_link_count), TEST_CASE(wrong_directory_counts_and_parents),
          TEST_CASE(a_loop_of_directories), TEST_CASE(two_records_of_one_inode),
          TEST_CASE(extents_that_do_not_fit), TEST_CASE(unwritten_ranges_that_do_not_fit),
          TEST_CASE(orphans_that_are_none), TEST_CASE(a_counter_that_fell_behind),
          TEST_CASE(keys_and_values_of_no_kind),
          TEST_CASE(attributes_and_flags_that_disagree), TEST_CASE(a_damaged_acl),
          TEST_CASE(one_name_twice), TEST_CASE(an_entry_of_the_wrong_type))
