/*
 * env_cache_file.h - a file of which blocks are kept, for env_cache_file.c, which is its
 * face to the engine, and env_cache_read.c, which knows where a block is to be had.
 */
#ifndef LSM_ENV_CACHE_FILE_H
#define LSM_ENV_CACHE_FILE_H

#include "env_cache_impl.h"

struct cached_file {
    struct env_file base;
    struct cache *c;
    struct env_file *under;
    uint64_t key_seed, page_seed; /* who it is */
    uint64_t size; /* what is before never changes; atomic while it is appended to */
    bool appended;
    bool cut;         /* by a truncate: no more is kept */
    uint64_t pos;     /* of the next append, unless cut */
    struct run *tail; /* what was appended to the block at pos; NULL: it is not kept */
};

/* By which a block of it is found. */
uint64_t cached_block_key(const struct cached_file *f, uint64_t block);

/* Bytes before size, which never change: from the cache, and else from the store, from
 * where they are brought. *got < len only where the store has no more, or on an error. */
int cached_read(struct cached_file *f, uint64_t off, void *to, size_t len, uint64_t size,
                size_t *got);

#endif
