/*
 * txn.c - see txn.h.
 */
#include "txn.h"

#include <stdlib.h>

static void txn_free(struct txn *t)
{
    lsm_batch_free(t->batch);
    buf_release(&t->scratch);
    free(t);
}

struct txn *txn_begin(struct fs *fs)
{
    struct txn *t;

    mutex_lock(&fs->state);
    t = fs->free_txns;
    if (t)
        fs->free_txns = t->next;
    mutex_unlock(&fs->state);
    if (t)
        return t;
    t = calloc(1, sizeof(*t));
    if (!t)
        return NULL;
    t->batch = lsm_batch_new();
    if (!t->batch) {
        free(t);
        return NULL;
    }
    return t;
}

int txn_end(struct fs *fs, struct txn *t, int rc)
{
    if (!rc)
        rc = t->error;
    if (!rc)
        rc = usage_take(fs, (int64_t)t->bytes, t->inodes);
    if (!rc && lsm_batch_count(t->batch)) {
        rc = lsm_write(fs->db, t->batch, LSM_NOSYNC);
        if (rc)
            usage_untake(fs, (int64_t)t->bytes, t->inodes);
    }
    KILL_POINT("operation-done");
    if (!rc)
        usage_give(fs, (int64_t)t->bytes, t->inodes);
    lsm_batch_clear(t->batch);
    t->bytes = 0;
    t->inodes = 0;
    t->error = 0;
    mutex_lock(&fs->state);
    t->next = fs->free_txns;
    fs->free_txns = t;
    mutex_unlock(&fs->state);
    return rc;
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

static void put_at(struct txn *t, uint64_t ino, const struct home *home,
                   const struct record *rec)
{
    struct key k;

    buf_clear(&t->scratch);
    if (home->parent) {
        dentry_encode_inode(&t->scratch, slice_str(home->name), ino, rec);
        put_scratch(t, key_dentry(&k, home->parent, home->seq));
    } else {
        record_encode(&t->scratch, rec);
        put_scratch(t, key_inode(&k, ino));
    }
}

void txn_put_new(struct txn *t, uint64_t ino, const struct home *home,
                 const struct record *rec)
{
    t->bytes += usage_of(rec);
    t->inodes++;
    put_at(t, ino, home, rec);
}

void txn_put_record(struct txn *t, const struct inode *in, const struct home *home,
                    const struct record *rec)
{
    t->bytes += usage_of(rec) - usage_of(&in->rec);
    put_at(t, in->ino, home, rec);
}

void txn_put_inode(struct txn *t, const struct inode *in, const struct record *rec)
{
    txn_put_record(t, in, &in->home, rec);
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

void txn_put_orphan(struct txn *t, uint64_t ino)
{
    struct key k;

    lsm_batch_put(t->batch, key_orphan(&k, ino), slice_of(NULL, 0));
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
