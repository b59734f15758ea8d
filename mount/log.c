/*
 * log.c - see log.h.
 *
 * One sink serves from start to end and looks where to write: err_set_sink is
 * not for changing while the engine's threads may log.
 */
#include "log.h"

#include <fuse_lowlevel.h>
#include <stdarg.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "../lsm/lsm.h"

enum where { COLLECT, TO_STDERR, TO_SYSLOG };

enum { KEEP_LINES = 64, LINE_BYTES = 1024 };

/* Innermost of all locks: the sink is called with any of ours held. */
static struct mutex mu = MUTEX_INITIALIZER(LOCK_LOG);
static enum where where;
static char *kept[KEEP_LINES];
static unsigned kept_count;

static void emit_locked(const char *line)
{
    if (where == TO_SYSLOG)
        syslog(LOG_NOTICE, "%s", line);
    else
        fprintf(stderr, "siltfs: %s\n", line);
}

static void sink(void *arg, const char *line)
{
    mutex_lock(&mu);
    if (where != COLLECT)
        emit_locked(line);
    else if (kept_count < KEEP_LINES && (kept[kept_count] = strdup(line)))
        kept_count++;
    mutex_unlock(&mu);
}

/* libfuse ends its lines with a newline, and begins them with its name. */
static void fuse_sink(enum fuse_log_level level, const char *fmt, va_list ap)
{
    char line[LINE_BYTES];
    size_t len;

    if (level > FUSE_LOG_WARNING)
        return;
    vsnprintf(line, sizeof(line), fmt, ap);
    len = strlen(line);
    while (len && line[len - 1] == '\n')
        line[--len] = '\0';
    sink(NULL, line);
}

void log_collect(void)
{
    mutex_lock(&mu);
    where = COLLECT;
    mutex_unlock(&mu);
    err_set_sink(sink, NULL);
}

void log_libfuse(void)
{
    fuse_set_log_func(fuse_sink);
}

bool log_first(char *line, size_t cap)
{
    bool any;

    mutex_lock(&mu);
    any = kept_count > 0;
    if (any)
        snprintf(line, cap, "%s", kept[0]);
    mutex_unlock(&mu);
    return any;
}

static void drop_locked(void)
{
    while (kept_count)
        free(kept[--kept_count]);
}

void log_forget(void)
{
    mutex_lock(&mu);
    drop_locked();
    mutex_unlock(&mu);
}

static void go_to(enum where to)
{
    unsigned i;

    mutex_lock(&mu);
    where = to;
    for (i = 0; i < kept_count; i++)
        emit_locked(kept[i]);
    drop_locked();
    mutex_unlock(&mu);
}

void log_to_stderr(void)
{
    go_to(TO_STDERR);
}

void log_to_syslog(void)
{
    openlog("siltfs", LOG_PID, LOG_DAEMON);
    go_to(TO_SYSLOG);
}
