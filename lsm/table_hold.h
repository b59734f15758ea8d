/*
 * table_hold.h - data blocks that a table's builder holds back until it is known which
 * dictionary they are compressed with. Part of table_builder.c.
 */
#ifndef LSM_TABLE_HOLD_H
#define LSM_TABLE_HOLD_H

#include "compress.h"

struct held_block {
    size_t raw_len; /* in raw */
    size_t key_len; /* in keys; 0: it has no key yet */
};

struct table_hold {
    size_t dict_bytes; /* of one dictionary, at most; 0: nothing is held */
    struct buf raw;    /* the blocks, one after the other */
    struct buf keys;   /* and what the index will say of them */
    struct held_block *block;
    size_t n, cap;
    struct compress_dict *dict; /* the last one made, or NULL */
    struct buf dict_raw;        /* its bytes */
    bool use_dict;              /* for the blocks held now */
    double gain;                /* what of plain bytes was left, when it was made */
    unsigned pause, wait;       /* regions without training after one in vain */
    struct buf scratch;
};

void table_hold_release(struct table_hold *h);

/* Blocks up to this many bytes are held. */
size_t table_hold_max(const struct table_hold *h);
bool table_hold_full(const struct table_hold *h);
/* -ENOMEM. */
int table_hold_add(struct table_hold *h, struct slice raw);
int table_hold_add_key(struct table_hold *h, struct slice ikey);
/* Forget the blocks; the dictionary stays. */
void table_hold_clear(struct table_hold *h);

/*
 * Choose for the blocks held: sets use_dict, and *fresh when dict is a new one, whose
 * bytes (dict_raw) are to be written before the blocks. 0 or -ENOMEM.
 */
int table_hold_choose(struct table_hold *h, bool *fresh);

/* Compress a block as chosen; as compress. */
enum compression table_hold_compress(const struct table_hold *h, struct slice raw,
                                     struct buf *out);

#endif
