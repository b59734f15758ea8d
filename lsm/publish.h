/*
 * publish.h - batches become visible in the order of their numbers, whoever is done
 * first.
 *
 * A batch has a ticket, given out with its numbers. Who is done with one leaves a note;
 * whoever comes by publishes all that are done and follow each other without a gap. So a
 * thread that is put aside while it waits for those before it is in nobody's way: its
 * batch is published by another.
 */
#ifndef LSM_PUBLISH_H
#define LSM_PUBLISH_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { PUBLISH_NOTES = 256 }; /* batches that are done and wait; a power of two */

struct publisher {
    uint64_t tickets; /* given out; under the lock that gives the numbers */
    _Alignas(64) _Atomic uint64_t visible; /* the last number that readers see */
    _Atomic uint64_t next;                 /* the ticket to be published next */
    _Atomic bool busy;                     /* somebody publishes what is done */
    /* Of ticket t at t % PUBLISH_NOTES: its last number once it is done, else 0. */
    _Alignas(64) _Atomic uint64_t done[PUBLISH_NOTES];
};

/* Under the lock that gives the numbers, in their order. */
static inline uint64_t publish_ticket(struct publisher *p)
{
    return p->tickets++;
}

/*
 * The batch of that ticket, whose last number that is, is where readers look.
 * Returns when they see it; for that all before it must come here, too.
 */
void publish(struct publisher *p, uint64_t ticket, uint64_t last);

/* Wait until every batch up to seq is visible. */
void publish_wait(const struct publisher *p, uint64_t seq);

#endif
