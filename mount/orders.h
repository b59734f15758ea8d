/*
 * orders.h - `.siltfs/command`: work that a mount is told to do while it serves.
 *
 * For root and whoever mounted; what each command is: the table in order_commands.c. Who
 * gives an order makes the file (O_RDWR | O_CREAT; each time it is another, and no
 * listing shows it), writes one line, a command and its arguments, and reads lines until
 * the end of the file:
 *
 *     say TEXT                    for the user
 *     progress DONE TOTAL WHERE   numbers; WHERE is the command's own
 *     end STATUS                  it is over: an exit code
 *     fail TEXT                   instead: it could not be done
 *     (an empty line)             it is still at it
 *
 * To close the file is to call the order off. Each has a thread of its own, so that the
 * threads that serve requests are not held up; what it reads and writes it does as any
 * user of fs.h would.
 */
#ifndef MOUNT_ORDERS_H
#define MOUNT_ORDERS_H

#include "ops.h"

#define ORDERS_NAME "command"

struct order;

/* May this asker give orders? */
bool order_allowed(const struct ops *o, uid_t uid);

int order_new(struct ops *o, struct order **out);
/* The line. -EBUSY: there was one already; -EINVAL: none, or more than one. */
int order_give(struct order *r, struct slice line);
/* What there is to read, up to len bytes; waits a second for it. *got 0: no more. */
int order_read(struct order *r, void *to, size_t len, size_t *got);
/* Calls it off, and waits for that. */
void order_free(struct order *r);

#endif
