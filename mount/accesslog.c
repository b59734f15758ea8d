/*
 * accesslog.c - see accesslog.h. The requests are the kernel's, but what is taken from
 * them is looked at with its bounds, as if they were not.
 */
#include "accesslog.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/fuse.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    READERS_MAX = 8,
    KEPT_MAX = 4 << 20, /* bytes that a reader may be behind */
    LINE_MAX_ = 1024,
};

struct access_reader {
    struct access_reader *next;
    struct buf kept;
    uint64_t lost; /* lines */
};

/* One for all mounts of the process, of which there is one. Innermost. */
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t more = PTHREAD_COND_INITIALIZER;

int access_open(struct meter *m, struct access_reader **out)
{
    struct access_reader *r = calloc(1, sizeof(*r));
    bool room;

    if (!r)
        return -ENOMEM;
    pthread_mutex_lock(&mu);
    room = atomic_load(&m->readers) < READERS_MAX;
    if (room) {
        r->next = m->reader;
        m->reader = r;
        atomic_fetch_add(&m->readers, 1);
    }
    pthread_mutex_unlock(&mu);
    if (!room) {
        free(r);
        return -EMFILE;
    }
    *out = r;
    return 0;
}

void access_close(struct meter *m, struct access_reader *r)
{
    struct access_reader **at;

    pthread_mutex_lock(&mu);
    for (at = &m->reader; *at != r; at = &(*at)->next)
        ;
    *at = r->next;
    atomic_fetch_sub(&m->readers, 1);
    pthread_mutex_unlock(&mu);
    buf_release(&r->kept);
    free(r);
}

static void keep(struct access_reader *r, const char *line, size_t len)
{
    char told[64];

    if (r->kept.len + len + sizeof(told) > KEPT_MAX) {
        r->lost++;
        return;
    }
    if (r->lost) {
        snprintf(told, sizeof(told), "# %" PRIu64 " lines are missing\n", r->lost);
        buf_append(&r->kept, told, strlen(told));
        r->lost = 0;
    }
    buf_append(&r->kept, line, len);
}

int access_read(struct access_reader *r, struct buf *to)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    pthread_mutex_lock(&mu);
    while (!r->kept.len)
        if (pthread_cond_timedwait(&more, &mu, &until))
            break;
    buf_append_slice(to, buf_slice(&r->kept));
    buf_clear(&r->kept);
    pthread_mutex_unlock(&mu);
    return buf_error(to);
}

/* ---- lines ---- */

/* The name at `from` of the request, quoted; what would break the line is escaped. */
static void put_name(FILE *out, const struct fuse_in_header *in, size_t len, size_t from)
{
    const unsigned char *p = (const unsigned char *)in;
    size_t i;

    fputs(", \"", out);
    for (i = from; i < len && p[i]; i++) {
        if (p[i] < ' ' || p[i] == 127 || p[i] == '"' || p[i] == '\\')
            fprintf(out, "\\%03o", p[i]);
        else
            fputc(p[i], out);
    }
    fputc('"', out);
}

/* Where the name begins, behind the header; -1: the request has none. */
static int name_at(uint32_t opcode)
{
    switch (opcode) {
    case FUSE_LOOKUP:
    case FUSE_UNLINK:
    case FUSE_RMDIR:
    case FUSE_SYMLINK:
    case FUSE_REMOVEXATTR:
        return 0;
    case FUSE_MKNOD:
        return sizeof(struct fuse_mknod_in);
    case FUSE_MKDIR:
        return sizeof(struct fuse_mkdir_in);
    case FUSE_CREATE:
        return sizeof(struct fuse_create_in);
    case FUSE_RENAME:
        return sizeof(struct fuse_rename_in);
    case FUSE_RENAME2:
        return sizeof(struct fuse_rename2_in);
    case FUSE_LINK:
        return sizeof(struct fuse_link_in);
    case FUSE_GETXATTR:
        return sizeof(struct fuse_getxattr_in);
    default:
        return -1;
    }
}

static void put_arguments(FILE *out, const struct fuse_in_header *in, size_t len)
{
    const void *arg = in + 1;
    size_t has = len - sizeof(*in);
    int at = name_at(in->opcode);

    fprintf(out, "%" PRIu64, in->nodeid);
    if (at >= 0 && (size_t)at < has)
        put_name(out, in, len, sizeof(*in) + (size_t)at);
    if ((in->opcode == FUSE_READ || in->opcode == FUSE_READDIR ||
         in->opcode == FUSE_READDIRPLUS) &&
        has >= sizeof(struct fuse_read_in)) {
        const struct fuse_read_in *r = arg;

        fprintf(out, ", %" PRIu64 ", %u", r->offset, r->size);
    }
    if (in->opcode == FUSE_WRITE && has >= sizeof(struct fuse_write_in)) {
        const struct fuse_write_in *w = arg;

        fprintf(out, ", %" PRIu64 ", %u", w->offset, w->size);
    }
}

static void put_time(FILE *out)
{
    struct timespec t;
    char text[32];
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &t);
    if (localtime_r(&t.tv_sec, &tm) &&
        strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm))
        fprintf(out, "%s.%06ld ", text, t.tv_nsec / 1000);
}

static const char *outcome(int error)
{
    const char *name = error ? strerrorname_np(error) : "OK";

    return name ? name : "?";
}

void access_note(struct meter *m, const struct fuse_in_header *in, size_t len,
                 uint64_t ns, int error)
{
    char line[LINE_MAX_];
    struct access_reader *r;
    FILE *out;
    size_t n;

    out = fmemopen(line, sizeof(line) - 1, "w");
    if (!out)
        return;
    put_time(out);
    fprintf(out, "uid=%u pid=%u %s (", in->uid, in->pid, meter_kind_name(in->opcode));
    put_arguments(out, in, len);
    fprintf(out, "): %s <%" PRIu64 ".%06" PRIu64 ">", outcome(error), ns / 1000000000,
            ns / 1000 % 1000000);
    fflush(out);
    n = (size_t)ftell(out);
    fclose(out);
    line[n < sizeof(line) - 1 ? n : sizeof(line) - 2] = '\n';
    n = n < sizeof(line) - 1 ? n + 1 : sizeof(line) - 1;
    pthread_mutex_lock(&mu);
    for (r = m->reader; r; r = r->next)
        keep(r, line, n);
    pthread_cond_broadcast(&more);
    pthread_mutex_unlock(&mu);
}
