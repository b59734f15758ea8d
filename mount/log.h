/*
 * log.h - the log lines of engine, filesystem and libfuse: collected while a
 * store is opened, so that an error can say what the engine found, then sent on.
 */
#ifndef MOUNT_LOG_H
#define MOUNT_LOG_H

#include <stdbool.h>
#include <stddef.h>

/* Take over the process's log lines (err.h) and keep them. Before there is any
 * thread that may log. */
void log_collect(void);
/* Take over libfuse's too. */
void log_libfuse(void);
/* The first line collected; false when there was none. */
bool log_first(char *line, size_t cap);
/* Throw away what was collected, and go on collecting. */
void log_forget(void);

/* From now on, and what was collected, to stderr or to syslog(3). */
void log_to_stderr(void);
void log_to_syslog(void);

#endif
