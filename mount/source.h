/*
 * source.h - snapshots made and deleted by whoever has the store open, a mount's daemon
 * or this process; and what other commands read a store from that may be in use.
 */
#ifndef MOUNT_SOURCE_H
#define MOUNT_SOURCE_H

#include "snapshots.h"
#include "target.h"

/* Of a mount: after what programs have written and the kernel has not yet passed on. */
int target_snapshot(const struct target *t, const char *name, struct why *why);
int target_unsnapshot(const struct target *t, const char *name, struct why *why);

/* A directory with a store to which nobody writes. */
struct source {
    struct target target;
    char dir[PATH_MAX];
    char snapshot[SNAPSHOT_NAME_MAX + 1]; /* its name, as far as it is one of a store */
    bool temporary;                       /* the snapshot of a mount, made for this */
};

/* Of STORE|MNT[@SNAPSHOT]. */
int source_open(const char *arg, struct source *s, struct why *why);
int source_close(struct source *s, struct why *why);

#endif
