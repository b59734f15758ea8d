/*
 * meter.c - see meter.h. Counters are relaxed: they are statistics. With one client one
 * thread writes most of them (session.h), so that their lines stay with its processor.
 */
#include "meter.h"

#include <linux/fuse.h>
#include <time.h>

#include "accesslog.h"
#include "control.h"

static const char *const names[METER_KINDS] = {
    [FUSE_LOOKUP] = "lookup",
    [FUSE_FORGET] = "forget",
    [FUSE_GETATTR] = "getattr",
    [FUSE_SETATTR] = "setattr",
    [FUSE_READLINK] = "readlink",
    [FUSE_SYMLINK] = "symlink",
    [FUSE_MKNOD] = "mknod",
    [FUSE_MKDIR] = "mkdir",
    [FUSE_UNLINK] = "unlink",
    [FUSE_RMDIR] = "rmdir",
    [FUSE_RENAME] = "rename",
    [FUSE_LINK] = "link",
    [FUSE_OPEN] = "open",
    [FUSE_READ] = "read",
    [FUSE_WRITE] = "write",
    [FUSE_STATFS] = "statfs",
    [FUSE_RELEASE] = "release",
    [FUSE_FSYNC] = "fsync",
    [FUSE_SETXATTR] = "setxattr",
    [FUSE_GETXATTR] = "getxattr",
    [FUSE_LISTXATTR] = "listxattr",
    [FUSE_REMOVEXATTR] = "removexattr",
    [FUSE_FLUSH] = "flush",
    [FUSE_INIT] = "init",
    [FUSE_OPENDIR] = "opendir",
    [FUSE_READDIR] = "readdir",
    [FUSE_RELEASEDIR] = "releasedir",
    [FUSE_FSYNCDIR] = "fsyncdir",
    [FUSE_ACCESS] = "access",
    [FUSE_CREATE] = "create",
    [FUSE_INTERRUPT] = "interrupt",
    [FUSE_DESTROY] = "destroy",
    [FUSE_BATCH_FORGET] = "batch_forget",
    [FUSE_FALLOCATE] = "fallocate",
    [FUSE_READDIRPLUS] = "readdirplus",
    [FUSE_RENAME2] = "rename2",
    [FUSE_LSEEK] = "lseek",
    [FUSE_COPY_FILE_RANGE] = "copy_file_range",
};

const char *meter_kind_name(uint32_t opcode)
{
    return opcode < METER_KINDS && names[opcode] ? names[opcode] : "other";
}

uint64_t meter_begin(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* Four buckets to each power of two; below 4 ns each has its own. */
static unsigned bucket_of(uint64_t ns)
{
    unsigned log, b;

    if (ns < 4)
        return (unsigned)ns;
    log = 63 - (unsigned)__builtin_clzll(ns);
    b = 4 * (log - 1) + (unsigned)(ns >> (log - 2) & 3);
    return b < METER_BUCKETS ? b : METER_BUCKETS - 1;
}

/* The middle of a bucket. */
static uint64_t bucket_ns(unsigned b)
{
    unsigned log = b / 4 + 1;
    uint64_t step;

    if (b < 4)
        return b;
    step = 1ull << (log - 2);
    return (1ull << log) + (b % 4) * step + step / 2;
}

static void add(_Atomic uint64_t *to, uint64_t n)
{
    atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

void meter_end(struct meter *m, uint64_t begun, const void *request, size_t len,
               int error)
{
    const struct fuse_in_header *in = request;
    uint64_t ns = meter_begin() - begun, max;
    struct meter_kind *k;

    /* Those of the control directory are about the mount, no work of it. */
    if (len < sizeof(*in) || control_owns(in->nodeid))
        return;
    k = &m->kind[in->opcode < METER_KINDS ? in->opcode : 0];
    add(&k->count, 1);
    add(&k->sum_ns, ns);
    if (error)
        add(&k->failed, 1);
    atomic_fetch_add_explicit(&k->bucket[bucket_of(ns)], 1, memory_order_relaxed);
    max = atomic_load_explicit(&k->max_ns, memory_order_relaxed);
    while (ns > max && !atomic_compare_exchange_weak_explicit(&k->max_ns, &max, ns,
                                                              memory_order_relaxed,
                                                              memory_order_relaxed))
        ;
    if (atomic_load_explicit(&m->readers, memory_order_relaxed))
        access_note(m, in, len, ns, error);
}

static uint64_t percentile(const struct meter_kind *k, uint64_t count, double share)
{
    uint64_t left = (uint64_t)((double)count * share);
    unsigned b;

    for (b = 0; b < METER_BUCKETS - 1; b++) {
        uint64_t n = atomic_load_explicit(&k->bucket[b], memory_order_relaxed);

        if (n > left)
            break;
        left -= n;
    }
    return bucket_ns(b);
}

bool meter_row(const struct meter *m, unsigned kind, struct meter_row *row)
{
    const struct meter_kind *k = &m->kind[kind];

    row->count = atomic_load_explicit(&k->count, memory_order_relaxed);
    if (!row->count)
        return false;
    row->name = meter_kind_name(kind);
    row->failed = atomic_load_explicit(&k->failed, memory_order_relaxed);
    row->sum_ns = atomic_load_explicit(&k->sum_ns, memory_order_relaxed);
    row->mean_ns = row->sum_ns / row->count;
    row->max_ns = atomic_load_explicit(&k->max_ns, memory_order_relaxed);
    row->p50_ns = percentile(k, row->count, 0.5);
    row->p99_ns = percentile(k, row->count, 0.99);
    return true;
}
