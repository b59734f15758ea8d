/*
 * env_inside.h - an env that passes every call on to another one, and ends the process
 * when a path is not in the directory of the store: whatever a store's files say, they
 * name nothing outside it.
 */
#ifndef TEST_ENV_INSIDE_H
#define TEST_ENV_INSIDE_H

#include "lsm/env.h"

struct env_inside {
    struct env base;
    struct env *to;
    const char *dir;
};

void env_inside_init(struct env_inside *e, struct env *to, const char *dir);

#endif
