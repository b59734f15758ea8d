/*
 * env_mem_data.h - a file's bytes and their history since the last sync. Part of
 * env_mem.c, which locks.
 */
#ifndef ENV_MEM_DATA_H
#define ENV_MEM_DATA_H

#include "env_mem.h"

enum { MEM_CHUNK = 16 * 1024 };

/* One write or change of size, and what it replaced. */
struct mem_change {
    uint64_t off, len;
    uint64_t old_size;
    uint8_t *old; /* len bytes; NULL: all were 0 */
};

struct mem_data {
    uint64_t size;
    uint8_t **chunks; /* MEM_CHUNK bytes each; NULL: zeros */
    size_t n_chunks;
    struct mem_change *changes; /* oldest first, since the last sync */
    size_t n_changes, cap_changes;
    size_t n_stuck; /* the first of them, which no sync of this file makes durable any
                       more, nor what is written where they were */
};

/* A zeroed one is an empty file. Memory running out aborts: these are tests. */
void mem_data_release(struct mem_data *d);

/* Bytes beyond the end read as 0. */
void mem_data_read(const struct mem_data *d, uint64_t off, void *to, size_t len);
void mem_data_write(struct mem_data *d, uint64_t off, const void *from, size_t len);
void mem_data_resize(struct mem_data *d, uint64_t size);
/* Without history, as if it had been so always. */
void mem_data_poke(struct mem_data *d, uint64_t off, const void *from, size_t len);

void mem_data_sync(struct mem_data *d);
/* The sync failed: what there is of history stays. */
void mem_data_sync_failed(struct mem_data *d);
/* Memory gives these bytes up: what a failed sync left there only is lost. Not of a file
 * that was changed since. */
void mem_data_forget(struct mem_data *d, uint64_t off, uint64_t len);

/* Into a zeroed *to: what the disk has of d after a crash. */
void mem_data_crash(const struct mem_data *d, struct mem_data *to,
                    enum env_mem_crash mode, uint64_t *rng);

#endif
