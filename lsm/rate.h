/*
 * rate.h - how fast background work may write: a token bucket on a clock.
 *
 * Compactions call rate_take after what they wrote and sleep there, so that a
 * foreground read or sync finds the disk's queue short. Flushes are never held up.
 * Safe from any thread.
 */
#ifndef LSM_RATE_H
#define LSM_RATE_H

#include <stdatomic.h>

#include "env.h"

#define RATE_UNLIMITED UINT64_MAX

struct rate {
    struct env *env;
    _Atomic uint64_t bytes_per_s;
    _Atomic uint64_t next_ns; /* what was taken is paid for up to here */
    _Atomic uint64_t waited_ns;
};

void rate_init(struct rate *r, struct env *env, uint64_t bytes_per_s);
void rate_set(struct rate *r, uint64_t bytes_per_s);

/* bytes were written: sleep until that is within the rate, a tenth of a second at
 * most: what is still owed then, the next call pays. */
void rate_take(struct rate *r, uint64_t bytes);

/*
 * The automatic rate. user_bytes_per_s: what is being written to the store; debt:
 * the highest score of a level (pick_score). Enough to keep up with that load a few
 * times over, more the more there is to catch up with, and no limit where writers
 * would soon have to wait.
 */
uint64_t rate_automatic(uint64_t user_bytes_per_s, double debt);

#endif
