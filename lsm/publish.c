/*
 * publish.c - see publish.h.
 *
 * Before, each thread published its own batch. With more threads than processors one that
 * waited gave its processor away, and was missing as a publisher to all behind it, which
 * waited, too: most of the time went into switching between threads (DESIGN.md).
 */
#include "publish.h"

#include <sched.h>

enum { SPINS = 64 }; /* before the processor is given to others */

static void pause_a_bit(unsigned *spins)
{
    if (++*spins > SPINS)
        sched_yield();
}

static _Atomic uint64_t *note_of(struct publisher *p, uint64_t ticket)
{
    return &p->done[ticket % PUBLISH_NOTES];
}

/*
 * Publish what is done, from the next ticket on. One thread at a time; who comes
 * meanwhile and is overlooked comes again, since it waits to be visible. A note is that
 * of the ticket only if that is still the next one after the look at the note: else it
 * may be of one PUBLISH_NOTES later, whose thread has seen the ticket pass. The numbers
 * are stored before the ticket moves on: who sees it moved stores higher ones.
 */
static void publish_done(struct publisher *p)
{
    uint64_t ticket, last;

    if (atomic_load_explicit(&p->busy, memory_order_relaxed) ||
        atomic_exchange_explicit(&p->busy, true, memory_order_acquire))
        return;
    for (;;) {
        ticket = atomic_load_explicit(&p->next, memory_order_acquire);
        last = atomic_load_explicit(note_of(p, ticket), memory_order_acquire);
        if (!last)
            break;
        if (atomic_load_explicit(&p->next, memory_order_acquire) != ticket)
            continue;
        atomic_store_explicit(note_of(p, ticket), 0, memory_order_relaxed);
        atomic_store_explicit(&p->visible, last, memory_order_release);
        atomic_store_explicit(&p->next, ticket + 1, memory_order_release);
    }
    atomic_store_explicit(&p->busy, false, memory_order_release);
}

/* All before it are visible and it has no note: nobody else gets past its ticket. */
static void publish_at_once(struct publisher *p, uint64_t ticket, uint64_t last)
{
    atomic_store_explicit(&p->visible, last, memory_order_release);
    atomic_store_explicit(&p->next, ticket + 1, memory_order_release);
    if (atomic_load_explicit(note_of(p, ticket + 1), memory_order_relaxed))
        publish_done(p);
}

void publish(struct publisher *p, uint64_t ticket, uint64_t last)
{
    unsigned spins = 0;

    /* The place of the note may still be that of a ticket far before. */
    while (ticket - atomic_load_explicit(&p->next, memory_order_acquire) >= PUBLISH_NOTES)
        pause_a_bit(&spins);
    if (atomic_load_explicit(&p->next, memory_order_acquire) == ticket) {
        publish_at_once(p, ticket, last);
        return;
    }
    atomic_store_explicit(note_of(p, ticket), last, memory_order_release);
    for (;;) {
        publish_done(p);
        if (atomic_load_explicit(&p->visible, memory_order_acquire) >= last)
            return;
        pause_a_bit(&spins);
    }
}

void publish_wait(const struct publisher *p, uint64_t seq)
{
    unsigned spins = 0;

    while (atomic_load_explicit(&p->visible, memory_order_acquire) < seq)
        pause_a_bit(&spins);
}
