/*
 * ask.h - a command to the daemon of a mount, by its file `.siltfs/command`: the other
 * side of orders.h.
 */
#ifndef MOUNT_ASK_H
#define MOUNT_ASK_H

#include <stdbool.h>
#include <stdint.h>

#include "say.h"

struct ask {
    void (*say)(void *arg, const char *text);
    void (*progress)(void *arg, uint64_t done, uint64_t total, uint64_t where);
    bool (*go_on)(void *arg); /* asked about each second; false calls it off */
    void *arg;
};

/*
 * Give the order and hear it to the end. *status: what it ended with. 0; -ECANCELED:
 * called off; or why it could not be done, in why.
 */
int ask(const char *mountpoint, const char *order, const struct ask *a, int *status,
        struct why *why);

#endif
