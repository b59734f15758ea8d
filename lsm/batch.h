/*
 * batch.h - the inside of lsm_batch, and its encoded form.
 *
 * While it is filled, a batch is a list of operations whose bytes lie in one
 * buffer (or are borrowed). batch_encode makes the form that the WAL carries
 * and the memtable is fed from. Bytes: FORMAT.md, "Batch".
 */
#ifndef LSM_BATCH_H
#define LSM_BATCH_H

#include "ikey.h"
#include "lsm.h"

enum batch_kind {
    BATCH_PUT,
    BATCH_DELETE,
    BATCH_DELETE_RANGE, /* value: the end */
    BATCH_SHARE,        /* value: the source key */
    BATCH_POINTER,      /* value: an encoded vptr; only inside lsm_write */
};

struct batch_op {
    enum batch_kind kind;
    int8_t vlog;   /* how it is compressed if it is separated, which is at once then: an
                      enum lsm_compression, or -1: nobody said so */
    size_t key_at; /* offsets into bytes, which may move while filling */
    size_t key_len;
    const uint8_t *borrowed; /* the value, when not NULL */
    size_t value_at;
    size_t value_len;
    size_t share_off, share_len;
    uint64_t hash; /* hash_key of the key, from batch_encode on */
};

struct lsm_batch {
    struct buf bytes;
    struct batch_op *ops;
    size_t n, cap;
    size_t user_bytes; /* keys and values */
    size_t n_ranges;   /* of ops: range deletes */
    /* Of the records that its pointers stand for, what stays in hand when they replace
     * what the keys have: db_write.c, "shares". */
    uint64_t kept_bytes;
    bool chooses;      /* the next operations' `vlog`... */
    enum lsm_compression vlog;
    int err;         /* sticky */
    struct buf wire; /* encoded; reused from write to write */
};

enum ikey_type batch_type(const struct batch_op *op);
struct slice batch_key(const struct lsm_batch *b, const struct batch_op *op);
struct slice batch_value(const struct lsm_batch *b, const struct batch_op *op);
/* Replace op's value by bytes that the batch copies. */
void batch_set_value(struct lsm_batch *b, struct batch_op *op, enum batch_kind kind,
                     struct slice value);

/* Into b->wire, with room for the first sequence, which batch_stamp writes. */
int batch_encode(struct lsm_batch *b);
void batch_stamp(struct lsm_batch *b, uint64_t first_seq);

/* One decoded operation, borrowed. */
struct batch_entry {
    enum ikey_type type;
    struct slice key;
    struct slice value;
    uint64_t seq;
};

/* Reads an encoded batch; every byte may be wrong. */
struct batch_reader {
    struct slice in;
    uint64_t first_seq;
    uint64_t count;
    uint64_t done;
    uint64_t n_ranges; /* of them: range deletes */
};

/* False: not a batch. */
bool batch_reader_init(struct batch_reader *r, struct slice wire);
/* 1 with an entry, 0 at the end, -EUCLEAN (unlogged) on damage. */
int batch_reader_next(struct batch_reader *r, struct batch_entry *e);

#endif
