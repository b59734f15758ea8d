/*
 * wire.c - see wire.h. The structures are the kernel's, <linux/fuse.h>.
 *
 * libfuse 3.14 builds the reply to INIT itself and leaves out what it does not
 * know (and PARALLEL_DIROPS, which it does know). So we stand between it and
 * the device, look at the INIT request for what the kernel offers, and add our
 * flags to the reply as it passes. From 3.17 on libfuse is simply asked. And we make one
 * new request of the kernel's one that libfuse knows (see_copy).
 */
#include "wire.h"

#include <errno.h>
#include <linux/fuse.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <unistd.h>

bool wire_write_kills(const void *request, const struct fuse_ctx *ctx)
{
    const struct fuse_in_header *in = request;
    const struct fuse_write_in *write = (const void *)(in + 1);

    if (!in || in->opcode != FUSE_WRITE)
        return ctx->uid != 0;
    return write->write_flags & FUSE_WRITE_KILL_SUIDGID;
}

bool wire_truncate_kills(const void *request, const struct fuse_ctx *ctx)
{
    const struct fuse_in_header *in = request;
    const struct fuse_setattr_in *set = (const void *)(in + 1);

    if (!in || in->opcode != FUSE_SETATTR)
        return ctx->uid != 0;
    return set->valid & FATTR_KILL_SUIDGID;
}

enum { BULKY_BYTES = 32 * 1024 };

uint32_t wire_client(const void *request)
{
    const struct fuse_in_header *in = request;

    return in ? in->pid : 0;
}

bool wire_is_bulky(const void *request)
{
    const struct fuse_in_header *in = request;
    const struct fuse_read_in *read = (const void *)(in + 1);

    if (!in)
        return false;
    return in->len > BULKY_BYTES || (in->opcode == FUSE_READ && read->size > BULKY_BYTES);
}

/*
 * Of <linux/fuse.h> from 6.6 on: the request STATX, and its reply. The kernel's names for
 * what is one structure here are fuse_statx_out and fuse_statx.
 */
enum { WIRE_STATX = 52 };

struct wire_time {
    int64_t sec;
    uint32_t nsec;
    int32_t reserved;
};

struct wire_statx {
    uint64_t valid_sec;
    uint32_t valid_nsec, flags;
    uint64_t spare[2];
    uint32_t mask, blksize;
    uint64_t attributes;
    uint32_t nlink, uid, gid;
    uint16_t mode, spare0;
    uint64_t ino, size, blocks, attributes_mask;
    struct wire_time atime, btime, ctime, mtime;
    uint32_t rdev_major, rdev_minor, dev_major, dev_minor;
    uint64_t spare2[14];
};

_Static_assert(sizeof(struct wire_statx) == 288, "the kernel's size");

bool wire_is_tmpfile(const char *name)
{
    return strcmp(name, "/") == 0;
}

#if FUSE_VERSION >= 317

/* It is not passed on as one that we know. */
bool wire_reply_statx(fuse_req_t req, const struct fs_attr *attr, double timeout)
{
    return false;
}

int wire_attach(struct fuse_session *se)
{
    return 0;
}

void wire_init(struct fuse_conn_info *conn)
{
    fuse_set_feature_flag(conn, FUSE_CAP_PARALLEL_DIROPS);
    fuse_set_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV_V2);
    fuse_set_feature_flag(conn, FUSE_CAP_DIRECT_IO_ALLOW_MMAP);
    fuse_unset_feature_flag(conn, FUSE_CAP_HANDLE_KILLPRIV);
}

#else

/* Of flags2; linux/fuse.h has it from 6.6 on. */
#define DIRECT_IO_ALLOW_MMAP2 (1u << 4)

static const uint32_t want_flags = FUSE_PARALLEL_DIROPS | FUSE_HANDLE_KILLPRIV_V2;
static const uint32_t want_flags2 = DIRECT_IO_ALLOW_MMAP2;

/* Newer than linux/fuse.h of Debian 12. */
enum { WIRE_COPY_FILE_RANGE_64 = 53 };

/* INIT is the first request and alone on its way: no lock. */
static struct {
    bool done;
    uint64_t unique;
    uint32_t flags, flags2; /* offered, and wanted */
} init;

static void see_request(const void *buf, size_t len)
{
    const struct fuse_in_header *in = buf;
    const struct fuse_init_in *arg = (const void *)(in + 1);
    size_t base = sizeof(*in) + offsetof(struct fuse_init_in, flags2);

    if (len < base || in->opcode != FUSE_INIT)
        return;
    init.unique = in->unique;
    init.flags = arg->flags & want_flags;
    if ((arg->flags & FUSE_INIT_EXT) && len >= base + sizeof(arg->flags2))
        init.flags2 = arg->flags2 & want_flags2;
}

static void mend_reply(struct iovec *iov, int count)
{
    const struct fuse_out_header *out = iov[0].iov_base;
    struct fuse_init_out *arg;

    if (out->unique != init.unique || out->error || count < 2)
        return;
    init.done = true;
    arg = iov[1].iov_base;
    if (iov[1].iov_len >= offsetof(struct fuse_init_out, flags) + sizeof(arg->flags))
        arg->flags |= init.flags;
    if ((arg->flags & FUSE_INIT_EXT) &&
        iov[1].iov_len >= offsetof(struct fuse_init_out, flags2) + sizeof(arg->flags2))
        arg->flags2 |= init.flags2;
}

/* The number of the request this thread read last, as the kernel sent it. */
static __thread uint32_t opcode;

/*
 * Requests that libfuse 3.14 does not know, as those it knows.
 *
 * A TMPFILE is a CREATE in all but its number: arguments, reply, and a name, which the
 * kernel's nameless file has too, "/". A STATX begins as a GETATTR does; only its reply
 * is another.
 *
 * Kernels from 6.18 on ask for copies by a new number first, and take ENOSYS, which
 * libfuse would answer, for "ask by the old one". But when two processes copy at the same
 * time before that is known, the second ENOSYS is taken for "not by the old one either":
 * from then on the mount copies through the page cache. So the new one becomes the old
 * one. The request is the same; the replies are 64 bits, and 32 bits and 32 zeros.
 */
static void translate(struct fuse_in_header *in, size_t len)
{
    if (len < sizeof(*in))
        return;
    opcode = in->opcode;
    if (opcode == FUSE_TMPFILE)
        in->opcode = FUSE_CREATE;
    else if (opcode == WIRE_STATX)
        in->opcode = FUSE_GETATTR;
    else if (opcode == WIRE_COPY_FILE_RANGE_64 &&
             __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__)
        in->opcode = FUSE_COPY_FILE_RANGE;
}

static ssize_t read_device(int fd, void *buf, size_t len, void *userdata)
{
    ssize_t n = read(fd, buf, len);

    if (n > 0)
        translate(buf, (size_t)n);
    if (!init.done && n > 0)
        see_request(buf, (size_t)n);
    return n;
}

static struct wire_time time_of(struct timespec t)
{
    return (struct wire_time){.sec = t.tv_sec, .nsec = (uint32_t)t.tv_nsec};
}

bool wire_reply_statx(fuse_req_t req, const struct fs_attr *attr, double timeout)
{
    const struct stat *st = &attr->st;
    struct wire_statx out = {
        .valid_sec = (uint64_t)timeout,
        .valid_nsec = (uint32_t)((timeout - (double)(uint64_t)timeout) * 1e9),
        .mask = STATX_BASIC_STATS | STATX_BTIME,
        .blksize = (uint32_t)st->st_blksize,
        .nlink = (uint32_t)st->st_nlink,
        .uid = st->st_uid,
        .gid = st->st_gid,
        .mode = (uint16_t)st->st_mode,
        .ino = st->st_ino,
        .size = (uint64_t)st->st_size,
        .blocks = (uint64_t)st->st_blocks,
        .atime = time_of(st->st_atim),
        .btime = time_of(attr->btime),
        .ctime = time_of(st->st_ctim),
        .mtime = time_of(st->st_mtim),
        .rdev_major = major(st->st_rdev),
        .rdev_minor = minor(st->st_rdev),
    };

    if (opcode != WIRE_STATX)
        return false;
    fuse_reply_buf(req, (const char *)&out, sizeof(out));
    return true;
}

static ssize_t write_device(int fd, struct iovec *iov, int count, void *userdata)
{
    if (!init.done)
        mend_reply(iov, count);
    return writev(fd, iov, count);
}

int wire_attach(struct fuse_session *se)
{
    /* Without the splice functions libfuse does not splice, which pays nothing. */
    static const struct fuse_custom_io io = {.read = read_device, .writev = write_device};

    return fuse_session_custom_io(se, &io, fuse_session_fd(se));
}

void wire_init(struct fuse_conn_info *conn)
{
    conn->want &= ~FUSE_CAP_HANDLE_KILLPRIV; /* the older promise, cruder */
}

#endif
