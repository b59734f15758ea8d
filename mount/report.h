/*
 * report.h - statistics in words for people, and as JSON for programs.
 */
#ifndef MOUNT_REPORT_H
#define MOUNT_REPORT_H

#include <stdio.h>

#include "../fs/fs.h"

/* fs NULL: the store holds no filesystem. */
void report_text(FILE *out, const struct fs_stats *fs, const struct lsm_stats *lsm);
void report_json(FILE *out, const struct fs_stats *fs, const struct lsm_stats *lsm);

#endif
