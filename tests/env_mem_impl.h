/*
 * env_mem_impl.h - the env itself, for env_mem.c (the calls) and
 * env_mem_control.c (what tests do to it).
 */
#ifndef ENV_MEM_IMPL_H
#define ENV_MEM_IMPL_H

#include <pthread.h>

#include "env_mem_tree.h"

enum { MEM_NAME = 64 };

struct env_mem {
    struct env base;
    pthread_mutex_t mu; /* no rank: innermost */
    struct mem_tree tree;
    struct env_lock *locks;
    uint64_t rng;
    unsigned open_files;
    uint64_t space;
    uint64_t slept_ns;

    uint64_t calls;
    uint64_t calls_left; /* before all fail */
    uint64_t fail_in;    /* 0: no fault is ordered */
    int fail_err;
    unsigned fail_kinds;
    enum env_mem_how fail_how;
    char fail_only[MEM_NAME]; /* "": any file */
    uint64_t failures;
    env_mem_watch_fn *watch; /* or NULL */
    void *watch_arg;
};

struct env_lock {
    struct env_lock *next;
    struct mem_node *node;
    bool shared;
};

extern const struct env_ops env_mem_ops;

static inline struct env_mem *mem_env(struct env *e)
{
    return (struct env_mem *)e;
}

static inline void mem_lock(struct env_mem *m)
{
    pthread_mutex_lock(&m->mu);
}

static inline int mem_unlock(struct env_mem *m, int rc)
{
    pthread_mutex_unlock(&m->mu);
    return rc;
}

/* The lock is held. dir, if path has one, is told also when there is no such name. */
int mem_find_locked(struct env_mem *m, const char *path, struct mem_node **dir,
                    const char **name, struct mem_node **node);

#endif
