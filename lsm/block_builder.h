/*
 * block_builder.h - writing a block. Bytes: FORMAT.md, "Block".
 */
#ifndef LSM_BLOCK_BUILDER_H
#define LSM_BLOCK_BUILDER_H

#include "ikey.h"

struct block_builder {
    struct buf data;
    struct buf last_key;
    struct buf restarts; /* le32 each */
    unsigned restart_interval;
    unsigned since_restart; /* entries */
    size_t restart_at;      /* the last one */
    unsigned count;
};

/* A restart point comes after restart_interval entries, or BLOCK_RESTART_BYTES,
 * with the next user key. */
enum { BLOCK_RESTART_BYTES = 256 };
void block_builder_init(struct block_builder *bb, unsigned restart_interval);
void block_builder_release(struct block_builder *bb);
/* Empty it for the next block, keeping its memory. */
void block_builder_reset(struct block_builder *bb);

/* Keys strictly ascending in ikey_cmp order. */
void block_builder_add(struct block_builder *bb, struct slice key, struct slice value);
/* Bytes that block_builder_finish would give now. */
size_t block_builder_size(const struct block_builder *bb);
/* The finished block, borrowed until reset or release. -ENOMEM. */
int block_builder_finish(struct block_builder *bb, struct slice *out);

#endif
