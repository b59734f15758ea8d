/*
 * err.c - see err.h.
 */
#include "err.h"

#include <stdarg.h>
#include <stdio.h>
#include <inttypes.h>

enum { LINE_MAX_BYTES = 1024 };

static void to_stderr(void *arg, const char *line)
{
    (void)arg;
    fprintf(stderr, "siltfs: %s\n", line);
}

static err_sink_fn *sink = to_stderr;
static void *sink_arg;

void err_set_sink(err_sink_fn *fn, void *arg)
{
    sink = fn ? fn : to_stderr;
    sink_arg = arg;
}

void err_log(const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    sink(sink_arg, line);
}

int err_corrupt(const char *path, uint64_t offset, const char *fmt, ...)
{
    char why[LINE_MAX_BYTES / 2];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(why, sizeof(why), fmt, ap);
    va_end(ap);
    err_log("%s: damaged at offset %" PRIu64 ": %s", path, offset, why);
    return -EUCLEAN;
}
