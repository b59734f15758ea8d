/*
 * fs_harm.c - see fs_harm.h.
 */
#include "fs_harm.h"

#include "test.h"

void harm_begin(struct harm *h, struct lsm *db)
{
    struct super super;

    memset(h, 0, sizeof(*h));
    h->db = db;
    ck_ok(lsm_get(db, NULL, key_super(), &h->value));
    ck_ok(super_decode(h->value.value, &super));
    h->seed = super.hash_seed;
}

void harm_end(struct harm *h)
{
    lsm_value_release(&h->value);
    buf_release(&h->buf);
}

void harm_put(struct harm *h, struct slice key, const char *text)
{
    ck_ok(lsm_put(h->db, key, slice_str(text)));
}

void harm_drop(struct harm *h, struct slice key)
{
    ck_ok(lsm_exists(h->db, NULL, key));
    ck_ok(lsm_delete(h->db, key));
}

static void put_buf(struct harm *h, struct slice key)
{
    ck_ok(lsm_put(h->db, key, buf_slice(&h->buf)));
    buf_clear(&h->buf);
}

/* ---- records ---- */

struct record harm_get_inode(struct harm *h, uint64_t ino)
{
    struct record rec;
    struct key k;

    ck_ok(lsm_get(h->db, NULL, key_inode(&k, ino), &h->value));
    ck_ok(record_decode(h->value.value, &rec));
    return rec;
}

void harm_put_inode(struct harm *h, uint64_t ino, const struct record *rec)
{
    struct key k;

    record_encode(&h->buf, rec);
    put_buf(h, key_inode(&k, ino));
}

struct dentry harm_get_dentry(struct harm *h, uint64_t dir, uint64_t seq)
{
    struct dentry d;
    struct key k;

    ck_ok(lsm_get(h->db, NULL, key_dentry(&k, dir, seq), &h->value));
    ck_ok(dentry_decode(h->value.value, &d));
    return d;
}

void harm_put_ref(struct harm *h, uint64_t dir, uint64_t seq, const char *name,
                  uint64_t ino, uint32_t type)
{
    struct key k;

    dentry_encode_ref(&h->buf, slice_str(name), ino, type);
    put_buf(h, key_dentry(&k, dir, seq));
}

void harm_put_embedded(struct harm *h, uint64_t dir, uint64_t seq, struct slice name,
                       uint64_t ino, const struct record *rec)
{
    struct key k;

    dentry_encode_inode(&h->buf, name, ino, rec);
    put_buf(h, key_dentry(&k, dir, seq));
}

void harm_embedded(struct harm *h, uint64_t dir, uint64_t ino, harm_fn *fn)
{
    struct dentry d = harm_get_dentry(h, dir, ino);

    ck_assert(d.embedded);
    fn(&d.rec);
    harm_put_embedded(h, dir, ino, d.name, ino, &d.rec);
}

void harm_inode(struct harm *h, uint64_t ino, harm_fn *fn)
{
    struct record rec = harm_get_inode(h, ino);

    fn(&rec);
    harm_put_inode(h, ino, &rec);
}

/* ---- names ---- */

void harm_index(struct harm *h, uint64_t dir, const char *name, uint64_t seq)
{
    struct seqs seqs = {.n = 1, .seq = {seq}};
    struct slice key;
    struct key k;

    key = key_names(&k, dir, name_hash(h->seed, slice_str(name)));
    if (!seq) {
        ck_ok(lsm_delete(h->db, key));
        return;
    }
    seqs_encode(&h->buf, &seqs);
    put_buf(h, key);
}

void harm_counts(struct harm *h, uint64_t dir, int entries, int subdirs)
{
    struct record rec = harm_get_inode(h, dir);

    rec.dir.entries += (uint64_t)(int64_t)entries;
    rec.dir.subdirs += (uint32_t)subdirs;
    harm_put_inode(h, dir, &rec);
}

void harm_add_name(struct harm *h, uint64_t dir, uint64_t seq, const char *name,
                   uint64_t ino, uint32_t type)
{
    harm_put_ref(h, dir, seq, name, ino, type);
    harm_index(h, dir, name, seq);
    harm_counts(h, dir, 1, type == S_IFDIR);
}

void harm_remove_name(struct harm *h, uint64_t dir, uint64_t seq)
{
    struct dentry d = harm_get_dentry(h, dir, seq);
    char name[FS_NAME_MAX + 1] = {0};
    uint32_t type = d.type;
    struct key k;

    memcpy(name, d.name.data, d.name.len);
    harm_drop(h, key_dentry(&k, dir, seq));
    harm_index(h, dir, name, 0);
    harm_counts(h, dir, -1, -(type == S_IFDIR));
}

/* ---- the rest ---- */

void harm_put_extent(struct harm *h, uint64_t ino, uint64_t end, const char *text)
{
    struct key k;

    harm_put(h, key_extent(&k, ino, end), text);
}

void harm_put_unwritten(struct harm *h, uint64_t ino, uint64_t end, uint64_t len)
{
    struct key k;

    put_varint(&h->buf, len);
    put_buf(h, key_unwritten(&k, ino, end));
}

void harm_put_xattr(struct harm *h, uint64_t ino, const char *name, struct slice value)
{
    struct xattr_key k;

    ck_ok(lsm_put(h->db, key_xattr(&k, ino, slice_str(name)), value));
}

void harm_put_counter(struct harm *h, struct slice key, uint64_t v)
{
    put_varint(&h->buf, v);
    put_buf(h, key);
}
