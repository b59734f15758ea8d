/*
 * target.h - STORE|MNT, an argument of many commands: a store at rest, or one that a
 * mount serves, named by either. One that is mounted read only counts as at rest: its
 * daemon takes no orders, and others may read it, too.
 */
#ifndef MOUNT_TARGET_H
#define MOUNT_TARGET_H

#include <limits.h>
#include <stdbool.h>

#include "mountinfo.h"
#include "say.h"

struct target {
    char store[PATH_MAX];
    bool mounted;
    char mountpoint[PATH_MAX]; /* if mounted */
};

int target_resolve(const char *arg, struct target *t, struct why *why);

#endif
