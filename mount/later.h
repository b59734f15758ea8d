/*
 * later.h - requests whose answer has to wait, and the thread that read them does not:
 * whoever finds out answers them. They are counted and logged then, as the others are at
 * their end. A session ends after the last of them was answered.
 *
 *     l = later_begin(req);
 *     if (l)
 *         fs_fsync_notify(fs, ino, &l->sync);
 */
#ifndef MOUNT_LATER_H
#define MOUNT_LATER_H

#include <fuse_lowlevel.h>
#include <linux/fuse.h>

#include "../lsm/lsm.h"

struct session;

struct later {
    struct lsm_sync_request sync; /* whose end is the answer: it frees this */
    struct session *session;
    fuse_req_t req;
    uint64_t begun_ns;
    struct fuse_in_header header; /* of the request */
};

/* The request that this thread works on, req, is answered later. NULL: no memory, or it
 * is not a session's; it is answered at once as ever. */
struct later *later_begin(fuse_req_t req);

#endif
