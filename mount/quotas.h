/*
 * quotas.h - quotas of directory trees, as the daemon tells them and commands show them.
 */
#ifndef MOUNT_QUOTAS_H
#define MOUNT_QUOTAS_H

#include <stdbool.h>

#include "../fs/fs.h"

/* What a change leaves as it is. */
#define QUOTA_KEEP UINT64_MAX

enum { QUOTA_LINE = 160 }; /* without the path */

/* A quota as a line that a daemon says, and back. *path borrows from line; false: that is
 * none. */
void quota_line(const struct fs_quota *q, char line[QUOTA_LINE]);
bool quota_line_parse(const char *line, struct fs_quota *q, const char **path);

/* Set the quota of directory ino, where limits says to; or clear it. As fs_quota_set and
 * fs_quota_clear; -ENODATA when there is nothing to keep. */
int quota_change(struct fs *fs, uint64_t ino, const struct fs_limits *limits);
/* Is that over? -ENODATA, or what it is: 0. */
int quota_own(struct fs *fs, uint64_t ino, struct fs_quota *q);
/* Why that failed, for people. */
const char *quota_why(int err);

#endif
