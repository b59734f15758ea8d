/*
 * report.c - see report.h.
 */
#include "report.h"

#include <inttypes.h>
#include <stdlib.h>

void report_text(FILE *out, const struct report *r)
{
    if (r->fs)
        fprintf(out,
                "filesystem: %" PRIu64 " inodes, %" PRIu64 " live in memory, %" PRIu64
                " orphans removed at this mount\n",
                r->fs->inodes, r->fs->live_inodes, r->fs->orphans_removed);
    lsm_print_stats(r->lsm, out);
}

void report_json(FILE *out, const struct report *r)
{
    fprintf(out, "{\n\"format\": %d,\n", REPORT_FORMAT);
    if (r->fs)
        fprintf(out,
                "\"filesystem\": {\"inodes\": %" PRIu64 ", \"live_inodes\": %" PRIu64
                ", \"orphans_removed\": %" PRIu64 "},\n",
                r->fs->inodes, r->fs->live_inodes, r->fs->orphans_removed);
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
        }
        lsm_print_stats_prometheus(r->lsm, labels, out);
    }
    free(labels);
}
