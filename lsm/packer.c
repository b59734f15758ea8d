/*
 * packer.c - see packer.h. Records are claimed one by one with an atomic counter, so
 * neither thread waits for the other but at the end, for one record at most.
 */
#include "packer.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "lock.h"

enum { WORTH_IT = 384 << 10 }; /* bytes; a thread is awake after some 50 us: 128 KiB */

struct job {
    struct record *r;
    const struct slice *value;
    const enum compression *want;
    unsigned n;
    _Atomic unsigned claimed;
    _Atomic int rc; /* an error */
};

struct packer {
    struct mutex mu; /* LOCK_PACKER; protects what follows */
    pthread_cond_t wanted, done;
    struct job *job; /* somebody's, to be helped with */
    bool helping;    /* the second thread is at it */
    bool started, cannot, closing;
    pthread_t second;
};

/* Until all of them are taken. */
static void work(struct job *j)
{
    unsigned i;

    while ((i = atomic_fetch_add(&j->claimed, 1)) < j->n && !atomic_load(&j->rc)) {
        int rc = record_build(&j->r[i], j->value[i], j->want[i]);

        if (rc)
            atomic_store(&j->rc, rc);
    }
}

static void *second_thread(void *arg)
{
    struct packer *p = arg;
    struct job *j;

    mutex_lock(&p->mu);
    while (!p->closing) {
        if (!p->job) {
            cond_wait(&p->wanted, &p->mu);
            continue;
        }
        j = p->job;
        p->helping = true;
        mutex_unlock(&p->mu);
        work(j);
        mutex_lock(&p->mu);
        p->helping = false;
        p->job = NULL;
        pthread_cond_signal(&p->done);
    }
    mutex_unlock(&p->mu);
    return NULL;
}

int packer_new(struct packer **out)
{
    cpu_set_t ours;
    struct packer *p;

    *out = NULL;
    if (sched_getaffinity(0, sizeof(ours), &ours) < 0 || CPU_COUNT(&ours) < 2)
        return 0;
    p = calloc(1, sizeof(*p));
    if (!p)
        return -ENOMEM;
    mutex_init(&p->mu, LOCK_PACKER);
    pthread_cond_init(&p->wanted, NULL);
    pthread_cond_init(&p->done, NULL);
    *out = p;
    return 0;
}

void packer_free(struct packer *p)
{
    if (!p)
        return;
    mutex_lock(&p->mu);
    p->closing = true;
    pthread_cond_signal(&p->wanted);
    mutex_unlock(&p->mu);
    if (p->started)
        pthread_join(p->second, NULL);
    pthread_cond_destroy(&p->wanted);
    pthread_cond_destroy(&p->done);
    mutex_release(&p->mu);
    free(p);
}

/* False: it helps somebody else, or there is none. */
static bool call_second(struct packer *p, struct job *j)
{
    bool idle;

    mutex_lock(&p->mu);
    if (!p->started && !p->cannot) {
        p->started = pthread_create(&p->second, NULL, second_thread, p) == 0;
        p->cannot = !p->started;
    }
    idle = p->started && !p->job && !p->helping;
    if (idle) {
        p->job = j;
        pthread_cond_signal(&p->wanted);
    }
    mutex_unlock(&p->mu);
    return idle;
}

/* All are taken: it has at most one in hand. */
static void wait_for_second(struct packer *p, const struct job *j)
{
    mutex_lock(&p->mu);
    if (p->job == j && !p->helping)
        p->job = NULL; /* too late for it */
    while (p->job == j)
        cond_wait(&p->done, &p->mu);
    mutex_unlock(&p->mu);
}

static bool is_worth_it(const struct slice *value, const enum compression *want,
                        unsigned n)
{
    size_t bytes = 0;
    unsigned i;

    for (i = 0; i < n; i++)
        bytes += want[i] == COMPRESS_RAW ? 0 : value[i].len;
    return bytes >= WORTH_IT;
}

int packer_build(struct packer *p, struct record *r, const struct slice *value,
                 const enum compression *want, unsigned n)
{
    struct job j = {.r = r, .value = value, .want = want, .n = n};
    bool helped = p && is_worth_it(value, want, n) && call_second(p, &j);

    work(&j);
    if (helped)
        wait_for_second(p, &j);
    return atomic_load(&j.rc);
}
