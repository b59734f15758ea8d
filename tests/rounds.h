/*
 * rounds.h - small stores whose keys are written round by round, each round with values
 * of its own, for the tests of checkpoints, clones and rollbacks.
 */
#ifndef ROUNDS_H
#define ROUNDS_H

#include "tests/test.h"

/* Some hundred keys fill several tables and segments. No threads, no create. */
struct lsm_options rounds_options(struct env *env);
struct slice rounds_key(int i, char to[16]);
/* Every fourth one is separated. */
struct slice rounds_value(int i, int round, uint8_t to[2048]);

#endif
