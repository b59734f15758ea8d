/*
 * lock.c - see lock.h.
 */
#include "lock.h"

#include "env.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef LOCK_CHECK

enum { HELD_MAX = 64 };

static __thread int held[HELD_MAX];
static __thread int n_held;

void lock_note_take(int rank, int nested)
{
    int i;

    for (i = 0; i < n_held; i++) {
        if (held[i] < rank || (held[i] == rank && nested))
            continue;
        fprintf(stderr, "lock order: rank %d taken while holding %d\n", rank, held[i]);
        abort();
    }
    if (n_held == HELD_MAX) {
        fprintf(stderr, "lock order: more than %d locks held\n", HELD_MAX);
        abort();
    }
    held[n_held++] = rank;
}

void lock_note_give(int rank)
{
    int i;

    for (i = n_held - 1; i >= 0; i--) {
        if (held[i] != rank)
            continue;
        held[i] = held[--n_held];
        return;
    }
    fprintf(stderr, "lock order: rank %d given back but not held\n", rank);
    abort();
}

#endif

void mutex_init(struct mutex *m, enum lock_rank rank)
{
    pthread_mutexattr_t attr;

    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&m->m, &attr);
    pthread_mutexattr_destroy(&attr);
    LOCK_RANK_SET(m, rank);
}

void mutex_release(struct mutex *m)
{
    pthread_mutex_destroy(&m->m);
}

void cond_init(pthread_cond_t *c)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attr);
    pthread_condattr_destroy(&attr);
}

int cond_wait_ns(pthread_cond_t *c, struct mutex *m, uint64_t ns)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    ns += (uint64_t)t.tv_nsec;
    t.tv_sec += (time_t)(ns / 1000000000);
    t.tv_nsec = (long)(ns % 1000000000);
    return -pthread_cond_timedwait(c, &m->m, &t);
}

void rwlock_init(struct rwlock *l, enum lock_rank rank)
{
    pthread_rwlock_init(&l->l, NULL);
    LOCK_RANK_SET(l, rank);
}

void rwlock_read_wait(struct rwlock *l)
{
    env_about_to_block();
    pthread_rwlock_rdlock(&l->l);
}

void rwlock_write_wait(struct rwlock *l)
{
    env_about_to_block();
    pthread_rwlock_wrlock(&l->l);
}

void rwlock_release(struct rwlock *l)
{
    pthread_rwlock_destroy(&l->l);
}
