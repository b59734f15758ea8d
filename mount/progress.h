/*
 * progress.h - how far long work is: a line on stderr that is rewritten, if that is a
 * terminal.
 */
#ifndef MOUNT_PROGRESS_H
#define MOUNT_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* Zeroed is one that begins at its first call. */
struct progress {
    bool begun, shown;
    uint64_t begun_ms, shown_ms, first_done;
};

/* done of about total bytes; 0: nobody knows of how many. */
void progress_show(struct progress *p, uint64_t done, uint64_t total);
/* From now on SIGINT and SIGTERM do not end the process the first time: what has to be
 * cleared up can be. 0, or -ECANCELED after one. */
void progress_catch_signals(void);
int progress_canceled(void);
/* Before something else is written; it comes back by itself. */
void progress_clear(struct progress *p);

#endif
