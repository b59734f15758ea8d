/*
 * session_impl.h - what session.c and signals.c share.
 */
#ifndef MOUNT_SESSION_IMPL_H
#define MOUNT_SESSION_IMPL_H

#include <fuse_lowlevel.h>
#include <pthread.h>

#include "session.h"

struct worker {
    struct session *session;
    struct worker *next;
    pthread_t thread;
    struct fuse_buf request; /* its memory is kept from one to the next */
    bool hot, busy;          /* the thread's own */
    bool ended;              /* under the session's mu */
};

struct session {
    const struct session_config *config;
    struct fuse_session *fuse;
    unsigned major, minor; /* of the mount: tells it from another at that place */

    struct mutex mu; /* inside all but the log's: the block hook comes with locks held */
    pthread_cond_t wake;
    struct worker *workers; /* only grows, until `over` */
    unsigned count, parked;
    bool role_free; /* nobody is hot: the next thread to ask is */
    bool over;
    int error;
};

/* No more requests: every thread ends after the one it has. */
void session_stop(struct session *s, int error);
/* Is our mount the one to be seen at its mount point? */
bool session_is_mounted(const struct session *s);

/* signals.c: whom the signals end; NULL: nobody any more. */
void session_signals_to(struct session *s);

#endif
