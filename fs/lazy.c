/*
 * lazy.c - times of access, which are worth remembering but not worth a write
 * for every read.
 *
 * By default they follow relatime: a read sets atime only when it is not newer
 * than mtime and ctime, or a day old. The new atime stays in memory and travels
 * with the next change of the inode; a thread writes what is left every
 * writeback_ms, sync and unmount write it too, and so does the last reference
 * when it goes. At most LAZY_MAX inodes wait at a time: one more is written
 * at once.
 *
 * The thread also counts what a crash left uncounted, and gives memory back to the
 * system; of a read-only mount that is all it does.
 */
#include "quota.h"
#include "txn.h"

#include <malloc.h>
#include <stdlib.h>

/* ---- noting ---- */

static bool stamp_before(struct stamp a, struct stamp b)
{
    return a.sec < b.sec || (a.sec == b.sec && a.nsec < b.nsec);
}

bool atime_wanted(struct fs *fs, const struct inode *in, struct stamp now)
{
    const struct record *rec = &in->rec;

    if (fs->options.read_only || fs->options.atime == FS_NOATIME ||
        (fs->options.nodiratime && record_is_dir(rec)))
        return false;
    if (fs->options.atime == FS_STRICTATIME)
        return true;
    return !stamp_before(rec->mtime, rec->atime) ||
           !stamp_before(rec->ctime, rec->atime) ||
           now.sec - RELATIME_S >= rec->atime.sec;
}

/* False when too many wait. */
static bool lazy_add(struct fs *fs, uint64_t ino)
{
    bool added = false;

    mutex_lock(&fs->lazy_mu);
    if (fs->n_lazy < LAZY_MAX) {
        fs->lazy[fs->n_lazy++] = ino;
        added = true;
    }
    if (fs->n_lazy == LAZY_MAX / 2)
        pthread_cond_signal(&fs->lazy_wake);
    mutex_unlock(&fs->lazy_mu);
    return added;
}

void inode_accessed(struct fs *fs, struct inode *in, struct stamp now)
{
    rwlock_write(&in->lock);
    if (atime_wanted(fs, in, now)) {
        in->rec.atime = now;
        if (!(in->state & (INODE_ATIME | INODE_GONE))) {
            in->state |= INODE_ATIME;
            /* If the write fails it stays in memory, for the next change to take. */
            if (!lazy_add(fs, in->ino))
                inode_write(fs, in, &in->rec);
        }
    }
    rwlock_unlock(&in->lock);
}

/* ---- writing ---- */

enum { AT_ONCE = 32 };

/* Live inodes, pinned and locked. */
struct held {
    struct inode *in[AT_ONCE];
    unsigned n;
};

/* A full disk is no error: they stay in memory. */
static int write_held(struct fs *fs, const struct held *h)
{
    struct txn *t = h->n ? txn_begin(fs) : NULL;
    unsigned i;
    int rc;

    if (!t)
        return h->n ? -ENOMEM : 0;
    for (i = 0; i < h->n; i++)
        txn_put_inode(t, h->in[i], &h->in[i]->rec);
    rc = txn_end(fs, t, 0);
    for (i = 0; i < h->n && !rc; i++)
        inode_set(h->in[i], &h->in[i]->rec);
    return rc == -ENOSPC ? 0 : rc;
}

/* Give back those taken. */
static void let_go(struct fs *fs, struct held *h)
{
    while (h->n) {
        rwlock_unlock(&h->in[--h->n]->lock);
        inode_put(fs, h->in[h->n]);
    }
}

/*
 * Write the atimes of n inodes in one batch. Each is locked until that is written, and
 * only the first is waited for: this thread has no order in which it may take the
 * others. Those in use come into the next batch; *busy is how many, in ino.
 */
static int write_some(struct fs *fs, uint64_t *ino, unsigned n, unsigned *busy)
{
    struct held h = {.n = 0};
    unsigned i;
    int rc;

    *busy = 0;
    for (i = 0; i < n; i++) {
        struct inode *in = itable_find(&fs->inodes, ino[i]);

        if (!in)
            continue;
        if (!h.n) {
            rwlock_write(&in->lock);
        } else if (!rwlock_try_write_nested(&in->lock)) {
            ino[(*busy)++] = ino[i];
            inode_put(fs, in);
            continue;
        }
        if ((in->state & (INODE_ATIME | INODE_GONE)) == INODE_ATIME) {
            h.in[h.n++] = in;
        } else {
            rwlock_unlock(&in->lock);
            inode_put(fs, in);
        }
    }
    rc = write_held(fs, &h);
    let_go(fs, &h);
    return rc;
}

static int write_atimes(struct fs *fs)
{
    uint64_t some[AT_ONCE];
    unsigned n = 0, more;
    int rc = 0, rc2;

    do {
        mutex_lock(&fs->lazy_mu);
        more = fs->n_lazy < AT_ONCE - n ? fs->n_lazy : AT_ONCE - n;
        fs->n_lazy -= more;
        memcpy(some + n, fs->lazy + fs->n_lazy, more * sizeof(*some));
        mutex_unlock(&fs->lazy_mu);
        rc2 = write_some(fs, some, n + more, &n);
        rc = rc ? rc : rc2;
    } while (n + more);
    return rc;
}

int lazy_write(struct fs *fs)
{
    int rc, rc2;

    if (fs->options.read_only)
        return 0;
    rc = write_atimes(fs);
    rc2 = orphans_flush(fs);
    rc = rc ? rc : rc2;
    rc2 = usage_write(fs, false);
    rc = rc ? rc : rc2;
    rc2 = quota_write(fs, false);
    return rc ? rc : rc2;
}

/* ---- the thread ---- */

/*
 * The kernel forgets inodes by the ten thousand when it wants memory, and what malloc
 * keeps of theirs is of no use to it: give it back, when half have gone or no more are
 * going.
 */
struct live_seen {
    uint64_t most; /* at once, since memory was given back */
    uint64_t last;
};

static void give_back_memory(struct fs *fs, struct live_seen *seen)
{
    enum { WORTH_IT = 4096 }; /* more than a MiB */
    uint64_t live = itable_count(&fs->inodes);
    bool going = live + WORTH_IT < seen->last;

    if (live > seen->most) {
        seen->most = live;
    } else if (seen->most - live > WORTH_IT &&
               (live < seen->most / 2 || (!going && live < seen->most / 8 * 7))) {
        malloc_trim(0);
        seen->most = live;
    }
    seen->last = live;
}

static void *lazy_main(void *arg)
{
    struct fs *fs = arg;
    uint64_t ns = (uint64_t)fs->options.writeback_ms * 1000000;
    struct live_seen seen = {0};

    usage_recount(fs);
    quota_work(fs);
    mutex_lock(&fs->lazy_mu);
    while (!fs->lazy_stop) {
        cond_wait_ns(&fs->lazy_wake, &fs->lazy_mu, ns);
        if (fs->lazy_stop)
            break;
        mutex_unlock(&fs->lazy_mu);
        /* What could not be written is lost with this process, and the engine logs why
         * it takes no writes. */
        (void)lazy_write(fs);
        quota_work(fs);
        give_back_memory(fs, &seen);
        mutex_lock(&fs->lazy_mu);
    }
    mutex_unlock(&fs->lazy_mu);
    return NULL;
}

int lazy_start(struct fs *fs)
{
    int rc;

    fs->lazy = malloc(LAZY_MAX * sizeof(*fs->lazy));
    if (!fs->lazy)
        return -ENOMEM;
    if (!fs->options.writeback_ms) {
        usage_recount(fs);
        quota_work(fs);
        return 0;
    }
    rc = -pthread_create(&fs->lazy_thread, NULL, lazy_main, fs);
    fs->lazy_running = !rc;
    return rc;
}

bool lazy_stopping(struct fs *fs)
{
    bool stopping;

    mutex_lock(&fs->lazy_mu);
    stopping = fs->lazy_stop;
    mutex_unlock(&fs->lazy_mu);
    return stopping;
}

void lazy_stop(struct fs *fs)
{
    if (!fs->lazy_running)
        return;
    mutex_lock(&fs->lazy_mu);
    fs->lazy_stop = true;
    pthread_cond_signal(&fs->lazy_wake);
    mutex_unlock(&fs->lazy_mu);
    pthread_join(fs->lazy_thread, NULL);
    fs->lazy_running = false;
}
