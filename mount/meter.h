/*
 * meter.h - what requests a mount serves, of which kinds, and how long they take; and the
 * access log: each of them as a line, while somebody reads it.
 */
#ifndef MOUNT_METER_H
#define MOUNT_METER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    METER_KINDS = 64,    /* opcodes of FUSE; greater ones are counted as 0 */
    METER_BUCKETS = 128, /* of durations: four to each power of two ns */
};

struct meter_kind {
    _Atomic uint64_t count, failed, sum_ns, max_ns;
    _Atomic uint32_t bucket[METER_BUCKETS];
};

struct access_reader;

/* Zeroed is one that has seen nothing. */
struct meter {
    struct meter_kind kind[METER_KINDS];
    _Atomic uint64_t read_bytes, write_bytes; /* of files' contents */
    _Atomic unsigned readers;
    struct access_reader *reader; /* accesslog.c */
};

/* A request begins; what meter_end is given. */
uint64_t meter_begin(void);
/* error: a positive errno, of the reply; 0. request, as the kernel sent it, of len bytes.
 */
void meter_end(struct meter *m, uint64_t begun, const void *request, size_t len,
               int error);

/* A kind for the reports: mean and percentiles in ns, to a fifth. */
struct meter_row {
    const char *name; /* "lookup" */
    uint64_t count, failed, sum_ns, mean_ns, p50_ns, p99_ns, max_ns;
};
/* Of kind 0 to METER_KINDS - 1; false: there was none of it. */
bool meter_row(const struct meter *m, unsigned kind, struct meter_row *row);
/* "lookup"; "other" for those without a name. */
const char *meter_kind_name(uint32_t opcode);

#endif
