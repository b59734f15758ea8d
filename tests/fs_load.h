/*
 * fs_load.h - every operation of fs.h at random, on a store in memory (env_mem.h) and on
 * the toy filesystem (fs_model.h) beside it: what crash and fault tests run.
 *
 * The same seed gives the same operations and the same calls to the env, until one fails.
 * An operation that fails for the store's sake (fs_load_died) has not changed the model.
 */
#ifndef FS_LOAD_H
#define FS_LOAD_H

#include "fs/fs.h"
#include "tests/env_mem.h"
#include "tests/fs_model.h"
#include "tests/test.h"

enum fs_load_kind {
    FS_LOAD_FILE,
    FS_LOAD_DIR,
    FS_LOAD_SYMLINK,
    FS_LOAD_FIFO,
    FS_LOAD_LINK,
    FS_LOAD_UNLINK,
    FS_LOAD_RMDIR,
    FS_LOAD_RENAME,
    FS_LOAD_EXCHANGE,
    FS_LOAD_WRITE,
    FS_LOAD_TRUNCATE,
    FS_LOAD_ALLOCATE,
    FS_LOAD_PUNCH,
    FS_LOAD_ZERO,
    FS_LOAD_COLLAPSE,
    FS_LOAD_INSERT,
    FS_LOAD_COPY,
    FS_LOAD_ATTR,
    FS_LOAD_SETXATTR,
    FS_LOAD_REMOVEXATTR,
    FS_LOAD_ACL,
    FS_LOAD_OPEN,  /* its lookup is kept, over unlink too */
    FS_LOAD_CLOSE, /* the last one of an orphan: it goes */
    FS_LOAD_QUOTA, /* of a directory tree: set, or cleared */
    FS_LOAD_SYNC,
    FS_LOAD_KINDS,
};
extern const char *const fs_load_names[FS_LOAD_KINDS];

enum {
    FS_LOAD_OPS = SOAK_SANITIZED ? 400 : 1500,
    FS_LOAD_OPEN_MAX = 3,
    FS_LOAD_SIZE_MAX = 40000
};

struct fs_load {
    struct env *env;
    struct lsm *db;
    struct fs *fs;
    struct model m;
    uint64_t rng;
    unsigned done;          /* operations that were acknowledged, failed ones too */
    unsigned synced;        /* of them, known to be durable */
    enum fs_load_kind kind; /* of the last one */
    unsigned succeeded[FS_LOAD_KINDS];
    struct model_node *opened[FS_LOAD_OPEN_MAX];
};

/* An empty filesystem in a new env_mem. */
void fs_load_begin(struct fs_load *l, uint64_t seed);
/* The store in l->env, and the filesystem in it: 0, or what was in the way of it (then
 * neither is open). */
int fs_load_mount(struct fs_load *l);
/* What unmounting said, or else closing; both are done in any case. */
int fs_load_unmount(struct fs_load *l);
/* Unmount, and free all but the env. */
void fs_load_end(struct fs_load *l);

/* One operation. 0, or what the store's failure made it return. */
int fs_load_step(struct fs_load *l);
/* Is rc of the store, not of the operation? */
bool fs_load_died(int rc);

/* A number for what the model holds: names, types, numbers, sizes, links, contents. */
uint64_t fs_load_model_print(const struct fs_load *l);
/* That of the filesystem itself, read through fs.h. *all (may be NULL) also counts modes,
 * owners, blocks, where data and holes are, and attributes. */
uint64_t fs_load_print(struct fs_load *l, uint64_t *all);
/* fs_check finds nothing. */
void fs_load_check(struct fs_load *l);

#endif
