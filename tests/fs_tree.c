/*
 * fs_tree.c - see fs_tree.h.
 */
#include "fs_tree.h"

#include <fcntl.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <sys/sysmacros.h>

#include "fs_harm.h"
#include "test.h"

static const struct fs_cred root;
static const struct fs_limits limits = {1ull << 62, 1ull << 62};

static struct lsm_options options(struct env *env)
{
    struct lsm_options o;

    lsm_options_init(&o);
    o.env = env;
    o.create = true;
    o.memtable_bytes = 16 * 1024; /* so that flushes and compactions happen */
    o.table_bytes = 16 * 1024;
    o.l1_bytes = 32 * 1024;
    o.segment_bytes = 64 * 1024;
    o.workers = 0; /* deterministic */
    o.sync_interval_ms = 0;
    return o;
}

int tree_try_open(struct env *env, struct lsm **db)
{
    struct lsm_options o = options(env);

    return lsm_open("/store", &o, db);
}

struct lsm *tree_open(struct env *env)
{
    struct lsm *db;

    ck_ok(tree_try_open(env, &db));
    return db;
}

static void no_line(void *arg, const char *line)
{
    (void)arg;
    (void)line;
}

int tree_lsm_repair(struct env *env)
{
    struct lsm_options o = options(env);
    struct lsm_repair_result result;

    o.create = false;
    return lsm_repair("/store", &o, no_line, NULL, &result);
}

static struct fs *mount(struct lsm *db, bool read_only)
{
    struct fs_options o;
    struct fs *fs;

    fs_options_init(&o);
    o.writeback_ms = 0;
    o.read_only = read_only;
    ck_ok(fs_mount(db, &o, &fs));
    return fs;
}

/* ---- making it ---- */

static uint64_t make(struct fs *fs, uint64_t dir, const char *name, mode_t mode)
{
    struct fs_attr a;

    if (S_ISDIR(mode))
        ck_ok(fs_mkdir(fs, &root, dir, name, mode & 07777, &a));
    else
        ck_ok(fs_mknod(fs, &root, dir, name, mode, makedev(4, 5), &a));
    return a.st.st_ino;
}

static void fill(struct fs *fs, uint64_t ino, uint64_t off, size_t len, uint8_t first)
{
    uint8_t *data = malloc(len);
    size_t i;

    for (i = 0; i < len; i++)
        data[i] = (uint8_t)(first + i * 7 + i / 251);
    ck_ok(fs_write(fs, ino, off, slice_of(data, len), false));
    free(data);
}

static void text(struct fs *fs, uint64_t ino, uint64_t off, const char *s)
{
    ck_ok(fs_write(fs, ino, off, slice_str(s), false));
}

static void make_acl(struct fs *fs, uint64_t ino)
{
    /* user::rwx user:9:rwx group::--- mask::rwx other::--- */
    static const uint8_t acl[] = {2,   0,   0,   0,   1,   0,   7,  0,   255, 255, 255,
                                  255, 2,   0,   7,   0,   9,   0,  0,   0,   4,   0,
                                  0,   0,   255, 255, 255, 255, 16, 0,   7,   0,   255,
                                  255, 255, 255, 32,  0,   0,   0,  255, 255, 255, 255};
    struct slice s = slice_of(acl, sizeof(acl));

    ck_ok(fs_setxattr(fs, &root, ino, "system.posix_acl_access", s, 0));
    ck_ok(fs_setxattr(fs, &root, ino, "system.posix_acl_default", s, 0));
}

static void make_files(struct fs *fs)
{
    ck_assert_uint_eq(make(fs, T_SUB, "deep", S_IFREG | 0644), T_DEEP);
    text(fs, T_DEEP, 0, "deep down");
    ck_assert_uint_eq(make(fs, FS_ROOT, "f", S_IFREG | 0640), T_FILE);
    text(fs, T_FILE, 0, "two small ");
    text(fs, T_FILE, 10, "extents");
    ck_ok(fs_setxattr(fs, &root, T_FILE, "user.a", slice_str("value"), 0));
    ck_assert_uint_eq(make(fs, FS_ROOT, "g", S_IFREG | 0600), T_LINKED);
    text(fs, T_LINKED, 0, "g and g2.");
}

static void make_more_files(struct fs *fs)
{
    ck_assert_uint_eq(make(fs, FS_ROOT, "big", S_IFREG | 0644), T_BIG);
    fill(fs, T_BIG, 0, 300000, 1);
    ck_assert_uint_eq(make(fs, FS_ROOT, "set", S_IFREG | 0644), T_SET);
    ck_ok(fs_fallocate(fs, T_SET, FALLOC_FL_KEEP_SIZE, 0, 100000));
    ck_assert_uint_eq(make(fs, FS_ROOT, "acl", S_IFDIR | 0700), T_ACL);
    make_acl(fs, T_ACL);
    ck_assert_uint_eq(make(fs, T_ACL, "x", S_IFREG | 0660), T_HEIR);
    ck_assert_uint_eq(make(fs, FS_ROOT, "holes", S_IFREG | 0644), T_HOLES);
    fill(fs, T_HOLES, 10000, 5000, 2);
    fill(fs, T_HOLES, 50000, 9000, 3);
}

static void make_tree(struct fs *fs)
{
    struct fs_attr a;

    ck_assert_uint_eq(make(fs, FS_ROOT, "d", S_IFDIR | 0755), T_DIR);
    ck_assert_uint_eq(make(fs, T_DIR, "sub", S_IFDIR | 0711), T_SUB);
    make_files(fs);
    ck_ok(fs_link(fs, T_LINKED, T_DIR, "g2", &a));
    ck_ok(fs_symlink(fs, &root, FS_ROOT, "l", "d/sub", &a));
    ck_assert_uint_eq(a.st.st_ino, T_SYMLINK);
    ck_assert_uint_eq(make(fs, FS_ROOT, "dev", S_IFCHR | 0600), T_DEVICE);
    ck_assert_uint_eq(make(fs, FS_ROOT, "fifo", S_IFIFO | 0600), T_FIFO);
    make_more_files(fs);
    ck_assert_uint_eq(make(fs, FS_ROOT, "sock", S_IFSOCK | 0600), T_SOCKET);
    ck_assert_uint_eq(make(fs, FS_ROOT, "empty", S_IFREG | 0644), T_EMPTY);
    ck_assert_uint_eq(make(fs, FS_ROOT, "p", S_IFREG | 0644), T_P);
    text(fs, T_P, 0, "p");
    ck_assert_uint_eq(make(fs, FS_ROOT, "q", S_IFREG | 0644), T_Q);
    text(fs, T_Q, 5, "q");
    ck_assert_uint_eq(make(fs, FS_ROOT, "hollow", S_IFDIR | 0750), T_HOLLOW);
    ck_assert_uint_eq(make(fs, FS_ROOT, "orphan", S_IFREG | 0644), T_ORPHAN);
    text(fs, T_ORPHAN, 0, "orphan.");
}

/* What a crash leaves of a file that was open when it lost its name. */
static void make_orphan(struct lsm *db)
{
    struct harm h;
    struct record rec;
    struct key k;

    harm_begin(&h, db);
    rec = harm_get_dentry(&h, FS_ROOT, T_ORPHAN).rec;
    rec.nlink = 0;
    harm_put_inode(&h, T_ORPHAN, &rec);
    harm_remove_name(&h, FS_ROOT, T_ORPHAN);
    harm_put(&h, key_orphan(&k, T_ORPHAN), "");
    harm_put_counter(&h, key_next(), T_FREE + 1);
    harm_end(&h);
}

void tree_init(struct tree *t)
{
    struct fs *fs;

    memset(t, 0, sizeof(*t));
    t->env = env_mem_new(1);
    t->db = tree_open(t->env);
    ck_ok(fs_format(t->db, 0, 0, 0755, &limits));
    fs = mount(t->db, false);
    make_tree(fs);
    ck_ok(fs_unmount(fs));
    make_orphan(t->db);
    ck_ok(fs_set_limits(t->db, &limits)); /* counts anew */
    tree_dump(t, &t->was);
    ck_ok(lsm_close(t->db));
    t->made = t->env;
}

void tree_release(struct tree *t)
{
    dump_release(&t->was);
    env_mem_free(t->made);
}

void tree_copy(struct tree *t)
{
    t->env = env_mem_crash_clone(t->made, 1, ENV_MEM_KEEP_ALL);
    t->db = tree_open(t->env);
}

void tree_close(struct tree *t)
{
    ck_ok(lsm_close(t->db));
    env_mem_free(t->env);
}

void tree_dump(struct tree *t, struct dump *d)
{
    struct fs *fs = mount(t->db, true);

    dump_take(fs, d);
    ck_ok(fs_unmount(fs));
}
