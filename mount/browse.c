/*
 * browse.c - see browse.h.
 *
 * An open snapshot stays open while the kernel knows an inode of it: then it may ask for
 * it, and only then; so a request needs no lock to use it. `mu` guards the table, and is
 * held while one is opened: meanwhile others wait who look up names of snapshots, and
 * nobody else.
 */
#include "browse.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "near.h"
#include "snapshots.h"
#include "store.h"

enum {
    OPEN_MAX = 128,
    MEMORY_EACH = 4 << 20,
    IDLE_MS = 60 * 1000, /* unused for that long: the kernel is asked to forget it */
    MANY = 32,           /* with so many open already after that: */
    MANY_IDLE_MS = 1,
    AGAIN_MS = 10, /* and again after that, and twice that ... */
    CLOSE_WAIT_MS = 1000,
    POLL_MS = 20,
};

struct view {
    char name[SNAPSHOT_NAME_MAX + 1]; /* "": the place is free */
    struct lsm *db;
    struct fs *fs;
    _Atomic uint64_t lookups; /* of all its inodes */
    _Atomic uint64_t used_ms;
};

struct browse {
    const struct ops *ops;
    fuse_ino_t dir;
    struct mutex mu;
    struct view view[OPEN_MAX];
    pthread_mutex_t sweep_mu; /* innermost; over the following */
    pthread_cond_t wake;
    bool any, many, ending;
    pthread_t sweeper;
};

static uint64_t now_ms(void)
{
    return env_now_ns(env_posix()) / 1000000;
}

/* ---- numbers ---- */

static fuse_ino_t outer(unsigned place, uint64_t ino)
{
    return 1ull << 63 | (uint64_t)(place + 1) << BROWSE_INO_BITS | ino;
}

static uint64_t inner(fuse_ino_t ino)
{
    return ino & ((1ull << BROWSE_INO_BITS) - 1);
}

static unsigned place_of(fuse_ino_t ino)
{
    return (unsigned)(ino >> BROWSE_INO_BITS & ((1u << (63 - BROWSE_INO_BITS)) - 1)) - 1;
}

/* Of an inode that the kernel knows. */
static struct view *view_of(struct browse *b, fuse_ino_t ino)
{
    struct view *v = &b->view[place_of(ino) % OPEN_MAX];

    atomic_store_explicit(&v->used_ms, now_ms(), memory_order_relaxed);
    return v;
}

/* No snapshot of ours has numbers as great; a stranger's may. */
static int name_outer(struct fs_attr *attr, unsigned place)
{
    if (attr->st.st_ino >> BROWSE_INO_BITS)
        return -EOVERFLOW;
    attr->st.st_ino = outer(place, attr->st.st_ino);
    return 0;
}

/* ---- opening and closing ---- */

static int open_view(struct browse *b, struct view *v, const char *name)
{
    struct lsm_options lo = b->ops->options->lsm;
    struct fs_options fo = b->ops->options->fs;
    char path[PATH_MAX];
    struct why why;
    int err = snapshot_find(lsm_path(fs_store(b->ops->fs)), name, path, &why);

    if (err)
        return err == -EINVAL ? -ENOENT : err;
    lo.read_only = fo.read_only = true;
    fo.writeback_ms = 0; /* no thread for each */
    lo.memory_bytes = MEMORY_EACH;
    lo.memtable_bytes = 0;
    lo.verify_bytes = 0;
    snapshot_settle(path);
    err = store_open(path, &lo, &v->db, &why);
    if (err) {
        err_log("%s", why.text);
        return err;
    }
    err = fs_mount(v->db, &fo, &v->fs);
    if (err) {
        err_log("%s: cannot be shown: %s", path, strerror(-err));
        lsm_close(v->db); /* read only: nothing to lose */
        return err;
    }
    snprintf(v->name, sizeof(v->name), "%s", name);
    atomic_store(&v->lookups, 0);
    return 0;
}

static void close_view(struct view *v)
{
    fs_unmount(v->fs); /* both read only: nothing to lose */
    lsm_close(v->db);
    v->name[0] = '\0';
}

/* Under mu. NULL: it is not open. */
static struct view *find_view(struct browse *b, const char *name)
{
    unsigned i;

    for (i = 0; i < OPEN_MAX; i++)
        if (strcmp(b->view[i].name, name) == 0)
            return &b->view[i];
    return NULL;
}

/* Under mu: a free place, or that of one that nobody uses. */
static struct view *find_place(struct browse *b)
{
    struct view *v = find_view(b, "");
    unsigned i;

    for (i = 0; i < OPEN_MAX && !v; i++) {
        if (atomic_load(&b->view[i].lookups) == 0) {
            v = &b->view[i];
            close_view(v);
        }
    }
    return v;
}

/* Under mu. */
static bool many_open(const struct browse *b)
{
    unsigned i, n = 0;

    for (i = 0; i < OPEN_MAX; i++)
        n += b->view[i].name[0] != '\0';
    return n >= MANY;
}

static void wake_sweeper(struct browse *b, bool many, bool end);

int browse_root(struct browse *b, const char *name, struct fs_attr *out)
{
    struct view *v;
    bool opened = false, many = false;
    int err = 0;

    if (!*name)
        return -ENOENT;
    env_about_to_block();
    mutex_lock(&b->mu);
    v = find_view(b, name);
    if (!v) {
        v = find_place(b);
        err = v ? open_view(b, v, name) : -ENFILE;
        opened = !err;
        many = many_open(b);
    }
    if (!err)
        err = fs_getattr(v->fs, FS_ROOT, out);
    if (!err)
        err = name_outer(out, (unsigned)(v - b->view));
    if (!err) {
        atomic_fetch_add(&v->lookups, 1);
        atomic_store(&v->used_ms, now_ms());
    }
    mutex_unlock(&b->mu);
    if (opened || many)
        wake_sweeper(b, many, false);
    return err;
}

/* Without b's locks: the kernel takes the directory's, which who waits for us may have.
 */
static void ask_to_forget(struct browse *b, const char *name)
{
    fuse_lowlevel_notify_inval_entry(b->ops->session, b->dir, name, strlen(name));
}

/* Closes it, if it is open and the kernel knows none of it. */
static bool try_close(struct browse *b, const char *name)
{
    struct view *v;
    bool gone;

    mutex_lock(&b->mu);
    v = find_view(b, name);
    gone = !v || atomic_load(&v->lookups) == 0;
    if (v && gone)
        close_view(v);
    mutex_unlock(&b->mu);
    return gone;
}

int browse_close(struct browse *b, const char *name)
{
    uint64_t until = now_ms() + CLOSE_WAIT_MS;

    while (!try_close(b, name)) {
        if (now_ms() >= until)
            return -EBUSY;
        ask_to_forget(b, name);
        env_sleep_ns(env_posix(), (uint64_t)POLL_MS * 1000000);
    }
    return 0;
}

/* ---- the sweeper ---- */

/* How many are still open. */
static unsigned sweep(struct browse *b, unsigned idle_ms)
{
    char name[SNAPSHOT_NAME_MAX + 1];
    unsigned i, n = 0;

    for (i = 0; i < OPEN_MAX; i++) {
        struct view *v = &b->view[i];

        mutex_lock(&b->mu);
        if (v->name[0] && atomic_load(&v->lookups) == 0)
            close_view(v);
        strcpy(name, v->name);
        n += *name != '\0';
        if (now_ms() - atomic_load(&v->used_ms) < idle_ms)
            *name = '\0';
        mutex_unlock(&b->mu);
        if (*name)
            ask_to_forget(b, name);
    }
    return n;
}

static void wake_sweeper(struct browse *b, bool many, bool end)
{
    pthread_mutex_lock(&b->sweep_mu);
    b->any = true;
    b->many = b->many || many;
    b->ending = b->ending || end;
    pthread_cond_signal(&b->wake);
    pthread_mutex_unlock(&b->sweep_mu);
}

static struct timespec in_ms(unsigned ms)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_sec += ms / 1000;
    t.tv_nsec += (long)(ms % 1000) * 1000000;
    if (t.tv_nsec >= 1000000000) {
        t.tv_sec++;
        t.tv_nsec -= 1000000000;
    }
    return t;
}

/*
 * Sleeps for good while none is open. Who lists the directory with attributes opens them
 * all one after the other, and cannot be made to wait: the kernel lets nothing be
 * forgotten there during a lookup. So there must be room before there is none.
 */
static void *sweeper(void *arg)
{
    struct browse *b = arg;
    unsigned wait_ms = IDLE_MS / 2, n;
    struct timespec until;

    near_not();
    pthread_mutex_lock(&b->sweep_mu);
    while (!b->ending) {
        until = in_ms(wait_ms);
        if (!b->any) {
            pthread_cond_wait(&b->wake, &b->sweep_mu);
        } else if (b->many || pthread_cond_timedwait(&b->wake, &b->sweep_mu, &until)) {
            wait_ms = b->many ? AGAIN_MS : 2 * wait_ms;
            if (wait_ms > IDLE_MS / 2)
                wait_ms = IDLE_MS / 2;
            b->any = b->many = false;
            pthread_mutex_unlock(&b->sweep_mu);
            n = sweep(b, wait_ms < IDLE_MS / 2 ? MANY_IDLE_MS : IDLE_MS);
            if (n < MANY)
                wait_ms = IDLE_MS / 2;
            if (n)
                wake_sweeper(b, false, false);
            pthread_mutex_lock(&b->sweep_mu);
        }
    }
    pthread_mutex_unlock(&b->sweep_mu);
    return NULL;
}

int browse_new(const struct ops *o, fuse_ino_t dir, struct browse **out)
{
    struct browse *b = calloc(1, sizeof(*b));
    int err;

    if (!b)
        return -ENOMEM;
    b->ops = o;
    b->dir = dir;
    mutex_init(&b->mu, LOCK_BROWSE);
    pthread_mutex_init(&b->sweep_mu, NULL);
    pthread_cond_init(&b->wake, NULL);
    err = -pthread_create(&b->sweeper, NULL, sweeper, b);
    if (err) {
        free(b);
        return err;
    }
    *out = b;
    return 0;
}

void browse_free(struct browse *b)
{
    unsigned i;

    if (!b)
        return;
    wake_sweeper(b, false, true);
    pthread_join(b->sweeper, NULL);
    for (i = 0; i < OPEN_MAX; i++)
        if (b->view[i].name[0])
            close_view(&b->view[i]);
    pthread_cond_destroy(&b->wake);
    pthread_mutex_destroy(&b->sweep_mu);
    mutex_release(&b->mu);
    free(b);
}

/* ---- names ---- */

struct naming {
    const struct browse *b;
    uint64_t skip, at;
    fs_dirent_fn *fn;
    void *arg;
    struct fs_attr attr;
};

static int give_name(void *arg, const struct snapshot *s)
{
    struct naming *n = arg;

    n->at++;
    if (n->skip) {
        n->skip--;
        return 0;
    }
    return n->fn(n->arg, s->name, &n->attr, n->at) == FS_FULL ? 1 : 0;
}

int browse_names(const struct browse *b, uint64_t cookie, fs_dirent_fn *fn, void *arg)
{
    struct naming n = {.b = b, .skip = cookie - 2, .at = 2, .fn = fn, .arg = arg};
    int rc;

    /* None is opened for a listing. */
    n.attr.st.st_ino = b->dir;
    n.attr.st.st_mode = S_IFDIR;
    env_about_to_block();
    rc = snapshot_list(lsm_path(fs_store(b->ops->fs)), give_name, &n);
    return rc < 0 ? rc : 0;
}

/* ---- calls ---- */

int browse_lookup(struct browse *b, fuse_ino_t parent, const char *name,
                  struct fs_attr *out)
{
    struct view *v = view_of(b, parent);
    int err = fs_lookup(v->fs, inner(parent), name, out);
    uint64_t ino = out->st.st_ino;

    if (!err)
        err = name_outer(out, place_of(parent));
    if (!err)
        atomic_fetch_add(&v->lookups, 1);
    else if (err == -EOVERFLOW)
        fs_forget(v->fs, ino, 1);
    return err;
}

void browse_forget(struct browse *b, fuse_ino_t ino, uint64_t lookups)
{
    struct view *v = &b->view[place_of(ino) % OPEN_MAX];

    if (inner(ino) != FS_ROOT)
        fs_forget(v->fs, inner(ino), lookups);
    atomic_fetch_sub(&v->lookups, lookups);
}

int browse_getattr(struct browse *b, fuse_ino_t ino, struct fs_attr *out)
{
    int err = fs_getattr(view_of(b, ino)->fs, inner(ino), out);

    return err ? err : name_outer(out, place_of(ino));
}

int browse_readlink(struct browse *b, fuse_ino_t ino, char *to)
{
    return fs_readlink(view_of(b, ino)->fs, inner(ino), to);
}

struct renumber {
    struct view *v;
    unsigned place;
    fs_dirent_fn *fn;
    void *arg;
};

static enum fs_taken renumber(void *arg, const char *name, const struct fs_attr *attr,
                              uint64_t next)
{
    struct renumber *r = arg;
    struct fs_attr out = *attr;
    enum fs_taken taken;

    if (name_outer(&out, r->place))
        return FS_TAKEN; /* left out */
    taken = r->fn(r->arg, name, &out, next);
    if (taken == FS_TAKEN_LOOKUP)
        atomic_fetch_add(&r->v->lookups, 1);
    return taken;
}

int browse_readdir(struct browse *b, fuse_ino_t ino, uint64_t cookie, bool plus,
                   fs_dirent_fn *fn, void *arg)
{
    struct renumber r = {view_of(b, ino), place_of(ino), fn, arg};

    return fs_readdir(r.v->fs, inner(ino), cookie, plus, renumber, &r);
}

int browse_read(struct browse *b, fuse_ino_t ino, uint64_t off, size_t len, void *to,
                size_t *got)
{
    return fs_read(view_of(b, ino)->fs, inner(ino), off, len, to, got);
}

int browse_lseek(struct browse *b, fuse_ino_t ino, uint64_t off, int whence,
                 uint64_t *out)
{
    return fs_lseek(view_of(b, ino)->fs, inner(ino), off, whence, out);
}

int browse_getxattr(struct browse *b, fuse_ino_t ino, const char *name, void *to,
                    size_t size, size_t *len)
{
    return fs_getxattr(view_of(b, ino)->fs, inner(ino), name, to, size, len);
}

int browse_listxattr(struct browse *b, const struct fs_cred *c, fuse_ino_t ino, char *to,
                     size_t size, size_t *len)
{
    return fs_listxattr(view_of(b, ino)->fs, c, inner(ino), to, size, len);
}
