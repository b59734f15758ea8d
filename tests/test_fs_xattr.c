/*
 * test_fs_xattr.c - extended attributes and POSIX ACLs through fs.h, and the
 * decoder of ACLs by itself.
 */
#include <linux/falloc.h>
#include <sys/xattr.h>

#include "fs/acl.h"
#include "fs/keys.h"
#include "env_mem.h"
#include "fs/record.h"
#include "test_fs.h"

static struct rig rig;
static struct rig *const r = &rig;

#define ACCESS  "system.posix_acl_access"
#define DEFAULT "system.posix_acl_default"
#define CAPS    "security.capability"

static int set(uint64_t ino, const char *name, const char *value, int flags)
{
    return fs_setxattr(r->fs, &r->cred, ino, name, slice_str(value), flags);
}

static void ck_value(uint64_t ino, const char *name, const char *want)
{
    char got[256];
    size_t len;

    ck_ok(fs_getxattr(r->fs, ino, name, got, sizeof(got), &len));
    ck_slice_str(slice_of(got, len), want);
}

/* The names, each with a space after it. */
static void ck_names(uint64_t ino, const char *want)
{
    char got[4096];
    size_t len, i;

    ck_ok(fs_listxattr(r->fs, &r->cred, ino, got, sizeof(got), &len));
    for (i = 0; i < len; i++)
        got[i] = got[i] ? got[i] : ' ';
    ck_slice_str(slice_of(got, len), want);
}

static int none(uint64_t ino, const char *name)
{
    size_t len;

    return fs_getxattr(r->fs, ino, name, NULL, 0, &len);
}

/* ---- keys under X, and the flags that tell of them ---- */

static unsigned keys_of(uint64_t ino)
{
    struct lsm_iter_options o = {0};
    struct key a, b;
    struct slice from = key_one(&a, KEY_XATTR, ino), to = key_one(&b, KEY_XATTR, ino + 1);
    struct lsm_iter *it;
    unsigned n = 0;

    o.lower = &from;
    o.upper = &to;
    ck_ok(lsm_iter_new(r->db, &o, &it));
    for (lsm_iter_first(it); lsm_iter_valid(it); lsm_iter_next(it))
        n++;
    ck_ok(lsm_iter_error(it));
    lsm_iter_free(it);
    return n;
}

static uint32_t flags_of(const char *name)
{
    struct lsm_value v = {0};
    struct super s;
    struct seqs q;
    struct dentry d;
    struct key k;
    uint32_t flags;

    ck_ok(lsm_get(r->db, NULL, key_super(), &v));
    ck_ok(super_decode(v.value, &s));
    ck_ok(lsm_get(r->db, NULL,
                  key_names(&k, FS_ROOT, name_hash(s.hash_seed, slice_str(name))), &v));
    ck_ok(seqs_decode(v.value, &q));
    ck_ok(lsm_get(r->db, NULL, key_dentry(&k, FS_ROOT, q.seq[0]), &v));
    ck_ok(dentry_decode(v.value, &d));
    if (!d.embedded) {
        ck_ok(lsm_get(r->db, NULL, key_inode(&k, d.ino), &v));
        ck_ok(record_decode(v.value, &d.rec));
    }
    flags = d.rec.flags;
    lsm_value_release(&v);
    return flags;
}

START_TEST(set_get_list_remove)
{
    uint64_t f;
    char small[3];
    size_t len;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    ck_names(f, "");
    ck_err(none(f, "user.a"), ENODATA);
    ck_ok(set(f, "user.b", "bee", 0));
    ck_ok(set(f, "user.a", "", XATTR_CREATE));
    ck_ok(set(f, "trusted.t", "tee", 0));
    ck_err(set(f, "user.a", "x", XATTR_CREATE), EEXIST);
    ck_err(set(f, "user.c", "x", XATTR_REPLACE), ENODATA);
    ck_ok(set(f, "user.b", "other", XATTR_REPLACE));
    ck_names(f, "trusted.t user.a user.b ");
    rig_remount(r);
    f = rig_lookup(r, FS_ROOT, "f");
    ck_value(f, "user.b", "other");
    ck_value(f, "user.a", "");
    ck_err(fs_getxattr(r->fs, f, "user.b", small, 3, &len), ERANGE);
    ck_ok(fs_getxattr(r->fs, f, "user.b", NULL, 0, &len));
    ck_assert_uint_eq(len, 5);
    ck_err(fs_listxattr(r->fs, &r->cred, f, small, 3, &len), ERANGE);
    r->cred.uid = 1000;
    ck_names(f, "user.a user.b ");
    r->cred.uid = 0;
    ck_ok(fs_removexattr(r->fs, f, "user.b"));
    ck_err(fs_removexattr(r->fs, f, "user.b"), ENODATA);
    ck_names(f, "trusted.t user.a ");
    rig_release(r);
}
END_TEST

START_TEST(names_and_values_have_limits)
{
    char name[300];
    static uint8_t big[FS_XATTR_SIZE_MAX + 1];
    struct fs_attr a;
    uint64_t f, l;
    size_t len;
    unsigned n;
    int rc;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(fs_symlink(r->fs, &r->cred, FS_ROOT, "l", "f", &a));
    l = a.st.st_ino;
    ck_err(set(f, "foo.bar", "x", 0), EOPNOTSUPP);
    ck_err(set(f, "system.other", "x", 0), EOPNOTSUPP);
    ck_err(set(f, "user.", "x", 0), EINVAL);
    ck_err(set(f, "user.a", "x", 4), EINVAL);
    ck_err(set(l, "user.a", "x", 0), EPERM);
    ck_ok(set(l, "trusted.a", "x", 0));
    memset(name, 'n', sizeof(name));
    memcpy(name, "user.", 5);
    name[256] = 0;
    ck_err(set(f, name, "x", 0), ERANGE);
    name[255] = 0;
    ck_ok(set(f, name, "x", 0));
    ck_err(fs_setxattr(r->fs, &r->cred, f, "user.a", slice_of(big, sizeof(big)), 0),
           E2BIG);
    ck_ok(fs_setxattr(r->fs, &r->cred, f, "user.a", slice_of(big, sizeof(big) - 1), 0));
    ck_ok(fs_getxattr(r->fs, f, "user.a", big, sizeof(big), &len));
    ck_assert_uint_eq(len, FS_XATTR_SIZE_MAX);
    for (n = 0, rc = 0; !rc; n++) {
        snprintf(name + 5, sizeof(name) - 5, "%0250u", n);
        rc = set(f, name, "x", 0);
    }
    ck_err(rc, ENOSPC);
    ck_ok(fs_listxattr(r->fs, &r->cred, f, (char *)big, FS_XATTR_LIST_MAX, &len));
    ck_assert_uint_gt(len, FS_XATTR_LIST_MAX - 256);
    ck_ok(set(f, "user.a", "replaced", 0));
    rig_release(r);
}
END_TEST

START_TEST(a_file_without_attributes_has_no_flag_and_no_keys)
{
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    ck_assert_uint_eq(flags_of("f") & REC_XATTRS, 0);
    ck_ok(set(f, "user.a", "1", 0));
    ck_ok(set(f, CAPS, "2", 0));
    ck_assert_uint_eq(flags_of("f") & REC_XATTRS, REC_XATTR | REC_CAPABILITY);
    ck_ok(fs_removexattr(r->fs, f, CAPS));
    ck_assert_uint_eq(flags_of("f") & REC_XATTRS, REC_XATTR);
    ck_ok(fs_removexattr(r->fs, f, "user.a"));
    ck_assert_uint_eq(flags_of("f") & REC_XATTRS, 0);
    ck_assert_uint_eq(keys_of(f), 0);
    rig_release(r);
}
END_TEST

START_TEST(attributes_go_with_the_inode)
{
    char name[32];
    uint64_t f, g, d, open;
    int i;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    g = rig_file(r, FS_ROOT, "g");
    d = rig_dir(r, FS_ROOT, "d");
    open = rig_file(r, FS_ROOT, "open");
    ck_ok(set(f, "user.a", "1", 0));
    ck_ok(set(d, "user.a", "1", 0));
    ck_ok(set(open, "user.a", "1", 0));
    for (i = 0; i < 100; i++) {
        snprintf(name, sizeof(name), "user.%d", i);
        ck_ok(set(g, name, "many", 0));
    }
    fs_forget(r->fs, f, 1);
    fs_forget(r->fs, g, 1);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    ck_ok(fs_unlink(r->fs, FS_ROOT, "g"));
    ck_ok(fs_rmdir(r->fs, FS_ROOT, "d"));
    ck_ok(fs_unlink(r->fs, FS_ROOT, "open"));
    ck_assert_uint_eq(keys_of(f), 0);
    ck_assert_uint_eq(keys_of(g), 0);
    ck_assert_uint_eq(keys_of(d), 0);
    ck_err(none(d, "user.a"), ENODATA);
    ck_value(open, "user.a", "1");
    ck_ok(set(open, "user.b", "2", 0));
    fs_forget(r->fs, open, 1);
    ck_ok(fs_sync(r->fs));
    ck_assert_uint_eq(keys_of(open), 0);
    rig_release(r);
}
END_TEST

START_TEST(attributes_stay_over_truncation_rename_and_link)
{
    struct fs_attr a;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    rig_write(r, f, 0, "contents");
    ck_ok(set(f, "user.a", "1", 0));
    ck_ok(fs_setattr(r->fs, &r->cred, f, FS_SET_SIZE, &(struct stat){.st_size = 0}, &a));
    ck_value(f, "user.a", "1");
    ck_ok(fs_rename(r->fs, NULL, FS_ROOT, "f", FS_ROOT, "g", 0));
    ck_ok(fs_link(r->fs, f, FS_ROOT, "h", &a));
    ck_ok(fs_unlink(r->fs, FS_ROOT, "g"));
    rig_remount(r);
    ck_value(rig_lookup(r, FS_ROOT, "h"), "user.a", "1");
    rig_release(r);
}
END_TEST

START_TEST(a_capability_goes_with_write_truncate_and_chown)
{
    struct stat st = {.st_uid = 5, .st_size = 3};
    struct fs_attr a;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(set(f, "user.a", "1", 0));
    ck_ok(set(f, CAPS, "c", 0));
    ck_ok(fs_setattr(r->fs, &r->cred, f, FS_SET_MODE | FS_SET_MTIME, &st, &a));
    ck_value(f, CAPS, "c");
    rig_write(r, f, 0, "x");
    ck_err(none(f, CAPS), ENODATA);
    ck_ok(set(f, CAPS, "c", 0));
    ck_ok(fs_setattr(r->fs, &r->cred, f, FS_SET_SIZE, &st, &a));
    ck_err(none(f, CAPS), ENODATA);
    ck_ok(set(f, CAPS, "c", 0));
    ck_ok(fs_setattr(r->fs, &r->cred, f, FS_SET_UID, &st, &a));
    ck_err(none(f, CAPS), ENODATA);
    ck_names(f, "user.a ");
    ck_assert_uint_eq(keys_of(f), 1);
    rig_release(r);
}
END_TEST

START_TEST(a_capability_goes_with_fallocate_and_a_copy_into_the_file)
{
    static const int modes[] = {
        0,
        FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
        FALLOC_FL_ZERO_RANGE,
        FALLOC_FL_COLLAPSE_RANGE,
        FALLOC_FL_INSERT_RANGE,
    };
    uint64_t f, g, copied;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    g = rig_file(r, FS_ROOT, "g");
    rig_write(r, f, 0, "contents");
    rig_write(r, g, 0, "others");
    ck_ok(set(f, "user.a", "1", 0));
    for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        ck_ok(set(f, CAPS, "c", 0));
        ck_ok(fs_fallocate(r->fs, f, modes[i], 1, 2));
        ck_err(none(f, CAPS), ENODATA);
    }
    ck_ok(set(f, CAPS, "c", 0));
    ck_err(fs_fallocate(r->fs, f, -1, 1, 2), EOPNOTSUPP);
    ck_ok(fs_copy_range(r->fs, g, 6, f, 0, 1, &copied));
    ck_assert_uint_eq(copied, 0);
    ck_value(f, CAPS, "c");
    ck_ok(set(g, CAPS, "c", 0));
    ck_ok(fs_copy_range(r->fs, g, 0, f, 0, 3, &copied));
    ck_err(none(f, CAPS), ENODATA);
    ck_value(g, CAPS, "c");
    ck_names(f, "user.a ");
    ck_assert_uint_eq(keys_of(f), 1);
    rig_check(r);
    rig_release(r);
}
END_TEST

START_TEST(attributes_and_unwritten_ranges_live_in_one_file)
{
    struct stat st = {.st_size = 0};
    struct fs_attr a;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(set(f, "user.a", "1", 0));
    ck_ok(set(f, CAPS, "c", 0));
    ck_ok(fs_fallocate(r->fs, f, 0, 0, 8192));
    rig_write(r, f, 4096, "contents");
    rig_remount(r);
    f = rig_lookup(r, FS_ROOT, "f");
    ck_names(f, "user.a ");
    ck_ok(fs_setattr(r->fs, &r->cred, f, FS_SET_SIZE, &st, &a));
    ck_assert_uint_eq(a.st.st_blocks, 0);
    ck_value(f, "user.a", "1");
    ck_ok(fs_fallocate(r->fs, f, FALLOC_FL_KEEP_SIZE, 0, 8192));
    rig_check(r);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    fs_forget(r->fs, f, 2);
    ck_ok(fs_sync(r->fs));
    ck_assert_uint_eq(keys_of(f), 0);
    rig_check(r);
    rig_release(r);
}
END_TEST

/* ---- ACLs ---- */

/* "u7 u1000:5 g4 g7:1 m5 o0" */
static struct slice acl_bytes(const char *text)
{
    static struct buf b;
    struct acl a = {0};
    char who;
    unsigned perm, id;
    int n;

    buf_clear(&b);
    while (sscanf(text, " %c%n", &who, &n) == 1) {
        struct acl_entry *e = &a.entry[a.n++];
        bool named = sscanf(text + n, "%u:%u", &id, &perm) == 2;

        if (!named)
            sscanf(text + n, "%u", &perm);
        e->id = named ? id : ACL_NO_ID;
        e->perm = (uint16_t)perm;
        e->tag = who == 'u'   ? (named ? ACL_USER : ACL_USER_OBJ)
                 : who == 'g' ? (named ? ACL_GROUP : ACL_GROUP_OBJ)
                 : who == 'm' ? ACL_MASK
                              : ACL_OTHER;
        text += strcspn(text + 1, " ") + 1;
    }
    acl_encode(&b, &a);
    return buf_slice(&b);
}

static int set_acl(uint64_t ino, const char *name, const char *text)
{
    return fs_setxattr(r->fs, &r->cred, ino, name, acl_bytes(text), 0);
}

static void ck_acl(uint64_t ino, const char *name, const char *text)
{
    struct slice want = acl_bytes(text);
    uint8_t got[4096];
    size_t len;

    ck_ok(fs_getxattr(r->fs, ino, name, got, sizeof(got), &len));
    ck_assert(slice_eq(slice_of(got, len), want));
}

static unsigned mode_of(uint64_t ino)
{
    return rig_attr(r, ino).st.st_mode & 07777;
}

static void chmod_to(uint64_t ino, unsigned mode)
{
    struct fs_attr a;

    ck_ok(fs_setattr(r->fs, &r->cred, ino, FS_SET_MODE, &(struct stat){.st_mode = mode},
                     &a));
}

START_TEST(golden_acl_bytes)
{
    static const uint8_t want[] = {
        2, 0,    0,   0,   1,   0,   6,    0, 255, 255,  255, 255, 2,   0,    7,
        0, 0xe8, 3,   0,   0,   4,   0,    4, 0,   0xff, 255, 255, 255, 0x10, 0,
        7, 0,    255, 255, 255, 255, 0x20, 0, 0,   0,    255, 255, 255, 255};

    ck_assert(slice_eq(acl_bytes("u6 u1000:7 g4 m7 o0"), slice_of(want, sizeof(want))));
}
END_TEST

START_TEST(an_acl_sets_the_mode_and_chmod_changes_the_acl)
{
    struct timespec before;
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    before = rig_attr(r, f).st.st_ctim;
    ck_ok(set_acl(f, ACCESS, "u6 u1000:7 g4 m7 o0"));
    ck_assert_uint_eq(mode_of(f), 0670);
    ck_assert_int_gt(stamp_cmp(rig_attr(r, f).st.st_ctim, before), 0);
    chmod_to(f, 0751);
    ck_acl(f, ACCESS, "u7 u1000:7 g4 m5 o1");
    ck_names(f, "system.posix_acl_access ");
    rig_remount(r);
    f = rig_lookup(r, FS_ROOT, "f");
    ck_acl(f, ACCESS, "u7 u1000:7 g4 m5 o1");
    ck_ok(set_acl(f, ACCESS, "u7 g1 o2"));
    ck_assert_uint_eq(mode_of(f), 0712);
    ck_err(none(f, ACCESS), ENODATA);
    ck_assert_uint_eq(keys_of(f), 0);
    ck_ok(fs_removexattr(r->fs, f, ACCESS));
    ck_ok(fs_removexattr(r->fs, f, DEFAULT));
    ck_err(set_acl(f, DEFAULT, "u7 g1 o2"), EACCES);
    ck_ok(fs_setxattr(r->fs, &r->cred, f, DEFAULT, acl_bytes(""), 0));
    rig_release(r);
}
END_TEST

START_TEST(default_acls_are_inherited_and_the_umask_does_not_count)
{
    struct fs_attr a;
    uint64_t d, s;

    rig_init(r, "s");
    r->cred.umask = 077;
    d = rig_dir(r, FS_ROOT, "d");
    ck_assert_uint_eq(mode_of(d), 0700);
    ck_ok(set_acl(d, DEFAULT, "u7 u1000:7 g5 m7 o5"));
    ck_assert_uint_eq(mode_of(d), 0700);
    ck_acl(rig_file(r, d, "f"), ACCESS, "u6 u1000:7 g5 m4 o4");
    s = rig_dir(r, d, "s");
    ck_acl(s, ACCESS, "u7 u1000:7 g5 m5 o5");
    ck_acl(s, DEFAULT, "u7 u1000:7 g5 m7 o5");
    ck_assert_uint_eq(mode_of(s), 0755);
    ck_ok(fs_symlink(r->fs, &r->cred, d, "l", "x", &a));
    ck_names(a.st.st_ino, "");
    ck_ok(set_acl(d, DEFAULT, "u7 g6 o0"));
    ck_ok(fs_mknod(r->fs, &r->cred, d, "plain", S_IFREG | 0666, 0, &a));
    ck_assert_uint_eq(a.st.st_mode & 07777, 0660);
    ck_names(a.st.st_ino, "");
    ck_ok(fs_removexattr(r->fs, d, DEFAULT));
    ck_ok(fs_mkdir(r->fs, &r->cred, d, "t", 0777, &a));
    ck_assert_uint_eq(a.st.st_mode & 07777, 0700);
    rig_release(r);
}
END_TEST

START_TEST(setting_an_acl_takes_sgid_from_a_stranger)
{
    uint64_t f;

    rig_init(r, "s");
    r->cred.uid = 1000;
    f = rig_file(r, FS_ROOT, "f");
    chmod_to(f, 02755);
    ck_ok(set_acl(f, ACCESS, "u7 u5:7 g5 m5 o5"));
    ck_assert_uint_eq(mode_of(f), 02755);
    r->cred.gid = 9;
    ck_ok(set_acl(f, ACCESS, "u7 u5:7 g5 m5 o5"));
    ck_assert_uint_eq(mode_of(f), 0755);
    rig_release(r);
}
END_TEST

static int decodes(const char *text)
{
    struct acl a;

    return acl_decode(acl_bytes(text), &a);
}

START_TEST(only_lists_that_make_sense_decode)
{
    uint8_t bytes[4 + 8 * (ACL_ENTRIES_MAX + 1)] = {2};
    struct acl a;

    ck_ok(decodes(""));
    ck_ok(decodes("u7 g5 o0"));
    ck_ok(decodes("u7 g5 m7 o0"));
    ck_ok(decodes("u7 u5:1 u4:1 u4:2 g5 g1:1 m7 o0"));
    ck_err(decodes("u7"), EINVAL);
    ck_err(decodes("u7 g5"), EINVAL);
    ck_err(decodes("g5 u7 o0"), EINVAL);
    ck_err(decodes("u7 u7 g5 o0"), EINVAL);
    ck_err(decodes("u7 g5 o0 o0"), EINVAL);
    ck_err(decodes("u7 g5 o0 m7"), EINVAL);
    ck_err(decodes("u7 u5:1 g5 o0"), EINVAL);
    ck_err(decodes("u7 g5 g1:1 o0"), EINVAL);
    ck_err(decodes("u7 g5 u5:1 m7 o0"), EINVAL);
    ck_err(decodes("u8 g5 o0"), EINVAL);
    ck_err(decodes("u7 u4294967295:1 g5 m7 o0"), EINVAL);
    ck_err(acl_decode(slice_of(bytes, 3), &a), EINVAL);
    ck_err(acl_decode(slice_of(bytes, 11), &a), EINVAL);
    ck_err(acl_decode(slice_of(bytes, 12), &a), EINVAL);
    ck_err(acl_decode(slice_of(bytes, sizeof(bytes)), &a), E2BIG);
    bytes[0] = 3;
    ck_err(acl_decode(slice_of(bytes, 12), &a), EOPNOTSUPP);
}
END_TEST

/* A list after chmod shows that mode, and one of a new inode no more than was asked for.
 */
START_TEST(random_lists_and_modes_agree)
{
    uint64_t seed = test_seed();
    int i;

    for (i = 0; i < 20000; i++) {
        uint32_t mode = (uint32_t)test_below(&seed, 01000), asked, got;
        char text[64];
        struct acl a, b;

        snprintf(text, sizeof(text), "u%d u%d:%d g%d m%d o%d", (int)test_below(&seed, 8),
                 (int)test_below(&seed, 99), (int)test_below(&seed, 8),
                 (int)test_below(&seed, 8), (int)test_below(&seed, 8),
                 (int)test_below(&seed, 8));
        ck_ok(acl_decode(acl_bytes(text), &a));
        b = a;
        acl_chmod(&a, mode);
        ck_assert_uint_eq(acl_mode(&a, 04000), 04000 | mode);
        asked = got = S_IFREG | 02000 | mode;
        acl_create(&b, &got);
        ck_assert_uint_eq(got & ~asked, 0);
        ck_assert_uint_eq(acl_mode(&b, got), got);
        ck_assert_uint_eq(got & ~0777u, asked & ~0777u);
    }
}
END_TEST

/* ---- at random ---- */

enum { FILES = 3, NAMES = 5 };

/* Against an array; at each remount fs_check compares flags, keys and modes. */
START_TEST(random_changes_are_kept)
{
    static const char *const names[NAMES] = {"user.a", "user.b", "trusted.c", CAPS,
                                             ACCESS};
    static const char *const files[FILES] = {"f", "g", "d"};
    uint64_t seed = test_seed(), ino[FILES] = {0};
    bool have[FILES][NAMES] = {{0}};
    unsigned i, f, n;

    rig_init(r, "s");
    ino[0] = rig_file(r, FS_ROOT, "f");
    ino[1] = rig_file(r, FS_ROOT, "g");
    ino[2] = rig_dir(r, FS_ROOT, "d");
    for (i = 0; i < 4000; i++) {
        f = (unsigned)test_below(&seed, FILES);
        n = (unsigned)test_below(&seed, NAMES);
        switch (test_below(&seed, 8)) {
        case 0:
            chmod_to(ino[f], (unsigned)test_below(&seed, 01000));
            break;
        case 1:
            if (f < 2) {
                rig_write(r, ino[f], test_below(&seed, 100), "data");
                have[f][3] = false;
            }
            break;
        case 2:
        case 3:
            if (have[f][n] || n == 4)
                ck_ok(fs_removexattr(r->fs, ino[f], names[n]));
            else
                ck_err(fs_removexattr(r->fs, ino[f], names[n]), ENODATA);
            have[f][n] = false;
            break;
        default:
            if (n == 4)
                ck_ok(set_acl(ino[f], ACCESS, "u6 u1000:7 g4 m5 o1"));
            else
                ck_ok(set(ino[f], names[n], "value", 0));
            have[f][n] = true;
        }
        for (n = 0; n < NAMES; n++)
            ck_assert_int_eq(none(ino[f], names[n]), have[f][n] ? 0 : -ENODATA);
        if (test_below(&seed, 400))
            continue;
        rig_remount(r);
        for (f = 0; f < FILES; f++)
            ino[f] = rig_lookup(r, FS_ROOT, files[f]);
    }
    rig_release(r);
}
END_TEST

/* ---- a disk that cannot read ---- */

static void open_env(struct env *env)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    ck_ok(lsm_open("/s", &o, &r->db));
}

static uint64_t make_large(void)
{
    static uint8_t value[3000], block[4096];
    uint64_t f = rig_file(r, FS_ROOT, "f"), rnd = 1;
    char name[32];
    size_t i, k;

    for (i = 0; i < 30; i++) {
        for (k = 0; k < sizeof(value); k++)
            value[k] = (uint8_t)test_below(&rnd, 256);
        snprintf(name, sizeof(name), "user.%02zu", i);
        ck_ok(fs_setxattr(r->fs, &r->cred, f, name, slice_of(value, sizeof(value)), 0));
        ck_ok(fs_write(r->fs, f, i * 8192, slice_of(block, 1 + i), false));
    }
    return f;
}

START_TEST(what_the_disk_cannot_read_can_be_deleted)
{
    struct env *env = env_mem_new(1);
    uint64_t f;

    test_log_capture();
    memset(r, 0, sizeof(*r));
    fs_options_init(&r->options);
    r->options.writeback_ms = 0;
    open_env(env);
    ck_ok(fs_format(r->db, 0, 0, 0755, NULL));
    rig_mount(r);
    f = make_large();
    ck_ok(fs_unmount(r->fs));
    ck_ok(lsm_close(r->db));
    open_env(env);
    rig_mount(r);
    ck_assert_uint_eq(rig_lookup(r, FS_ROOT, "f"), f);
    env_mem_fail_at(env, 1, EIO, ENV_MEM_READ, ENV_MEM_FOREVER);
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    fs_forget(r->fs, f, 1);
    ck_ok(fs_sync(r->fs));
    ck_assert_uint_gt(env_mem_failures(env), 0);
    env_mem_fail_at(env, 0, EIO, 0, ENV_MEM_ONCE);
    rig_release(r);
    env_mem_free(env);
}
END_TEST

/* What a crash leaves: an orphan, behind so many that they are not all in the block of
 * the superblock. */
static uint64_t leave_orphan(struct env *env)
{
    static struct fs *volatile crashed; /* reachable: no leak to the sanitizer */
    char name[32];
    uint64_t f;
    int i;

    memset(r, 0, sizeof(*r));
    fs_options_init(&r->options);
    r->options.writeback_ms = 0;
    open_env(env);
    ck_ok(fs_format(r->db, 0, 0, 0755, NULL));
    rig_mount(r);
    for (i = 0; i < 500; i++) {
        snprintf(name, sizeof(name), "f%d", i);
        rig_file(r, FS_ROOT, name);
        ck_ok(fs_unlink(r->fs, FS_ROOT, name));
    }
    f = make_large();
    ck_ok(fs_unlink(r->fs, FS_ROOT, "f"));
    crashed = r->fs;
    (void)crashed;
    ck_ok(lsm_close(r->db));
    return f;
}

START_TEST(an_orphan_that_cannot_be_read_waits_for_another_mount)
{
    struct env *env = env_mem_new(1), *copy;
    uint64_t f = leave_orphan(env), n, stayed = 0;
    struct key k;
    int rc;

    test_log_capture();
    for (n = 1; n < 60; n++) {
        copy = env_mem_crash_clone(env, 1, ENV_MEM_KEEP_ALL);
        open_env(copy);
        env_mem_fail_at(copy, n, EIO, ENV_MEM_READ, ENV_MEM_ONCE);
        rc = fs_mount(r->db, &r->options, &r->fs);
        env_mem_fail_at(copy, 0, EIO, 0, ENV_MEM_ONCE);
        if (!rc) {
            stayed += lsm_exists(r->db, NULL, key_orphan(&k, f)) == 0;
            ck_ok(fs_unmount(r->fs));
        }
        rig_mount(r);
        ck_err(lsm_exists(r->db, NULL, key_orphan(&k, f)), ENOENT);
        rig_release(r);
        env_mem_free(copy);
    }
    ck_assert_uint_gt(stayed, 0);
    env_mem_free(env);
}
END_TEST

START_TEST(what_has_no_attributes_says_that_there_are_no_labels)
{
    uint64_t f;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    ck_err(none(f, "security.selinux"), EOPNOTSUPP);
    ck_ok(set(f, "user.a", "x", 0));
    ck_err(none(f, "security.selinux"), ENODATA);
    ck_ok(set(f, "security.selinux", "label", 0));
    ck_value(f, "security.selinux", "label");
    ck_ok(fs_removexattr(r->fs, f, "user.a"));
    ck_ok(fs_removexattr(r->fs, f, "security.selinux"));
    ck_err(none(f, "security.selinux"), EOPNOTSUPP);
    ck_err(fs_removexattr(r->fs, f, "security.selinux"), ENODATA);
    rig_release(r);
}
END_TEST

#define COMPRESSION FS_COMPRESSION_NAME

START_TEST(compression_is_inherited_and_no_key_of_its_own)
{
    uint64_t d, f, sub, old;
    struct fs_attr attr;

    rig_init(r, "s");
    d = rig_dir(r, FS_ROOT, "d");
    old = rig_file(r, d, "old");
    ck_err(none(d, COMPRESSION), ENODATA);
    ck_err(set(d, COMPRESSION, "zstd", XATTR_REPLACE), ENODATA);
    ck_err(set(d, COMPRESSION, "gzip", 0), EINVAL);
    ck_err(set(d, COMPRESSION, "", 0), EINVAL);
    ck_err(set(d, COMPRESSION, "lz4x", 0), EINVAL);
    ck_ok(set(d, COMPRESSION, "zstd", XATTR_CREATE));
    ck_err(set(d, COMPRESSION, "lz4", XATTR_CREATE), EEXIST);
    ck_value(d, COMPRESSION, "zstd");
    ck_names(d, COMPRESSION " ");
    f = rig_file(r, d, "f");
    sub = rig_dir(r, d, "sub");
    ck_value(f, COMPRESSION, "zstd");
    ck_value(sub, COMPRESSION, "zstd");
    ck_value(rig_file(r, sub, "deep"), COMPRESSION, "zstd");
    ck_err(none(old, COMPRESSION), ENODATA);
    ck_ok(fs_symlink(r->fs, &r->cred, d, "l", "f", &attr));
    ck_err(none(attr.st.st_ino, COMPRESSION), ENODATA);
    ck_err(set(attr.st.st_ino, COMPRESSION, "zstd", 0), EPERM);
    ck_ok(set(f, "user.a", "x", 0));
    ck_ok(set(f, COMPRESSION, "none", 0));
    ck_names(f, "user.a " COMPRESSION " ");
    ck_assert_uint_eq(keys_of(f), 1);
    ck_ok(fs_removexattr(r->fs, d, COMPRESSION));
    ck_err(fs_removexattr(r->fs, d, COMPRESSION), ENODATA);
    ck_err(none(rig_file(r, d, "after"), COMPRESSION), ENODATA);
    rig_check(r);
    rig_remount(r);
    ck_value(rig_lookup(r, rig_lookup(r, FS_ROOT, "d"), "f"), COMPRESSION, "none");
    rig_check(r);
    rig_release(r);
}
END_TEST

/* 64 KiB of text at off; what its extent takes. */
static uint64_t stored_of(uint64_t ino, uint64_t off)
{
    static uint8_t text[64 << 10];
    struct fs_info info;
    unsigned i;

    for (i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)("some words of text, over and over"[i % 33] + i / 3000);
    ck_ok(fs_write(r->fs, ino, off, slice_of(text, sizeof(text)), false));
    ck_ok(fs_info(r->fs, ino, &info));
    ck_assert_uint_eq(info.raw_bytes, off + sizeof(text));
    return info.stored_bytes;
}

START_TEST(contents_are_compressed_as_was_set_when_they_were_written)
{
    uint64_t f, lz4, zstd, none_, last = 0;
    struct fs_info info;

    rig_init(r, "s");
    f = rig_file(r, FS_ROOT, "f");
    ck_ok(set(f, COMPRESSION, "none", 0));
    none_ = stored_of(f, 0);
    ck_assert_uint_ge(none_, 64 << 10);
    ck_ok(set(f, COMPRESSION, "lz4", 0));
    last = stored_of(f, 64 << 10);
    lz4 = last - none_;
    ck_ok(set(f, COMPRESSION, "zstd", 0));
    zstd = stored_of(f, 128 << 10) - last;
    ck_assert_uint_lt(lz4, 16 << 10);
    ck_assert_uint_lt(zstd, lz4);
    ck_ok(fs_info(r->fs, f, &info));
    ck_assert_str_eq(info.compression, "zstd");
    rig_check(r);
    rig_release(r);
}
END_TEST

TEST_MAIN("fs_xattr", TEST_CASE(set_get_list_remove),
          TEST_CASE(what_has_no_attributes_says_that_there_are_no_labels),
          TEST_CASE(compression_is_inherited_and_no_key_of_its_own),
          TEST_CASE(contents_are_compressed_as_was_set_when_they_were_written),
          TEST_CASE(names_and_values_have_limits),
          TEST_CASE(a_file_without_attributes_has_no_flag_and_no_keys),
          TEST_CASE(attributes_go_with_the_inode),
          TEST_CASE(attributes_stay_over_truncation_rename_and_link),
          TEST_CASE(a_capability_goes_with_write_truncate_and_chown),
          TEST_CASE(a_capability_goes_with_fallocate_and_a_copy_into_the_file),
          TEST_CASE(attributes_and_unwritten_ranges_live_in_one_file),
          TEST_CASE(golden_acl_bytes),
          TEST_CASE(an_acl_sets_the_mode_and_chmod_changes_the_acl),
          TEST_CASE(default_acls_are_inherited_and_the_umask_does_not_count),
          TEST_CASE(setting_an_acl_takes_sgid_from_a_stranger),
          TEST_CASE(only_lists_that_make_sense_decode),
          TEST_CASE(random_lists_and_modes_agree), TEST_CASE(random_changes_are_kept),
          TEST_CASE(what_the_disk_cannot_read_can_be_deleted),
          TEST_CASE(an_orphan_that_cannot_be_read_waits_for_another_mount))
