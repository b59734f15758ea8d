/*
 * within.h - PATH, an argument of some commands: a file or directory of a mount, named to
 * its daemon by its inode's number. It is held open meanwhile, so that the daemon knows
 * the inode.
 */
#ifndef MOUNT_WITHIN_H
#define MOUNT_WITHIN_H

#include <limits.h>
#include <stdint.h>

#include "say.h"

struct within {
    char mountpoint[PATH_MAX];
    uint64_t ino;
    int fd;
};

/* Close it when that returned 0. */
int within_open(const char *arg, struct within *w, struct why *why);
void within_close(struct within *w);

#endif
