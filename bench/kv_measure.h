/*
 * kv_measure.h - what an engine took from the machine: bytes written, disk, memory.
 *
 * Written bytes are pages that were dirtied, as the kernel counts them for the
 * process (/proc/self/io, write_bytes): what write() and what a mapping made
 * dirty, once as long as the page stays dirty. That is what reaches the device,
 * but for files deleted before they were written back: these are told apart as
 * cancelled.
 */
#ifndef BENCH_KV_MEASURE_H
#define BENCH_KV_MEASURE_H

#include <stdint.h>

struct kv_io {
    uint64_t written_bytes;
    uint64_t cancelled_bytes;
};

struct kv_io kv_io_now(void);

/* Blocks of the files right in dir. */
uint64_t kv_disk_bytes(const char *dir);
/* The same, once it stays so for a moment: files are deleted behind the scenes. */
uint64_t kv_disk_bytes_at_rest(const char *dir);

/* Memory since the last reset: resident at most, and anonymous now. */
void kv_memory_reset(void);
uint64_t kv_memory_peak_bytes(void);
uint64_t kv_memory_anon_bytes(void);

/* Looks at a directory's size every quarter of a second, to keep the largest. */
struct kv_watch;
struct kv_watch *kv_watch_start(const char *dir);
uint64_t kv_watch_stop(struct kv_watch *w);

/* Remove dir and the files right in it. */
void kv_remove_dir(const char *dir);

#endif
