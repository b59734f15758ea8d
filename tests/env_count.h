/*
 * env_count.h - an env that passes every call on to another one, and counts what is read
 * of files: for what is to spare a slow store. It can be slow itself, and fail.
 */
#ifndef TEST_ENV_COUNT_H
#define TEST_ENV_COUNT_H

#include <stdatomic.h>

#include "lsm/env.h"

struct env_count {
    struct env base;
    struct env *to;
    atomic_uint preads, readaheads; /* of tables and segments */
    atomic_uint writebacks;         /* of all files */
    void (*writes_back)(void);      /* called in each of them; may be NULL */
    _Atomic uint64_t bytes;
    uint64_t delay_ns;  /* of a pread */
    int error;          /* that a pread returns */
    bool garbles;       /* what it reads has other bytes */
    bool knows_created; /* a new file has an identity from the start: its path */
};

void env_count_init(struct env_count *e, struct env *to);

#endif
