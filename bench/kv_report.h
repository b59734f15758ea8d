/*
 * kv_report.h - one run's figures, as a line of a table and as a JSON object.
 */
#ifndef BENCH_KV_REPORT_H
#define BENCH_KV_REPORT_H

#include <stdio.h>

#include "bench.h"
#include "kv.h"

enum { KV_EXTRAS = 12 };

struct kv_result {
    const char *engine;
    const char *workload;
    struct kv_config config;
    uint64_t ops;
    double seconds;
    struct bench_latency latency; /* of what ops counts: reads, if there are any */
    double stall_ms;              /* the longest put or delete */
    uint64_t user_bytes;          /* keys and values written */
    uint64_t written_bytes;       /* to the device, until at rest (kv_measure.h) */
    uint64_t cancelled_bytes;
    double settle_seconds; /* from the last operation until at rest */
    uint64_t live_bytes;   /* keys and values that are there at the end */
    uint64_t disk_bytes;   /* at rest */
    uint64_t peak_disk_bytes;
    uint64_t peak_memory_bytes;
    uint64_t anon_memory_bytes; /* at the end, before it was settled */
    struct {
        const char *name; /* NULL after the last */
        double value;
    } extra[KV_EXTRAS]; /* of one workload alone */
};

void kv_result_extra(struct kv_result *r, const char *name, double value);

void kv_report_heading(FILE *out);
void kv_report_line(FILE *out, const struct kv_result *r);

/* A list, one object on a line; begin, objects, end. */
void kv_json_begin(FILE *out);
void kv_json_add(FILE *out, const struct kv_result *r);
void kv_json_end(FILE *out);

#endif
