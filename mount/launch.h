/*
 * launch.h - become a daemon such that the shell hears how it went: the command
 * returns when the daemon says that it is ready, or why it never will be.
 */
#ifndef MOUNT_LAUNCH_H
#define MOUNT_LAUNCH_H

#include <stdbool.h>

#include "say.h"

struct launch;

/* The daemon's work, start to end; it calls one of the two below once, unless
 * it dies first. Returns the exit code of its process. */
typedef int serve_fn(struct launch *l, void *arg);

/*
 * Run serve: in the foreground in this process, else in a new one without
 * terminal. Returns the exit code for the shell. Before there are threads.
 */
int launch(bool foreground, serve_fn *serve, void *arg);

/* Let the shell go on; the log goes to syslog (foreground: stderr) from now on. */
void launch_ready(struct launch *l);
/* Tell the shell the reason; returns 1. Once ready, the reason is logged. */
int launch_failed(struct launch *l, const struct why *why);

#endif
