/*
 * report.h - statistics in words for people, and for programs as JSON and in
 * Prometheus' text format.
 */
#ifndef MOUNT_REPORT_H
#define MOUNT_REPORT_H

#include <stdio.h>

#include "../fs/fs.h"
#include "meter.h"

/* In the JSON, as "format": another number when a member changes its meaning or
 * goes; members may be added without. */
enum { REPORT_FORMAT = 1 };

struct report {
    const char *store;         /* its path */
    const struct fs_stats *fs; /* NULL: it holds no filesystem */
    const struct lsm_stats *lsm;
    const struct meter *meter; /* NULL: it is not mounted */
};

typedef void report_fn(FILE *out, const struct report *r);
report_fn report_text, report_json, report_prometheus;

#endif
