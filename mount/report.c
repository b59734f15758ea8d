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

static void meter_text(FILE *out, const struct meter *m)
{
    struct meter_row r;
    unsigned i;

    fprintf(out, "contents read %.1f MiB, written %.1f MiB\n",
            (double)atomic_load(&m->read_bytes) / 1048576,
            (double)atomic_load(&m->write_bytes) / 1048576);
    fprintf(out, "%-16s %12s %8s %10s %10s %10s %10s\n", "requests", "count", "failed",
            "mean us", "p50 us", "p99 us", "max us");
    for (i = 0; i < METER_KINDS; i++)
        if (meter_row(m, i, &r))
            fprintf(out, "%-16s %12" PRIu64 " %8" PRIu64 " %10.1f %10.1f %10.1f %10.1f\n",
                    r.name, r.count, r.failed, (double)r.mean_ns / 1e3,
                    (double)r.p50_ns / 1e3, (double)r.p99_ns / 1e3,
                    (double)r.max_ns / 1e3);
}

static void meter_json(FILE *out, const struct meter *m)
{
    const char *comma = "";
    struct meter_row r;
    unsigned i;

    fprintf(out, "\"read_bytes\": %" PRIu64 ", \"write_bytes\": %" PRIu64 ",\n",
            atomic_load(&m->read_bytes), atomic_load(&m->write_bytes));
    fprintf(out, "\"requests\": {");
    for (i = 0; i < METER_KINDS; i++) {
        if (!meter_row(m, i, &r))
            continue;
        fprintf(out,
                "%s\n\"%s\": {\"count\": %" PRIu64 ", \"failed\": %" PRIu64
                ", \"sum_ns\": %" PRIu64 ", \"p50_ns\": %" PRIu64 ", \"p99_ns\": %" PRIu64
                ", \"max_ns\": %" PRIu64 "}",
                comma, r.name, r.count, r.failed, r.sum_ns, r.p50_ns, r.p99_ns, r.max_ns);
        comma = ",";
    }
    fprintf(out, "},\n");
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
    if (r->meter)
        meter_text(out, r->meter);
    lsm_print_stats(r->lsm, out);
}

static void json_string(FILE *out, const char *s)
{
    fputc('"', out);
    for (; *s; s++) {
        if ((unsigned char)*s < ' ' || *s == '"' || *s == '\\' || *s == 127)
            fprintf(out, "\\u%04x", (unsigned char)*s);
        else
            fputc(*s, out);
    }
    fputc('"', out);
}

void report_json(FILE *out, const struct report *r)
{
    fprintf(out, "{\n\"format\": %d,\n", REPORT_FORMAT);
    fputs("\"store\": ", out);
    json_string(out, r->store);
    fputs(",\n", out);
    if (r->fs)
        fprintf(out,
                "\"filesystem\": {\"inodes\": %" PRIu64 ", \"live_inodes\": %" PRIu64
                ", \"orphans_removed\": %" PRIu64 ", \"used_bytes\": %" PRIu64
                ", \"limit_bytes\": %" PRIu64 ", \"limit_inodes\": %" PRIu64 "},\n",
                r->fs->inodes, r->fs->live_inodes, r->fs->orphans_removed,
                r->fs->used_bytes, r->fs->limits.bytes, r->fs->limits.inodes);
    if (r->meter)
        meter_json(out, r->meter);
    fprintf(out, "\"engine\": ");
    lsm_print_stats_json(r->lsm, out);
    fprintf(out, "}\n");
}

static void value(FILE *out, const char *type, const char *name, const char *labels,
                  const char *help, uint64_t n)
{
    fprintf(out, "# HELP siltfs_%s %s\n# TYPE siltfs_%s %s\nsiltfs_%s{%s} %" PRIu64 "\n",
            name, help, name, type, name, labels, n);
}

static void counter(FILE *out, const char *name, const char *labels, const char *help,
                    uint64_t n)
{
    value(out, "counter", name, labels, help, n);
}

static void gauge(FILE *out, const char *name, const char *labels, const char *help,
                  uint64_t n)
{
    value(out, "gauge", name, labels, help, n);
}

static void sample(FILE *out, const char *name, const char *labels, const char *kind,
                   double value)
{
    fprintf(out, "siltfs_%s{%s%skind=\"%s\"} %.9f\n", name, labels, *labels ? "," : "",
            kind, value);
}

/* Three families, each of all kinds together, as the format wants it. */
static void meter_prometheus(FILE *out, const struct meter *m, const char *labels)
{
    static const struct {
        const char *name, *help;
    } family[] = {
        {"requests_total", "Requests of the kernel that were served."},
        {"requests_failed_total", "Those that were answered with an error."},
        {"request_seconds_total", "Time that serving them took."},
    };
    struct meter_row r;
    unsigned f, i;

    counter(out, "read_bytes_total", labels, "Bytes of contents read.",
            atomic_load(&m->read_bytes));
    counter(out, "write_bytes_total", labels, "Bytes of contents written.",
            atomic_load(&m->write_bytes));
    for (f = 0; f < 3; f++) {
        fprintf(out, "# HELP siltfs_%s %s\n# TYPE siltfs_%s counter\n", family[f].name,
                family[f].help, family[f].name);
        for (i = 0; i < METER_KINDS; i++)
            if (meter_row(m, i, &r))
                sample(out, family[f].name, labels, r.name,
                       f == 0   ? (double)r.count
                       : f == 1 ? (double)r.failed
                                : (double)r.sum_ns / 1e9);
    }
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
        if (r->meter)
            meter_prometheus(out, r->meter, labels);
        lsm_print_stats_prometheus(r->lsm, labels, out);
    }
    free(labels);
}
