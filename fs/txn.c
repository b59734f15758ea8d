/*
 * txn.c - see txn.h.
 */
#include "txn.h"

#include <stdlib.h>

static void txn_free(struct txn *t)
{
    lsm_batch_free(t->batch);
    buf_release(&t->scratch);
    free(t->charges.at);
    free(t);
}

/* ---- who is between txn_begin and txn_end ---- */

/* Returns how often they were stopped. */
static uint64_t enter_locked(struct fs *fs)
{
    while (fs->stopped)
        cond_wait(&fs->txn_wake, &fs->state);
    fs->in_txns++;
    return fs->stops;
}

static void leave_locked(struct fs *fs)
{
    fs->in_txns--;
    if (fs->stopped)
        pthread_cond_broadcast(&fs->txn_wake);
}

void txn_stop(struct fs *fs)
{
    mutex_lock(&fs->state);
    fs->stopped = true;
    while (fs->in_txns)
        cond_wait(&fs->txn_wake, &fs->state);
    fs->stops++;
    mutex_unlock(&fs->state);
}

void txn_go_on(struct fs *fs)
{
    mutex_lock(&fs->state);
    fs->stopped = false;
    pthread_cond_broadcast(&fs->txn_wake);
    mutex_unlock(&fs->state);
}

static struct txn *txn_new(void)
{
    struct txn *t = calloc(1, sizeof(*t));

    if (!t)
        return NULL;
    t->batch = lsm_batch_new();
    if (!t->batch) {
        free(t);
        return NULL;
    }
    return t;
}

struct txn *txn_begin(struct fs *fs)
{
    struct txn *t;
    uint64_t stops;

    mutex_lock(&fs->state);
    stops = enter_locked(fs);
    t = fs->free_txns;
    if (t)
        fs->free_txns = t->next;
    mutex_unlock(&fs->state);
    if (!t)
        t = txn_new();
    if (!t) {
        mutex_lock(&fs->state);
        leave_locked(fs);
        mutex_unlock(&fs->state);
        return NULL;
    }
    t->trees = atomic_load_explicit(&fs->quotas.any, memory_order_relaxed);
    t->stops = stops;
    return t;
}

/* ---- what it adds ---- */

static int take(struct fs *fs, struct txn *t)
{
    int rc = usage_take(fs, (int64_t)t->bytes, t->inodes);

    if (rc || !t->charges.n)
        return rc;
    rc = charges_take(&t->charges);
    if (rc)
        usage_untake(fs, (int64_t)t->bytes, t->inodes);
    return rc;
}

/*
 * Inodes that nobody refers to any more wait to be deleted (orphan.c): what they use is
 * used up to then, but no reason to refuse anything. Deleting them is an operation of its
 * own, and must not begin within this one (txn_stop). When the trees have changed
 * meanwhile it stays refused.
 */
static int take_again(struct fs *fs, struct txn *t, int rc)
{
    uint64_t stops;
    int rc2;

    mutex_lock(&fs->state);
    leave_locked(fs);
    mutex_unlock(&fs->state);
    rc2 = orphans_flush(fs);
    mutex_lock(&fs->state);
    stops = enter_locked(fs);
    mutex_unlock(&fs->state);
    if (rc2)
        return rc2;
    return stops != t->stops ? rc : take(fs, t);
}

static int txn_write(struct fs *fs, struct txn *t)
{
    int rc = lsm_write(fs->db, t->batch, t->durability);

    if (rc) {
        usage_untake(fs, (int64_t)t->bytes, t->inodes);
        charges_untake(&t->charges);
    }
    return rc;
}

int txn_end(struct fs *fs, struct txn *t, int rc)
{
    if (t->trees)
        txn_of_tree(fs, t, 0);
    if (!rc)
        rc = t->error;
    if (!rc) {
        rc = take(fs, t);
        if (rc)
            rc = take_again(fs, t, rc);
    }
    if (!rc && lsm_batch_count(t->batch))
        rc = txn_write(fs, t);
    KILL_POINT("operation-done");
    if (!rc) {
        usage_give(fs, (int64_t)t->bytes, t->inodes);
        if (t->charges.n)
            charges_give(&t->charges);
    }
    lsm_batch_clear(t->batch);
    t->bytes = t->told_bytes = 0;
    t->inodes = t->told_inodes = 0;
    t->charges.n = 0;
    t->error = 0;
    t->durability = LSM_NOSYNC;
    mutex_lock(&fs->state);
    t->next = fs->free_txns;
    fs->free_txns = t;
    leave_locked(fs);
    mutex_unlock(&fs->state);
    return rc;
}

int txn_end_later(struct fs *fs, struct txn *t, int rc)
{
    if (fs->options.told_later)
        t->durability = LSM_LATER;
    return txn_end(fs, t, rc);
}

void txn_of_tree(struct fs *fs, struct txn *t, uint64_t tree)
{
    uint64_t bytes = t->bytes - t->told_bytes;
    int64_t inodes = t->inodes - t->told_inodes;

    if ((bytes || inodes) &&
        charges_add(fs, &t->charges, t->tree, (int64_t)bytes, inodes))
        t->error = -ENOMEM;
    t->told_bytes = t->bytes;
    t->told_inodes = t->inodes;
    t->tree = tree;
}

void txn_find_tree(struct fs *fs, struct txn *t, const struct inode *in)
{
    uint64_t tree;
    int rc = quota_tree_of(fs, in, &tree);

    txn_of_tree(fs, t, tree);
    if (rc)
        t->error = rc;
}

void txn_free_all(struct fs *fs)
{
    while (fs->free_txns) {
        struct txn *t = fs->free_txns;

        fs->free_txns = t->next;
        txn_free(t);
    }
}

/* Put what was encoded into the scratch buffer. */
static void put_scratch(struct txn *t, struct slice key)
{
    if (buf_error(&t->scratch))
        t->error = -ENOMEM;
    else
        lsm_batch_put(t->batch, key, buf_slice(&t->scratch));
}

/* tree: of one with a key of its own. */
static void put_at(struct txn *t, uint64_t ino, const struct home *home,
                   const struct record *rec, uint64_t tree)
{
    struct key k;

    buf_clear(&t->scratch);
    if (home->parent) {
        dentry_encode_inode(&t->scratch, slice_str(home->name), ino, rec);
        put_scratch(t, key_dentry(&k, home->parent, home->seq));
    } else {
        record_encode_tree(&t->scratch, rec, tree);
        put_scratch(t, record_is_orphan(rec) ? key_orphan(&k, ino) : key_inode(&k, ino));
    }
}

void txn_put_new(struct txn *t, uint64_t ino, const struct home *home,
                 const struct record *rec)
{
    t->bytes += usage_of(rec);
    t->inodes++;
    put_at(t, ino, home, rec, t->trees ? t->tree : 0);
}

void txn_put_record(struct txn *t, const struct inode *in, const struct home *home,
                    const struct record *rec)
{
    uint64_t tree = 0;

    /* One that gets a key of its own is in the tree that its directory was. */
    if (!in->home.parent)
        tree = atomic_load_explicit(&in->tree, memory_order_relaxed);
    else if (t->trees)
        tree = t->tree;
    t->bytes += usage_of(rec) - usage_of(&in->rec);
    put_at(t, in->ino, home, rec, tree);
}

void txn_put_inode(struct txn *t, const struct inode *in, const struct record *rec)
{
    txn_put_record(t, in, &in->home, rec);
}

void txn_put_tree(struct txn *t, const struct inode *in, const struct record *rec,
                  uint64_t tree)
{
    t->bytes += usage_of(rec) - usage_of(&in->rec);
    put_at(t, in->ino, &in->home, rec, tree);
}

void txn_note_gone(struct txn *t, const struct record *rec)
{
    t->bytes -= usage_of(rec);
    t->inodes--;
}

void txn_put_ref(struct txn *t, uint64_t parent, uint64_t seq, const char *name,
                 uint64_t ino, uint32_t type)
{
    struct key k;

    buf_clear(&t->scratch);
    dentry_encode_ref(&t->scratch, slice_str(name), ino, type);
    put_scratch(t, key_dentry(&k, parent, seq));
}

void txn_delete_dentry(struct txn *t, uint64_t parent, uint64_t seq)
{
    struct key k;

    lsm_batch_delete(t->batch, key_dentry(&k, parent, seq));
}

void txn_put_seqs(struct txn *t, uint64_t parent, uint64_t hash, const struct seqs *s)
{
    struct key k;

    if (!s->n) {
        lsm_batch_delete(t->batch, key_names(&k, parent, hash));
        return;
    }
    buf_clear(&t->scratch);
    seqs_encode(&t->scratch, s);
    put_scratch(t, key_names(&k, parent, hash));
}

void txn_delete_orphan(struct txn *t, uint64_t ino)
{
    struct key k;

    lsm_batch_delete(t->batch, key_orphan(&k, ino));
}

void txn_put_counter(struct txn *t, struct slice key, uint64_t v)
{
    buf_clear(&t->scratch);
    put_varint(&t->scratch, v);
    put_scratch(t, key);
}
