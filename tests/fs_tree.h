/*
 * fs_tree.h - a small tree with everything that a filesystem can hold, on a disk in
 * memory, and copies of that disk to damage.
 */
#ifndef FS_TREE_H
#define FS_TREE_H

#include "env_mem.h"
#include "fs_dump.h"

/* Its inodes, by number; "/d/g2" is entry T_LINK. */
enum {
    T_DIR = 16, /* /d */
    T_SUB,      /* /d/sub */
    T_DEEP,     /* /d/sub/deep */
    T_FILE,     /* /f: two small extents in a run, an attribute */
    T_LINKED,   /* /g and /d/g2 */
    T_LINK,
    T_SYMLINK,   /* /l */
    T_DEVICE,    /* /dev */
    T_FIFO,      /* /fifo */
    T_BIG,       /* /big: three extents */
    T_SET,       /* /set: an unwritten range beyond its end */
    T_ACL,       /* /acl: access and default ACL */
    T_HEIR,      /* /acl/x inherits them */
    T_HOLES,     /* /holes: contents, hole, contents */
    T_SOCKET,    /* /sock */
    T_EMPTY,     /* /empty */
    T_P,         /* /p, */
    T_Q,         /* /q: files */
    T_HOLLOW,    /* /hollow: a directory with nothing in it */
    T_ORPHAN,    /* no name: 7 bytes of contents, noted under O */
    T_FREE = 40, /* a number that is not given out */
};

struct tree {
    struct env *made; /* never written to again */
    struct env *env;  /* the copy in use */
    struct lsm *db;   /* open on it */
    struct dump was;  /* the tree as it was made */
};

void tree_init(struct tree *t);
void tree_release(struct tree *t);

/* A fresh copy, open; without mounting. */
void tree_copy(struct tree *t);
void tree_close(struct tree *t);
/* Open a store on env as the copies are. */
struct lsm *tree_open(struct env *env);
/* The same, with what lsm_open returns. */
int tree_try_open(struct env *env, struct lsm **db);
int tree_lsm_repair(struct env *env);
/* Mount (for reading only: orphans stay), and dump. */
void tree_dump(struct tree *t, struct dump *d);

#endif
