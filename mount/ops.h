/*
 * ops.h - FUSE requests to calls of fs/fs.h, and their results to FUSE replies:
 * thin, and the only place that replies.
 *
 * Who may do what is the kernel's business (default_permissions). No lock of
 * ours is held when a reply is sent: it may let another thread take the last
 * reference to an inode.
 */
#ifndef MOUNT_OPS_H
#define MOUNT_OPS_H

#include <fuse_lowlevel.h>
#include <stdatomic.h>

#include "meter.h"
#include "options.h"

struct browse;
struct evict;
struct control_node;

enum { OPS_LOOKUPS = 256 };

/* What the operations work on; the userdata of the session. */
struct ops {
    struct fs *fs;
    const struct mount_options *options; /* as mounted; of lsm, what holds: */
    struct lsm_options lsm;              /* settings.c */
    struct fuse_session *session;        /* set by session_new */
    uid_t uid;                           /* who mounted: the control files are theirs */
    gid_t gid;
    struct timespec mounted;
    struct browse *browse;      /* of the snapshots; NULL: they are not shown */
    struct evict *evict;        /* of what fs/ notes there; NULL: it notes nothing */
    struct control_node *nodes; /* control.c */
    uint64_t next_node;
    struct meter meter;                    /* of the requests */
    bool ready;                            /* INIT was answered */
    _Atomic uint32_t lookups[OPS_LOOKUPS]; /* requests, by the directory's number */
};

/* Of a zeroed struct: fs and options are borrowed. */
void ops_init(struct ops *o, struct fs *fs, const struct mount_options *options);

/* What this thread last answered with an error, a positive errno, since it was asked. */
int ops_take_error(void);

extern const struct fuse_lowlevel_ops ops_table;

#endif
