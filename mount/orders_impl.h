/*
 * orders_impl.h - what orders.c and order_commands.c share: an order, and what it
 * answers.
 */
#ifndef MOUNT_ORDERS_IMPL_H
#define MOUNT_ORDERS_IMPL_H

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>

#include "orders.h"

enum { ORDER_BYTES = 4096 }; /* of its line */

struct order {
    struct ops *ops;
    pthread_t thread;
    char line[ORDER_BYTES + 1];
    _Atomic bool off; /* called off */
    uint64_t told_ms;

    pthread_mutex_t mu; /* innermost; over the following */
    pthread_cond_t more;
    bool given, over;
    uint64_t lost; /* lines: there was no room */
    struct buf out;
    size_t taken; /* of out: the reader has it */
};

/* The answers that orders.h names, a line each. A say or a progress that nobody reads
 * may be lost, which is told; end and fail never are. */
void order_say(struct order *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void order_progress(struct order *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void order_end(struct order *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void order_refuse(struct order *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* For who says much and holds no lock: wait until the reader has taken some of it. False:
 * it was called off. */
bool order_await_room(struct order *r);

/* ---- order_commands.c ---- */

/* Do it, and answer; in the order's own thread. It ends soon after r->off is set. */
void order_run(struct order *r, const char *command, char *arguments);

#endif
