/*
 * test_fs_model.c - random operations on the filesystem and on a toy one: they
 * must agree on every answer, and on everything they hold.
 *
 * SEED=... repeats a run; STEPS=... makes it longer.
 */
#include <linux/fs.h>

#include "fs/keys.h"
#include "fs_model.h"
#include "test_fs.h"

enum {
    NAMES = 6,
    DIRS_MAX = 12,
    OPEN_MAX = 5,
    FILE_MAX = 400 * 1024,
};

static struct rig rig;
static struct rig *const r = &rig;
static struct model model;
static struct model *const m = &model;
static uint64_t rnd;
static struct model_node *opened[OPEN_MAX];
static uint8_t scratch[FILE_MAX];

static unsigned below(unsigned n)
{
    return (unsigned)test_below(&rnd, n);
}

static const char *any_name(void)
{
    static const char *const names[NAMES] = {"a", "b", "c", "dd", "ee", "a longer name"};

    return names[below(NAMES)];
}

/* Any directory that has a name. */
static struct model_node *any_dir(void)
{
    struct model_node *dirs[64], *n;
    unsigned n_dirs = 0;

    for (n = m->all.next; n != &m->all; n = n->next) {
        if (S_ISDIR(n->mode) && n_dirs < 64)
            dirs[n_dirs++] = n;
    }
    return dirs[below(n_dirs)];
}

static unsigned dirs(void)
{
    struct model_node *n;
    unsigned count = 0;

    for (n = m->all.next; n != &m->all; n = n->next)
        count += S_ISDIR(n->mode);
    return count;
}

/* ---- comparing ---- */

static void compare_attr(struct model_node *n, const struct fs_attr *a)
{
    ck_assert_uint_eq(a->st.st_ino, n->ino);
    ck_assert_uint_eq(a->st.st_mode, n->mode);
    ck_assert_uint_eq(a->st.st_uid, n->uid);
    ck_assert_uint_eq(a->st.st_gid, n->gid);
    if (S_ISDIR(n->mode)) {
        ck_assert_uint_eq(a->st.st_nlink, 2 + model_subdirs(n));
        ck_assert_uint_eq((uint64_t)a->st.st_size, n->entries);
    } else {
        ck_assert_uint_eq(a->st.st_nlink, n->nlink);
        ck_assert_uint_eq((uint64_t)a->st.st_size, n->size);
    }
    if (!n->changed) {
        ck_assert_int_eq(stamp_cmp(a->st.st_mtim, n->seen_mtime), 0);
        ck_assert_int_eq(stamp_cmp(a->st.st_ctim, n->seen_ctime), 0);
    } else {
        ck_assert_int_ge(stamp_cmp(a->st.st_ctim, n->seen_ctime), 0);
    }
    n->changed = false;
    n->seen_mtime = a->st.st_mtim;
    n->seen_ctime = a->st.st_ctim;
}

static void compare_contents(const struct model_node *n)
{
    char target[FS_SYMLINK_MAX + 1];

    if (S_ISREG(n->mode)) {
        rig_expect(r, n->ino, n->data, n->size);
    } else if (S_ISLNK(n->mode)) {
        ck_ok(fs_readlink(r->fs, n->ino, target));
        ck_assert(strlen(target) == n->size && memcmp(target, n->data, n->size) == 0);
    }
}

struct walk {
    struct model_node *dir;
    unsigned n;
};

static enum fs_taken compare_entry(void *arg, const char *name,
                                   const struct fs_attr *attr, uint64_t next)
{
    struct walk *w = arg;
    struct model_node *n = model_lookup(w->dir, name);

    if (strcmp(name, ".") == 0) {
        ck_assert_uint_eq(attr->st.st_ino, w->dir->ino);
        return FS_TAKEN;
    }
    if (strcmp(name, "..") == 0) {
        ck_assert_uint_eq(attr->st.st_ino, w->dir->parent->ino);
        return FS_TAKEN;
    }
    ck_assert_msg(n != NULL, "%s is not there", name);
    w->n++;
    compare_attr(n, attr);
    return FS_TAKEN_LOOKUP;
}

static void compare_all(void)
{
    struct model_node *d;
    size_t i;

    for (d = m->all.next; d != &m->all; d = d->next) {
        struct walk w = {.dir = d};
        struct fs_attr a;

        if (!S_ISDIR(d->mode))
            continue;
        a = rig_attr(r, d->ino);
        compare_attr(d, &a);
        ck_ok(fs_readdir(r->fs, d->ino, 0, true, compare_entry, &w));
        ck_assert_uint_eq(w.n, d->entries);
        for (i = 0; i < d->entries; i++) {
            compare_contents(d->entry[i].node);
            fs_forget(r->fs, d->entry[i].node->ino, 1);
        }
    }
    for (i = 0; i < OPEN_MAX; i++) {
        if (opened[i])
            compare_contents(opened[i]);
    }
    rig_check(r);
}

/* ---- operations: the same on both, the same answer ---- */

/* The real number of a name, with one lookup that the caller forgets; 0: none. */
static uint64_t look(struct model_node *dir, const char *name)
{
    struct model_node *n = model_lookup(dir, name);
    struct fs_attr a;
    int rc = fs_lookup(r->fs, dir->ino, name, &a);

    ck_assert_int_eq(rc, n ? 0 : -ENOENT);
    if (!n)
        return 0;
    compare_attr(n, &a);
    return n->ino;
}

static void do_make(void)
{
    struct model_node *dir = any_dir(), *n;
    const char *name = any_name(), *target = NULL;
    unsigned kind = below(10);
    struct fs_attr a;
    uint32_t mode = S_IFREG | 0644;
    int rc, want;

    if (kind < 3 && dirs() < DIRS_MAX) {
        mode = S_IFDIR | 0755;
        rc = fs_mkdir(r->fs, &r->cred, dir->ino, name, 0755, &a);
    } else if (kind == 3) {
        mode = S_IFLNK | 0777;
        target = "some/where";
        rc = fs_symlink(r->fs, &r->cred, dir->ino, name, target, &a);
    } else if (kind == 4) {
        mode = S_IFIFO | 0600;
        rc = fs_mknod(r->fs, &r->cred, dir->ino, name, mode, 0, &a);
    } else {
        rc = fs_mknod(r->fs, &r->cred, dir->ino, name, mode, 0, &a);
    }
    want = model_make(m, dir, name, mode, target, &n);
    ck_assert_int_eq(rc, want);
    if (rc)
        return;
    n->ino = a.st.st_ino;
    compare_attr(n, &a);
    fs_forget(r->fs, n->ino, 1);
}

static void do_link(void)
{
    struct model_node *dir = any_dir(), *to = any_dir(), *n;
    const char *name = any_name(), *new_name = any_name();
    uint64_t ino = look(dir, name);
    struct fs_attr a;
    int rc;

    if (!ino)
        return;
    n = model_lookup(dir, name);
    rc = fs_link(r->fs, ino, to->ino, new_name, &a);
    ck_assert_int_eq(rc, model_link(n, to, new_name));
    if (!rc)
        compare_attr(n, &a);
    fs_forget(r->fs, ino, rc ? 1 : 2);
}

static void do_remove(void)
{
    struct model_node *dir = any_dir();
    const char *name = any_name();
    bool keep = below(2);
    uint64_t ino =
        keep ? look(dir, name) : 0; /* with a lookup held, as the kernel does */

    if (below(3))
        ck_assert_int_eq(fs_unlink(r->fs, dir->ino, name), model_unlink(m, dir, name));
    else
        ck_assert_int_eq(fs_rmdir(r->fs, dir->ino, name), model_rmdir(m, dir, name));
    if (ino)
        fs_forget(r->fs, ino, 1);
}

static void look_at_whiteout(struct model_node *dir, const char *name)
{
    struct model_node *n = model_lookup(dir, name);
    struct fs_attr a;

    if (n->ino)
        return; /* there was nothing to rename */
    ck_ok(fs_lookup(r->fs, dir->ino, name, &a));
    ck_assert_uint_eq(a.st.st_rdev, 0);
    n->ino = a.st.st_ino;
    compare_attr(n, &a);
    fs_forget(r->fs, n->ino, 1);
}

static void do_rename(void)
{
    static const unsigned all_flags[] = {
        0,
        0,
        0,
        RENAME_EXCHANGE,
        RENAME_NOREPLACE,
        RENAME_WHITEOUT,
        RENAME_WHITEOUT | RENAME_NOREPLACE,
    };
    struct model_node *dir = any_dir(), *to = below(2) ? any_dir() : dir;
    const char *name = any_name(), *new_name = any_name();
    unsigned flags = all_flags[below(7)];
    bool keep = below(2);
    uint64_t ino = keep ? look(dir, name) : 0;
    int rc = fs_rename(r->fs, &r->cred, dir->ino, name, to->ino, new_name, flags);

    ck_assert_int_eq(rc, model_rename(m, dir, name, to, new_name, flags));
    if (!rc && (flags & RENAME_WHITEOUT))
        look_at_whiteout(dir, name);
    if (ino)
        fs_forget(r->fs, ino, 1);
}

static void write_to(struct model_node *n)
{
    size_t off = below(3) ? n->size : below(FILE_MAX);
    size_t len = below(6) == 0   ? below(FILE_MAX)
                 : below(4) == 0 ? below(9000)
                                 : below(500);
    size_t i;

    if (off >= FILE_MAX)
        off = below(FILE_MAX);
    if (len > FILE_MAX - off)
        len = FILE_MAX - off;
    for (i = 0; i < len; i++)
        scratch[i] = (uint8_t)test_random(&rnd);
    ck_ok(fs_write(r->fs, n->ino, off, slice_of(scratch, len), false));
    model_write(n, off, scratch, len);
}

static void resize(struct model_node *n)
{
    struct stat st = {.st_size =
                          below(3) ? below((unsigned)n->size + 1) : below(FILE_MAX)};
    struct fs_attr a;

    ck_ok(fs_setattr(r->fs, NULL, n->ino, FS_SET_SIZE, &st, &a));
    model_truncate(n, (size_t)st.st_size);
    compare_attr(n, &a);
}

static void do_file(void)
{
    struct model_node *dir = any_dir(), *n;
    const char *name = any_name();
    uint64_t ino = look(dir, name);

    if (!ino)
        return;
    n = model_lookup(dir, name);
    if (S_ISREG(n->mode)) {
        if (below(4))
            write_to(n);
        else
            resize(n);
        if (below(4) == 0)
            compare_contents(n);
    }
    fs_forget(r->fs, ino, 1);
}

static void do_setattr(void)
{
    struct model_node *dir = any_dir(), *n;
    const char *name = any_name();
    uint64_t ino = look(dir, name);
    struct stat st = {.st_mode = below(01000), .st_uid = below(9), .st_gid = below(9)};
    struct fs_attr a;

    if (!ino)
        return;
    n = model_lookup(dir, name);
    ck_ok(fs_setattr(r->fs, NULL, ino, FS_SET_MODE | FS_SET_UID | FS_SET_GID, &st, &a));
    n->mode = (n->mode & S_IFMT) | st.st_mode;
    n->uid = st.st_uid;
    n->gid = st.st_gid;
    n->changed = true;
    compare_attr(n, &a);
    fs_forget(r->fs, ino, 1);
}

/* Files that are open, which is to keep a lookup, live on without their names. */
static void do_open(void)
{
    unsigned i = below(OPEN_MAX);
    struct model_node *dir, *n;
    const char *name = any_name();

    if (opened[i]) {
        n = opened[i];
        if (below(2)) {
            write_to(n);
            return;
        }
        opened[i] = NULL;
        fs_forget(r->fs, n->ino, 1);
        model_close(m, n);
        return;
    }
    dir = any_dir();
    if (!look(dir, name))
        return;
    n = model_lookup(dir, name);
    if (S_ISREG(n->mode)) {
        model_open(n);
        opened[i] = n;
    } else {
        fs_forget(r->fs, n->ino, 1);
    }
}

static void close_all(void)
{
    unsigned i;

    for (i = 0; i < OPEN_MAX; i++) {
        struct model_node *n = opened[i];

        if (!n)
            continue;
        opened[i] = NULL;
        if (below(2)) /* or unmount finds it open */
            fs_forget(r->fs, n->ino, 1);
        model_close(m, n);
    }
}

static void step(void)
{
    switch (below(16)) {
    case 0:
    case 1:
    case 2:
        do_make();
        break;
    case 3:
        do_link();
        break;
    case 4:
    case 5:
        do_remove();
        break;
    case 6:
    case 7:
    case 8:
        do_rename();
        break;
    case 9:
        do_setattr();
        break;
    case 10:
    case 11:
        do_open();
        break;
    default:
        do_file();
    }
}

static void run(unsigned steps)
{
    struct fs_stats s;
    unsigned i;

    rig_init(r, "s");
    model_init(m, FS_ROOT);
    for (i = 1; i <= steps; i++) {
        step();
        if (i % 200 == 0)
            compare_all();
        if (i % 1000 == 0) {
            close_all();
            fs_get_stats(r->fs, &s);
            rig_remount(r);
            compare_all();
        }
    }
    close_all();
    rig_remount(r);
    compare_all();
    fs_get_stats(r->fs, &s);
    ck_assert_uint_eq(s.live_inodes, 1); /* every lookup was given back */
    rig_release(r);
    model_release(m);
}

static unsigned steps_wanted(unsigned otherwise)
{
    const char *given = getenv("STEPS");

    return given ? (unsigned)atoi(given) : otherwise;
}

START_TEST(it_agrees_with_the_model)
{
    rnd = test_seed();
    run(steps_wanted(6000));
}
END_TEST

START_TEST(it_agrees_with_the_model_when_names_collide)
{
    rnd = test_seed() ^ 0x5eed;
    name_hash_mask = 3;
    run(steps_wanted(4000));
}
END_TEST

TEST_MAIN("fs_model", TEST_CASE_SLOW(it_agrees_with_the_model, 600),
          TEST_CASE_SLOW(it_agrees_with_the_model_when_names_collide, 600))
