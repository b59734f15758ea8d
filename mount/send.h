/*
 * send.h - a snapshot into a stream (stream.h), and out of it into a directory of
 * snapshots.
 */
#ifndef MOUNT_SEND_H
#define MOUNT_SEND_H

#include <limits.h>

#include "../lsm/lsm.h"
#include "say.h"

struct send {
    const char *from;      /* the snapshot's directory: a store that nobody writes to */
    const char *name;      /* what it is called where it is received */
    const char *base;      /* NULL, or the directory of one that the receiver has... */
    const char *base_name; /* ...under this name */
    int fd;                /* borrowed */
    lsm_progress_fn *progress;
    void *arg;
    uint64_t bytes; /* result: sent */
};

int send_snapshot(struct send *s, struct why *why);

struct receive {
    const char *store;         /* it becomes store/snapshots/NAME */
    int fd;                    /* borrowed */
    lsm_progress_fn *progress; /* total is 0: nobody knows */
    void *arg;
    char name[256]; /* results */
    uint64_t bytes;
};

/* Whole, synced and found to be a store, or not at all. -EEXIST: there is one of its
 * name; what was left of one that was cut off is received anew. */
int receive_snapshot(struct receive *r, struct why *why);

#endif
