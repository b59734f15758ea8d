/*
 * batch.c - see batch.h and lsm.h.
 */
#include "batch.h"

#include "hash.h"

#include <stdlib.h>

struct lsm_batch *lsm_batch_new(void)
{
    return calloc(1, sizeof(struct lsm_batch));
}

void lsm_batch_free(struct lsm_batch *b)
{
    if (!b)
        return;
    buf_release(&b->bytes);
    buf_release(&b->wire);
    free(b->ops);
    free(b);
}

void lsm_batch_clear(struct lsm_batch *b)
{
    buf_clear(&b->bytes);
    b->n = 0;
    b->user_bytes = 0;
    b->kept_bytes = 0;
    b->n_ranges = 0;
    b->chooses = false;
    b->err = 0;
}

void lsm_batch_compress(struct lsm_batch *b, const enum lsm_compression *kind)
{
    b->chooses = kind;
    if (kind)
        b->vlog = *kind;
}

unsigned lsm_batch_count(const struct lsm_batch *b)
{
    return (unsigned)b->n;
}

struct slice batch_key(const struct lsm_batch *b, const struct batch_op *op)
{
    return slice_of(b->bytes.data + op->key_at, op->key_len);
}

struct slice batch_value(const struct lsm_batch *b, const struct batch_op *op)
{
    if (op->borrowed)
        return slice_of(op->borrowed, op->value_len);
    return slice_of(b->bytes.data + op->value_at, op->value_len);
}

static struct batch_op *add(struct lsm_batch *b, enum batch_kind kind, struct slice key)
{
    struct batch_op *op;

    if (key.len > LSM_KEY_MAX)
        b->err = b->err ? b->err : -EINVAL;
    if (b->n == b->cap && !b->err) {
        size_t cap = b->cap ? 2 * b->cap : 8;
        void *p = realloc(b->ops, cap * sizeof(*b->ops));

        if (p) {
            b->ops = p;
            b->cap = cap;
        } else {
            b->err = -ENOMEM;
        }
    }
    if (b->err)
        return NULL;
    op = &b->ops[b->n++];
    *op = (struct batch_op){.kind = kind,
                            .vlog = b->chooses ? (int8_t)b->vlog : -1,
                            .key_at = b->bytes.len,
                            .key_len = key.len};
    buf_append_slice(&b->bytes, key);
    b->user_bytes += key.len;
    b->err = buf_error(&b->bytes);
    return b->err ? NULL : op;
}

void batch_set_value(struct lsm_batch *b, struct batch_op *op, enum batch_kind kind,
                     struct slice value)
{
    op->kind = kind;
    op->borrowed = NULL;
    op->value_at = b->bytes.len;
    op->value_len = value.len;
    buf_append_slice(&b->bytes, value);
    if (b->bytes.failed)
        b->err = -ENOMEM;
}

static void add_value(struct lsm_batch *b, enum batch_kind kind, struct slice key,
                      struct slice value)
{
    struct batch_op *op = add(b, kind, key);

    if (!op)
        return;
    if (value.len > LSM_VALUE_MAX)
        b->err = -EINVAL;
    else
        batch_set_value(b, op, kind, value);
    b->user_bytes += value.len;
}

void lsm_batch_put(struct lsm_batch *b, struct slice key, struct slice value)
{
    add_value(b, BATCH_PUT, key, value);
}

void lsm_batch_put_ref(struct lsm_batch *b, struct slice key, struct slice value)
{
    struct batch_op *op;

    if (value.len > LSM_VALUE_MAX || !value.data) {
        add_value(b, BATCH_PUT, key, value);
        return;
    }
    op = add(b, BATCH_PUT, key);
    if (!op)
        return;
    op->borrowed = value.data;
    op->value_len = value.len;
    b->user_bytes += value.len;
}

void lsm_batch_delete(struct lsm_batch *b, struct slice key)
{
    add(b, BATCH_DELETE, key);
}

void lsm_batch_delete_range(struct lsm_batch *b, struct slice from, struct slice to)
{
    if (slice_cmp(from, to) >= 0)
        return;
    if (to.len > LSM_KEY_MAX || ++b->n_ranges > LSM_BATCH_RANGES_MAX)
        b->err = b->err ? b->err : -EINVAL;
    else
        add_value(b, BATCH_DELETE_RANGE, from, to);
}

void lsm_batch_share(struct lsm_batch *b, struct slice dst, struct slice src, size_t off,
                     size_t len)
{
    struct batch_op *op = add(b, BATCH_SHARE, dst);

    if (!op)
        return;
    batch_set_value(b, op, BATCH_SHARE, src);
    op->share_off = off;
    op->share_len = len;
}

/* ---- encoded form: first sequence (8), count (varint), operations ---- */

enum ikey_type batch_type(const struct batch_op *op)
{
    switch (op->kind) {
    case BATCH_DELETE:
        return IKEY_DELETE;
    case BATCH_DELETE_RANGE:
        return IKEY_RANGE_DELETE;
    case BATCH_POINTER:
        return IKEY_PUT_REF;
    default:
        return IKEY_PUT;
    }
}

int batch_encode(struct lsm_batch *b)
{
    size_t i;

    if (b->err)
        return b->err;
    buf_clear(&b->wire);
    put_le64(&b->wire, 0);
    put_varint(&b->wire, b->n);
    for (i = 0; i < b->n; i++) {
        struct batch_op *op = &b->ops[i];

        op->hash = hash_key(batch_key(b, op));
        put_u8(&b->wire, (uint8_t)batch_type(op));
        put_bytes(&b->wire, batch_key(b, op));
        if (op->kind != BATCH_DELETE)
            put_bytes(&b->wire, batch_value(b, op));
    }
    return buf_error(&b->wire);
}

void batch_stamp(struct lsm_batch *b, uint64_t first_seq)
{
    store_le64(b->wire.data, first_seq);
}

bool batch_reader_init(struct batch_reader *r, struct slice wire)
{
    r->in = wire;
    r->done = r->n_ranges = 0;
    return get_le64(&r->in, &r->first_seq) && get_varint(&r->in, &r->count) &&
           r->count <= r->in.len && r->first_seq <= IKEY_SEQ_STORED - r->count;
}

int batch_reader_next(struct batch_reader *r, struct batch_entry *e)
{
    uint8_t type;

    if (r->done == r->count)
        return r->in.len ? -EUCLEAN : 0;
    if (!get_u8(&r->in, &type) || type > IKEY_TYPE_LAST || !get_bytes(&r->in, &e->key) ||
        e->key.len > LSM_KEY_MAX)
        return -EUCLEAN;
    e->type = (enum ikey_type)type;
    e->value = slice_of(NULL, 0);
    if (e->type == IKEY_RANGE_DELETE && ++r->n_ranges > LSM_BATCH_RANGES_MAX)
        return -EUCLEAN;
    if (e->type != IKEY_DELETE && !get_bytes(&r->in, &e->value))
        return -EUCLEAN;
    e->seq = r->first_seq + r->done++;
    return 1;
}
