/*
 * quotas.c - see quotas.h.
 */
#include "quotas.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void quota_line(const struct fs_quota *q, char line[QUOTA_LINE])
{
    snprintf(line, QUOTA_LINE,
             "%d %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " ",
             (int)q->state, q->dir, q->limits.bytes, q->limits.inodes, q->used.bytes,
             q->used.inodes);
}

bool quota_line_parse(const char *line, struct fs_quota *q, const char **path)
{
    int state, at = 0;

    if (sscanf(line, "%d %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %n",
               &state, &q->dir, &q->limits.bytes, &q->limits.inodes, &q->used.bytes,
               &q->used.inodes, &at) != 6 ||
        !at)
        return false;
    q->state = (enum fs_quota_state)state;
    *path = line + at;
    return true;
}

int quota_own(struct fs *fs, uint64_t ino, struct fs_quota *q)
{
    int err = fs_quota_get(fs, ino, q);

    return !err && q->dir != ino ? -ENODATA : err;
}

int quota_change(struct fs *fs, uint64_t ino, const struct fs_limits *limits)
{
    struct fs_limits to = *limits;
    struct fs_quota now;
    int err = quota_own(fs, ino, &now);

    if (err && err != -ENODATA)
        return err;
    if (err)
        now.limits = (struct fs_limits){0, 0};
    if (to.bytes == QUOTA_KEEP)
        to.bytes = now.limits.bytes;
    if (to.inodes == QUOTA_KEEP)
        to.inodes = now.limits.inodes;
    return fs_quota_set(fs, ino, &to);
}

const char *quota_why(int err)
{
    switch (err) {
    case -ENODATA:
        return "it has no quota; `siltfs quota list` shows which directories have";
    case -EBUSY:
        return "its quota is just being set or cleared; try again in a moment";
    case -ENOTDIR:
        return "it is no directory; a quota is for a directory and all that is in it";
    case -EUCLEAN:
        return "its records are damaged; `siltfs fsck` tells more";
    default:
        return strerror(-err);
    }
}
