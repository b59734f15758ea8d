/*
 * env_rados_path.h - what a path, "rados:POOL/STORE/DIR/NAME", means.
 */
#ifndef LSM_ENV_RADOS_PATH_H
#define LSM_ENV_RADOS_PATH_H

#include "env_rados_impl.h"

struct rados_place {
    struct names *n;
    uint64_t dir;
    char name[RADOS_NAME_MAX + 1]; /* "" for the pool itself */
};

enum rados_freshness {
    RADOS_CACHED, /* what this process knows will do where it has a lock on the store */
    RADOS_FRESH,  /* ... only where it has one on that directory */
};

/* The directory that holds what path is of, and its name there. -EXDEV: not on RADOS. */
int rados_find_place(const char *path, enum rados_freshness f, struct rados_place *p);
/* The directory that path is. */
int rados_find_dir(const char *path, enum rados_freshness f, struct rados_place *p);
/* The store NAME of a pool, whose stores are in catalog. One that this process has locked
 * keeps its name meanwhile. */
int rados_find_store(struct names *catalog, const char *pool, const char *name,
                     struct names **out);

/* mu of the names is held for the following. */

/* What is in memory of that directory will do, or is read anew. */
int rados_know(struct names *n, uint64_t dir, enum rados_freshness f);
/* NULL: there is none. */
static inline struct entry *rados_entry_of(const struct rados_place *p)
{
    return names_find(p->n, p->dir, p->name);
}

/* -ENOENT, or -EUCLEAN when it is no file or has no record. */
int rados_find_file(const struct rados_place *p, struct node **out);

#endif
