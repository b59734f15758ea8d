/*
 * report.c - see report.h.
 */
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>

static void limits_text(FILE *out, const struct fs_stats *fs)
{
    fprintf(out, "limits: %" PRIu64 " bytes used of ", fs->used_bytes);
    if (fs->limits.bytes)
        fprintf(out, "%" PRIu64, fs->limits.bytes);
    else
        fprintf(out, "any number");
    if (fs->limits.inodes)
        fprintf(out, ", at most %" PRIu64 " inodes", fs->limits.inodes);
    fprintf(out, "\n");
}

void report_text(FILE *out, const struct report *r)
{
    if (r->fs)
        fprintf(out,
                "filesystem: %" PRIu64 " inodes, %" PRIu64 " live in memory, %" PRIu64
                " orphans removed at this mount\n",
                r->fs->inodes, r->fs->live_inodes, r->fs->orphans_removed);
    if (r->fs && (r->fs->limits.bytes || r->fs->limits.inodes))
        limits_text(out, r->fs);
    lsm_print_stats(r->lsm, out);
}

void report_json(FILE *out, const struct report *r)
{
    fprintf(out, "{\n\"format\": %d,\n", REPORT_FORMAT);
    if (r->fs)
        fprintf(out,
                "\"filesystem\": {\"inodes\": %" PRIu64 ", \"live_inodes\": %" PRIu64
                ", \"orphans_removed\": %" PRIu64 ", \"used_bytes\": %" PRIu64
                ", \"limit_bytes\": %" PRIu64 ", \"limit_inodes\": %" PRIu64 "},\n",
                r->fs->inodes, r->fs->live_inodes, r->fs->orphans_removed,
                r->fs->used_bytes, r->fs->limits.bytes, r->fs->limits.inodes);
    fprintf(out, "\"engine\": ");
    lsm_print_stats_json(r->lsm, out);
    fprintf(out, "}\n");
}

static void gauge(FILE *out, const char *name, const char *labels, const char *help,
                  uint64_t value)
{
    fprintf(out,
            "# HELP siltfs_%s %s\n# TYPE siltfs_%s gauge\nsiltfs_%s{%s} %" PRIu64 "\n",
            name, help, name, name, labels, value);
}

void report_prometheus(FILE *out, const struct report *r)
{
    const struct fs_stats *fs = r->fs;
    char *labels = NULL;
    size_t len;
    FILE *text = open_memstream(&labels, &len);

    if (!text)
        return; /* no memory, no samples: a gap in somebody's graph */
    lsm_print_label("store", r->store, text);
    if (fclose(text) == 0) {
        if (fs) {
            gauge(out, "inodes", labels, "Inodes of the filesystem.", fs->inodes);
            gauge(out, "live_inodes", labels, "Inodes in memory.", fs->live_inodes);
            gauge(out, "orphans_removed", labels, "Orphans removed at this mount.",
                  fs->orphans_removed);
            gauge(out, "used_bytes", labels, "Used of the limit; 0 without one.",
                  fs->used_bytes);
            gauge(out, "limit_bytes", labels, "What may be used; 0: no limit.",
                  fs->limits.bytes);
            gauge(out, "limit_inodes", labels, "Inodes that there may be; 0: no limit.",
                  fs->limits.inodes);
        }
        lsm_print_stats_prometheus(r->lsm, labels, out);
    }
    free(labels);
}
