/*
 * near.h - a thread that serves one client on the client's own processor.
 *
 * A client that waits for each answer and its server are never at work at the same time.
 * Yet the scheduler, which sees an idle processor beside a busy one, puts whom it wakes
 * there, twice for each request; waking an idle processor costs more than the request (in
 * a virtual machine 10 us for who wakes it and 10 more for who is woken). It leaves a
 * thread where it was if all else that runs there is of SCHED_IDLE. So the near thread is
 * of that policy, and bound to the processor where its client is.
 *
 * Such a thread gets next to nothing beside an ordinary one. So it is for idle machines
 * only, looks every millisecond whether it had to wait for somebody else than its
 * client, and then gives up. It stays of the policy, since without privileges there is no
 * way back.
 */
#ifndef MOUNT_NEAR_H
#define MOUNT_NEAR_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

struct near {
    timer_t alarm; /* interrupts the thread's read, so that it does not wait for ever */
    uint64_t last_ns; /* when the last request came */
    uint32_t client;  /* a thread's id */
    int cpu;
    uint64_t answered_ns;    /* the last request */
    unsigned apart;          /* requests, one after the other, that were waited for */
    unsigned moves, held_up; /* looks, one after the other, at which it was so */
    uint64_t next_ns;        /* when to look again */
    uint64_t waited_ns, client_ns; /* for a processor, and on one: until the last look */
};

/* Once, on the thread that is to be near; `kick` is a signal whose handler does nothing.
 * False: not possible here. */
bool near_become(struct near *n, int kick);
/* Before that thread ends, if it became near. */
void near_retire(struct near *n);
/* Are half of the processors without work, or more? On the thread that asks. */
bool near_has_room(void);

/*
 * Go to the client; false: it cannot be found, or told what it does. Until near_end the
 * thread is sent its signal now and then: a read that it waits in ends with EINTR.
 */
bool near_begin(struct near *n, uint32_t client, uint64_t now_ns);
void near_end(struct near *n);
/* The request at hand was answered. */
void near_answered(struct near *n, uint64_t now_ns);
/* Was there no request for long? */
bool near_idle(const struct near *n, uint64_t now_ns);
/* With a request at hand: how it goes; cheap until it is time to look. Restless: the
 * client does not settle on a processor. That costs little, and it may well the next
 * time. */
enum near_state { NEAR_WELL, NEAR_GONE, NEAR_RESTLESS, NEAR_FAILED };
enum near_state near_look(struct near *n, uint64_t now_ns);

/* This thread, made by a near one perhaps, is an ordinary one, as far as we may. */
void near_not(void);

#endif
