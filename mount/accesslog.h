/*
 * accesslog.h - a line for each request while somebody reads them (`siltfs accesslog`),
 *
 *     2026-11-26 01:02:03.123456 uid=0 pid=4711 lookup (1, "name"): ENOENT <0.000012>
 *
 * when it ended, who asked, what of which inode, how it went, and seconds it took. What
 * is asked of `.siltfs` is not in it.
 */
#ifndef MOUNT_ACCESSLOG_H
#define MOUNT_ACCESSLOG_H

#include "../lsm/lsm.h"
#include "meter.h"

struct access_reader;
struct fuse_in_header;

/* -EMFILE: too many read it. */
int access_open(struct meter *m, struct access_reader **out);
void access_close(struct meter *m, struct access_reader *r);
/* Whole lines, appended; waits a second for some. Who reads too slowly misses lines, and
 * is told so. */
int access_read(struct access_reader *r, struct buf *to);

/* For meter_end. */
void access_note(struct meter *m, const struct fuse_in_header *in, size_t len,
                 uint64_t ns, int error);

#endif
