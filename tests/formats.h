/*
 * formats.h - is a text what it claims to be? Strict checkers for what programs
 * read. NULL: it is; else what is wrong first, in static storage.
 */
#ifndef TEST_FORMATS_H
#define TEST_FORMATS_H

/* RFC 8259, and no name twice in an object. */
const char *json_wrong(const char *text);

/* Prometheus' text exposition format 0.0.4: grammar; HELP and TYPE once and before
 * the samples, which stand together; no sample twice; histograms' buckets ascend, in
 * bound and count, to +Inf, which is their count. */
const char *prometheus_wrong(const char *text);

/* The value after the sample `name`, which includes its labels; -1: none. */
double prometheus_value(const char *text, const char *name);
/* The number after "name": in a JSON text, at its first place; -1: none. */
double json_value(const char *text, const char *name);

#endif
