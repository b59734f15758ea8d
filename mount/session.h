/*
 * session.h - a mount: made, served by threads until unmounted or signalled,
 * and taken down.
 *
 * A *hot* thread reads requests from the kernel and answers them, with no other thread to
 * wake. There is one, or one for each of several clients (crew.c). About to wait for a
 * disk, it passes the role on and parks after its request (env.h's block hook is
 * session_about_to_wait).
 */
#ifndef MOUNT_SESSION_H
#define MOUNT_SESSION_H

#include "ops.h"

struct session;

struct session_config {
    const char *store;      /* absolute path: the mount's source */
    const char *mountpoint; /* absolute path */
    const struct mount_options *options;
    struct ops *ops;
    /* Called once, by the hot thread, when the kernel has its first answer. */
    void (*ready)(void *arg);
    void *arg;
};

/*
 * From now on SIGTERM, SIGINT and SIGHUP end the session that is there in good
 * order, and kill the process while there is none yet. Once, before the process
 * has other threads, which would take the signals.
 */
int session_catch_signals(struct why *why);

/* Mount. c is borrowed until session_free. One session a process. */
int session_new(const struct session_config *c, struct session **out, struct why *why);
/* Serve until the mount is gone; 0, or the error that ended it early. */
int session_run(struct session *s);
/* Cuts off whoever still uses the mount. Signals do nothing from now on. */
void session_free(struct session *s);

/* On any thread: the request at hand is going to wait. Cheap when not hot. */
void session_about_to_block(void);
/* The same, for what; a lone client's read from a fast disk is waited for in the role. */
void session_about_to_wait(enum env_wait what);
/* The request this thread works on, as the kernel sent it; NULL: not ours. */
const void *session_request(void);

#endif
