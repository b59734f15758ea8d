/*
 * test_fs_stress.c - eight threads over few names: what must hold at every moment does,
 * and then nothing is damaged, nothing leaked. (tool_names.c is its sister on mounts.)
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

/* What a thread holds: a lookup each. */
struct held {
    uint64_t ino;
    bool file; /* its contents stay, whatever becomes of its names */
};

struct worker {
    pthread_t thread;
    uint64_t rnd;
    struct held held[HELD_MAX];
    unsigned n;
    uint64_t dirs[4]; /* known, not referenced, may be gone: ESTALE then */
    uint64_t newest;  /* number seen */
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
    fs_forget(r->fs, w->held[i].ino, 1);
    w->held[i] = w->held[--w->n];
}

static void hold(struct worker *w, const struct fs_attr *a)
{
    if (w->n == HELD_MAX)
        let_go(w, below(w, HELD_MAX));
    w->held[w->n++] = (struct held){a->st.st_ino, S_ISREG(a->st.st_mode)};
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
    int rc;

    if (kind == 0) {
        rc = fs_mkdir(r->fs, &r->cred, dir, name, 0755, &a);
    } else if (kind == 1) {
        rc = fs_symlink(r->fs, &r->cred, dir, name, "target", &a);
    } else if (kind == 2) {
        rc = fs_mknod(r->fs, &r->cred, dir, name, S_IFREG | 0644, 0, &a);
    } else if (kind == 3) {
        rc = fs_mknod(r->fs, &r->cred, dir, name,
                      (below(w, 4) ? S_IFREG : S_IFIFO) | 0644, 0, &a);
    } else if (kind == 4) {
        rc = fs_tmpfile(r->fs, &r->cred, dir, 0644, &a); /* it may get a name by a link */
    } else if (w->newest && below(w, 3) == 0) {
        /* As a file handle does, whatever became of it. */
        rc = fs_lookup(r->fs, w->newest - below(w, 32), ".", &a);
    } else {
        rc = fs_lookup(r->fs, dir, name, &a);
    }
    must(expected(rc));
    if (rc)
        return;
    hold(w, &a);
    if (w->newest < a.st.st_ino)
        w->newest = a.st.st_ino;
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
            hold(w, &a);
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
    if (h->file)
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
    unsigned kind = below(w, 18);
    int rc;

    if (kind == 17)
        kind = 5;
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

static uint64_t live_inodes(void)
{
    struct fs_stats s;

    fs_get_stats(r->fs, &s);
    return s.live_inodes;
}

/* One round: all threads step for a while, and leave a whole tree of which only the root
 * and `live` more are referred to. */
static void run_round(struct soak *soak, struct worker *w, void (*step)(struct worker *w),
                      unsigned live)
{
    unsigned i;

    atomic_store(&stop, false);
    atomic_store(&done_ops, 0);
    for (i = 0; i < THREADS; i++) {
        w[i].rnd = soak_seed(soak) + i * 7919;
        w[i].step = step;
        ck_assert_int_eq(pthread_create(&w[i].thread, NULL, work, &w[i]), 0);
    }
    nanosleep(&(struct timespec){.tv_nsec = 900000000}, NULL);
    atomic_store(&stop, true);
    for (i = 0; i < THREADS; i++)
        pthread_join(w[i].thread, NULL);
    soak->operations += atomic_load(&done_ops);
    /* The check takes one look after the other: what is to be deleted goes before. */
    ck_ok(fs_sync(r->fs));
    rig_check(r);
    ck_soon(live_inodes() == 1 + live); /* the lazy thread may just have one */
}

START_TEST(threads_over_few_names_leave_a_whole_tree)
{
    static struct worker w[THREADS];
    struct soak s;
    unsigned i, j;

    rig_init(r, "s");
    r->options.writeback_ms = 10;
    rig_remount(r);
    for (i = 0; i < THREADS; i++) {
        for (j = 0; j < 4; j++)
            w[i].dirs[j] = FS_ROOT;
    }
    for (soak_begin(&s); soak_on(&s); rig_remount(r))
        run_round(&s, w, any_step, 0);
    soak_end(&s);
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
    struct soak s;
    unsigned i;

    rig_init(r, "s");
    for (i = 0; i < 5; i++)
        fs_forget(r->fs, rig_file(r, FS_ROOT, names[i]), 1);
    for (soak_begin(&s); soak_on(&s);)
        run_round(&s, w, churn_step, 0);
    soak_end(&s);
    rig_release(r);
}
END_TEST

/* ---- what is kept through it all ---- */

/*
 * In each of three directories: x and y, which are only ever exchanged for others; cur,
 * only ever replaced; keep-*, never touched; and token-*, which move between the
 * directories. Files hold their inode number, written before they get their names.
 */
enum { DIRS = 3, KEPT = 4, TOKENS = 8, LISTED_MAX = 64 };

static uint64_t kept_dir[DIRS];

static uint64_t kept_file(uint64_t dir, const char *name)
{
    struct fs_attr a;
    uint64_t ino;

    must(fs_mknod(r->fs, &r->cred, dir, name, S_IFREG | 0644, 0, &a) == 0);
    ino = a.st.st_ino;
    must(fs_write(r->fs, ino, 0, slice_of(&ino, sizeof(ino)), false) == 0);
    fs_forget(r->fs, ino, 1);
    return ino;
}

static void make_kept(void)
{
    char name[32];
    unsigned d, i;

    for (d = 0; d < DIRS; d++) {
        snprintf(name, sizeof(name), "d%u", d);
        kept_dir[d] = rig_dir(r, FS_ROOT, name);
        for (i = 0; i < KEPT; i++) {
            snprintf(name, sizeof(name), "keep-%u", i);
            kept_file(kept_dir[d], name);
        }
        kept_file(kept_dir[d], "cur");
        kept_file(kept_dir[d], "y");
        fs_forget(r->fs, rig_dir(r, kept_dir[d], "x"), 1);
    }
    for (i = 0; i < TOKENS; i++) {
        snprintf(name, sizeof(name), "token-%u", i);
        kept_file(kept_dir[i % DIRS], name);
    }
}

static uint64_t any_kept_dir(struct worker *w)
{
    return kept_dir[below(w, DIRS)];
}

static void shuffle(struct worker *w)
{
    uint64_t from = any_kept_dir(w), to = any_kept_dir(w);
    char name[32];
    int rc;

    switch (below(w, 3)) {
    case 0:
        rc = fs_rename(r->fs, NULL, from, "x", to, below(w, 2) && from != to ? "x" : "y",
                       RENAME_EXCHANGE);
        must(rc == 0);
        break;
    case 1:
        snprintf(name, sizeof(name), "new-%lx", (unsigned long)w->thread);
        kept_file(from, name);
        must(fs_rename(r->fs, NULL, from, name, to, "cur", 0) == 0);
        break;
    default:
        snprintf(name, sizeof(name), "token-%u", below(w, TOKENS));
        rc = fs_rename(r->fs, NULL, from, name, to, name, RENAME_NOREPLACE);
        must(rc == 0 || rc == -ENOENT || rc == -EEXIST);
    }
}

struct listed {
    unsigned n, room; /* room: how many this call may still take */
    uint64_t next;
    char name[LISTED_MAX][32];
};

static enum fs_taken list_sink(void *arg, const char *name, const struct fs_attr *attr,
                               uint64_t next)
{
    struct listed *l = arg;

    if (!l->room)
        return FS_FULL;
    must(l->n < LISTED_MAX && attr->st.st_nlink > 0);
    snprintf(l->name[l->n++], sizeof(l->name[0]), "%.31s", name);
    l->room--;
    l->next = next;
    return FS_TAKEN;
}

static unsigned times_listed(const struct listed *l, const char *name)
{
    unsigned n = 0, i;

    for (i = 0; i < l->n; i++)
        n += strcmp(l->name[i], name) == 0;
    return n;
}

/* At once, a listing is one moment of the directory; in pieces, only what stays there
 * throughout must be in it. */
static void list_kept(struct worker *w)
{
    bool at_once = below(w, 2);
    struct listed l = {0};
    uint64_t dir = any_kept_dir(w);
    char name[32];
    unsigned i, before;

    do {
        before = l.n;
        l.room = at_once ? LISTED_MAX : 1 + below(w, 4);
        must(fs_readdir(r->fs, dir, l.next, true, list_sink, &l) == 0);
    } while (!at_once && l.n > before);
    for (i = 0; i < KEPT; i++) {
        snprintf(name, sizeof(name), "keep-%u", i);
        must(times_listed(&l, name) == 1);
    }
    for (i = 0; at_once && i < l.n; i++)
        must(times_listed(&l, l.name[i]) == 1);
    if (at_once)
        must(times_listed(&l, "x") && times_listed(&l, "y") && times_listed(&l, "cur"));
}

static void look_at_kept(struct worker *w)
{
    static const char *const names[] = {"x", "y", "cur", "keep-1"};
    uint64_t content, ino;
    struct fs_attr a;
    size_t got;

    must(fs_lookup(r->fs, any_kept_dir(w), names[below(w, 4)], &a) == 0);
    ino = a.st.st_ino;
    if (S_ISREG(a.st.st_mode)) {
        must(fs_read(r->fs, ino, 0, sizeof(content), &content, &got) == 0);
        must(got == sizeof(content) && content == ino);
    }
    must(fs_getattr(r->fs, ino, &a) == 0 && a.st.st_nlink <= 2);
    fs_forget(r->fs, ino, 1);
}

static void kept_step(struct worker *w)
{
    switch (below(w, 4)) {
    case 0:
        shuffle(w);
        break;
    case 1:
        list_kept(w);
        break;
    default:
        look_at_kept(w);
    }
}

static unsigned count_tokens(void)
{
    unsigned n = 0, d, i;
    char name[32];

    for (i = 0; i < TOKENS; i++) {
        snprintf(name, sizeof(name), "token-%u", i);
        for (d = 0; d < DIRS; d++)
            n += rig_has(r, kept_dir[d], name);
    }
    return n;
}

START_TEST(what_is_only_exchanged_replaced_or_moved_is_there_at_every_moment)
{
    static struct worker w[THREADS];
    struct soak s;

    rig_init(r, "s");
    make_kept();
    for (soak_begin(&s); soak_on(&s);) {
        run_round(&s, w, kept_step, DIRS);
        ck_assert_uint_eq(count_tokens(), TOKENS);
    }
    soak_end(&s);
    rig_release(r);
}
END_TEST

TEST_MAIN(
    "fs_stress", TEST_CASE_SOAK(threads_over_few_names_leave_a_whole_tree),
    TEST_CASE_SOAK(forgotten_and_found_inodes_never_go_back_in_time),
    TEST_CASE_SOAK(what_is_only_exchanged_replaced_or_moved_is_there_at_every_moment))
