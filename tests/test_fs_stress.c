/*
 * test_fs_stress.c - eight threads over few names, then: nothing is damaged,
 * nothing leaked. STRESS_SECONDS=... makes it longer.
 */
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>

#include "test_fs.h"

enum {
    THREADS = 8,
    HELD_MAX = 32,
    BLOCK = 8192,
};

static struct rig rig;
static struct rig *const r = &rig;
static atomic_bool stop;
static _Atomic uint64_t done_ops;

/* What a thread holds: lookups, and one open each. */
struct held {
    uint64_t ino;
    bool open;
};

struct worker {
    pthread_t thread;
    uint64_t rnd;
    struct held held[HELD_MAX];
    unsigned n;
    uint64_t dirs[4]; /* known, not referenced, may be gone: ESTALE then */
    uint8_t data[BLOCK];
    void (*step)(struct worker *w);
};

/* Check's own assertions are for the main thread. */
#define must(cond)                                                                       \
    do {                                                                                 \
        if (!(cond)) {                                                                   \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                   \
            abort();                                                                     \
        }                                                                                \
    } while (0)

static unsigned below(struct worker *w, unsigned n)
{
    return (unsigned)test_below(&w->rnd, n);
}

static const char *any_name(struct worker *w)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};

    return names[below(w, 5)];
}

static uint64_t any_dir(struct worker *w)
{
    return w->dirs[below(w, 4)];
}

/* ---- references ---- */

static void let_go(struct worker *w, unsigned i)
{
    if (w->held[i].open)
        must(fs_release(r->fs, w->held[i].ino) == 0);
    fs_forget(r->fs, w->held[i].ino, 1);
    w->held[i] = w->held[--w->n];
}

static void hold(struct worker *w, uint64_t ino, bool open)
{
    if (w->n == HELD_MAX)
        let_go(w, below(w, HELD_MAX));
    w->held[w->n++] = (struct held){ino, open};
}

static enum fs_taken sink(void *arg, const char *name, const struct fs_attr *attr,
                          uint64_t next)
{
    struct worker *w = arg;

    must(attr->st.st_nlink > 0);
    if (w->n == HELD_MAX)
        return FS_TAKEN;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || below(w, 2))
        return FS_TAKEN;
    w->held[w->n++] = (struct held){attr->st.st_ino, false};
    return FS_TAKEN_LOOKUP;
}

/* ---- steps ---- */

static bool expected(int rc)
{
    switch (-rc) {
    case 0:
    case ENOENT:
    case EEXIST:
    case ENOTEMPTY:
    case EISDIR:
    case ENOTDIR:
    case EINVAL:
    case EPERM:
    case ESTALE:
    case ELOOP:
        return true;
    default:
        return false;
    }
}

static void make_or_find(struct worker *w, unsigned kind)
{
    uint64_t dir = any_dir(w);
    const char *name = any_name(w);
    struct fs_attr a;
    bool open = false;
    int rc;

    if (kind == 0) {
        rc = fs_mkdir(r->fs, &r->cred, dir, name, 0755, &a);
    } else if (kind == 1) {
        rc = fs_symlink(r->fs, &r->cred, dir, name, "target", &a);
    } else if (kind == 2) {
        open = true;
        rc = fs_create(r->fs, &r->cred, dir, name, 0644, &a);
    } else if (kind == 3) {
        rc = fs_mknod(r->fs, &r->cred, dir, name, S_IFREG | 0644, 0, &a);
    } else {
        rc = fs_lookup(r->fs, dir, name, &a);
        if (!rc && S_ISREG(a.st.st_mode) && below(w, 3) == 0)
            open = fs_open(r->fs, a.st.st_ino, below(w, 4) == 0) == 0;
    }
    must(expected(rc));
    if (rc)
        return;
    hold(w, a.st.st_ino, open);
    if (S_ISDIR(a.st.st_mode))
        w->dirs[1 + below(w, 3)] = a.st.st_ino;
}

static void change_names(struct worker *w, unsigned kind)
{
    static const unsigned flags[] = {0, 0, RENAME_EXCHANGE, RENAME_NOREPLACE,
                                     RENAME_WHITEOUT};
    uint64_t dir = any_dir(w), to = any_dir(w);
    const char *name = any_name(w), *other = any_name(w);
    struct fs_attr a;
    int rc;

    if (kind == 0)
        rc = fs_unlink(r->fs, dir, name);
    else if (kind == 1)
        rc = fs_rmdir(r->fs, dir, name);
    else
        rc = fs_rename(r->fs, &r->cred, dir, name, to, other, flags[below(w, 5)]);
    must(expected(rc));
    if (kind == 3 && w->n) {
        rc = fs_link(r->fs, w->held[below(w, w->n)].ino, dir, name, &a);
        must(expected(rc));
        if (!rc)
            hold(w, a.st.st_ino, false);
    }
}

/* Every write is a block of one byte: so is what a read finds, whoever wrote it. */
static void use_contents(struct worker *w)
{
    struct held *h;
    size_t n, i, len = 1 + below(w, BLOCK);
    int rc;

    if (!w->n)
        return;
    h = &w->held[below(w, w->n)];
    if (below(w, 2)) {
        memset(w->data, (int)below(w, 256), BLOCK);
        rc = fs_write(r->fs, h->ino, 0, slice_of(w->data, BLOCK), false);
        must(expected(rc));
        return;
    }
    rc = fs_read(r->fs, h->ino, 0, len, w->data, &n);
    must(expected(rc));
    for (i = 1; !rc && i < n; i++)
        must(w->data[i] == w->data[0]);
    if (h->open)
        must(!rc);
}

static void use_attributes(struct worker *w)
{
    struct stat st = {.st_mode = below(w, 01000)};
    struct fs_attr a;
    uint64_t ino;
    int rc;

    if (!w->n)
        return;
    ino = w->held[below(w, w->n)].ino;
    must(fs_getattr(r->fs, ino, &a) == 0);
    must(a.st.st_ino == ino);
    if (below(w, 3) == 0) {
        rc = fs_setattr(r->fs, NULL, ino, FS_SET_SIZE, &(struct stat){0}, &a);
        must(expected(rc));
    } else {
        must(fs_setattr(r->fs, NULL, ino, FS_SET_MODE, &st, &a) == 0);
        must((a.st.st_mode & 07777) == st.st_mode);
    }
    if (below(w, 200) == 0)
        must(fs_fsync(r->fs, ino) == 0);
}

/* owner rwx, user 1000 r, group r, mask rw, others nothing */
static const uint8_t some_acl[] = {
    2, 0,    0,   0,   1,   0,   7,    0, 255, 255, 255, 255, 2,   0,    4,
    0, 0xe8, 3,   0,   0,   4,   0,    4, 0,   255, 255, 255, 255, 0x10, 0,
    6, 0,    255, 255, 255, 255, 0x20, 0, 0,   0,   255, 255, 255, 255};

static void use_xattrs(struct worker *w)
{
    static const char *const names[] = {"trusted.a", "trusted.b", "security.capability",
                                        "system.posix_acl_access",
                                        "system.posix_acl_default"};
    unsigned which = below(w, 5);
    uint8_t got[64];
    size_t len;
    uint64_t ino;
    int rc;

    if (!w->n)
        return;
    ino = w->held[below(w, w->n)].ino;
    if (below(w, 3) == 0)
        rc = fs_removexattr(r->fs, ino, names[which]);
    else
        rc = fs_setxattr(r->fs, &r->cred, ino, names[which],
                         slice_of(some_acl, sizeof(some_acl)), 0);
    must(expected(rc) || rc == -ENODATA || rc == -EACCES || rc == -EOPNOTSUPP);
    rc = fs_getxattr(r->fs, ino, names[which], got, sizeof(got), &len);
    must(rc == -ENODATA || (rc == 0 && len == sizeof(some_acl)));
    must(fs_listxattr(r->fs, &r->cred, ino, NULL, 0, &len) == 0);
}

static void any_step(struct worker *w)
{
    unsigned kind = below(w, 17);
    int rc;

    if (kind < 6)
        make_or_find(w, kind);
    else if (kind < 10)
        change_names(w, kind - 6);
    else if (kind < 12)
        use_contents(w);
    else if (kind == 12)
        use_attributes(w);
    else if (kind == 16)
        use_xattrs(w);
    else if (kind < 15 && w->n)
        let_go(w, below(w, w->n));
    else {
        rc = fs_readdir(r->fs, any_dir(w), 0, true, sink, w);
        must(expected(rc));
    }
}

static void *work(void *arg)
{
    struct worker *w = arg;
    uint64_t ops = 0;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        w->step(w);
        ops++;
    }
    while (w->n)
        let_go(w, w->n - 1);
    atomic_fetch_add(&done_ops, ops);
    return NULL;
}

static void run_for(struct worker *w, void (*step)(struct worker *w), unsigned seconds)
{
    const char *given = getenv("STRESS_SECONDS");
    struct fs_stats s;
    unsigned i;

    if (given)
        seconds = (unsigned)atoi(given);
    atomic_store(&stop, false);
    for (i = 0; i < THREADS; i++) {
        w[i].rnd = test_seed() + i * 7919;
        w[i].step = step;
        ck_assert_int_eq(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    for (i = 0; i < seconds * 10; i++)
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    atomic_store(&stop, true);
    for (i = 0; i < THREADS; i++)
        pthread_join(w[i].thread, NULL);
    printf("%llu operations\n", (unsigned long long)atomic_load(&done_ops));
    rig_check(r);
    fs_get_stats(r->fs, &s);
    ck_assert_uint_eq(s.live_inodes, 1);
}

START_TEST(threads_over_few_names_leave_a_whole_tree)
{
    static struct worker w[THREADS];
    unsigned i, j;

    rig_init(r, "s");
    r->options.writeback_ms = 10;
    rig_remount(r);
    for (i = 0; i < THREADS; i++) {
        for (j = 0; j < 4; j++)
            w[i].dirs[j] = FS_ROOT;
    }
    run_for(w, any_step, 5);
    rig_remount(r);
    rig_release(r);
}
END_TEST

/* Inodes come and go as fast as they can: a stale record must never become live, which
 * would show in a ctime that falls. */
static void churn_step(struct worker *w)
{
    struct stat st = {0};
    struct fs_attr a, b;

    must(fs_lookup(r->fs, FS_ROOT, any_name(w), &a) == 0);
    if (below(w, 4) == 0) {
        must(fs_setattr(r->fs, NULL, a.st.st_ino, FS_SET_MODE, &st, &b) == 0);
        must(stamp_cmp(b.st.st_ctim, a.st.st_ctim) >= 0);
    }
    must(fs_getattr(r->fs, a.st.st_ino, &b) == 0);
    must(stamp_cmp(b.st.st_ctim, a.st.st_ctim) >= 0);
    fs_forget(r->fs, a.st.st_ino, 1);
}

START_TEST(forgotten_and_found_inodes_never_go_back_in_time)
{
    static struct worker w[THREADS];
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    unsigned i;

    rig_init(r, "s");
    for (i = 0; i < 5; i++)
        fs_forget(r->fs, rig_file(r, FS_ROOT, names[i]), 1);
    run_for(w, churn_step, 3);
    rig_release(r);
}
END_TEST

TEST_MAIN("fs_stress", TEST_CASE_SLOW(threads_over_few_names_leave_a_whole_tree, 600),
          TEST_CASE_SLOW(forgotten_and_found_inodes_never_go_back_in_time, 600))
