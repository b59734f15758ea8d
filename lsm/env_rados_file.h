/*
 * env_rados_file.h - an open file of a store on RADOS: what env_rados_file.c, which
 * writes, and env_rados_read.c share.
 */
#ifndef LSM_ENV_RADOS_FILE_H
#define LSM_ENV_RADOS_FILE_H

#include "env_rados_impl.h"

struct rados_handle {
    struct env_file base;
    struct node *node;
    bool writer;
    bool used;            /* something was appended */
    uint64_t preallocate; /* asked for */
    /* What was asked for by readahead: one piece. */
    struct mutex ahead_mu;
    uint64_t ahead_off;
    size_t ahead_len;
    size_t ahead_cap;  /* bytes of memory */
    size_t ahead_left; /* of it, not taken yet: then it goes */
    uint8_t *ahead;
    rados_completion_t ahead_done;
};

static inline struct rados_handle *rados_handle_of(struct env_file *f)
{
    return (struct rados_handle *)f;
}

/* As it is now; it changes under both locks. */
static inline struct rados_file rados_node_rec(struct node *node)
{
    struct rados_file rec;

    mutex_lock(&node->mu);
    rec = node->rec;
    mutex_unlock(&node->mu);
    return rec;
}

/* ---- env_rados_read.c: members of env_file_ops ---- */

int rados_file_pread(struct env_file *file, uint64_t off, void *to, size_t len,
                     size_t *got);
void rados_file_readahead(struct env_file *file, uint64_t off, size_t len);
void rados_file_forget(struct env_file *file, uint64_t off, size_t len);
int rados_file_identity(struct env_file *file, uint8_t id[ENV_IDENTITY]);
int rados_file_size(struct env_file *file, uint64_t *size);

/* What was read ahead is not wanted. ahead_mu is held, or nobody else has f. */
void rados_drop_ahead(struct rados_handle *f);

#endif
