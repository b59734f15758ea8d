/*
 * ask.c - see ask.h.
 */
#include "ask.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control.h"
#include "orders.h"

struct hearing {
    const struct ask *a;
    int *status;
    struct why *why;
    bool ended;
    int err;
};

static void hear(struct hearing *h, const char *line)
{
    uint64_t done, total, where;

    if (strncmp(line, "say ", 4) == 0) {
        h->a->say(h->a->arg, line + 4);
    } else if (sscanf(line, "progress %" SCNu64 " %" SCNu64 " %" SCNu64, &done, &total,
                      &where) == 3) {
        h->a->progress(h->a->arg, done, total, where);
    } else if (sscanf(line, "end %d", h->status) == 1) {
        h->ended = true;
    } else if (strncmp(line, "fail ", 5) == 0) {
        h->ended = true;
        h->err = why_set(h->why, -EIO, "%s", line + 5);
    }
}

/* The whole lines in b; what is left of the last one stays. */
static void hear_lines(struct hearing *h, struct buf *b)
{
    uint8_t *end;
    size_t n;

    while ((end = memchr(b->data, '\n', b->len))) {
        *end = '\0';
        hear(h, (const char *)b->data);
        n = (size_t)(end + 1 - b->data);
        memmove(b->data, b->data + n, b->len - n);
        b->len -= n;
    }
}

static int open_orders(const char *mountpoint, struct why *why)
{
    static char path[PATH_MAX + 32];
    int fd;

    snprintf(path, sizeof(path), "%s/" CONTROL_NAME "/" ORDERS_NAME, mountpoint);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0)
        return fd;
    if (errno == ENOTCONN)
        return why_set(why, -errno,
                       "%s: its daemon has died; `siltfs umount` or mount it again",
                       mountpoint);
    if (errno == ENOENT)
        return why_set(why, -errno,
                       "%s: its daemon is an older siltfs, which takes no orders",
                       mountpoint);
    return why_set(why, -errno, "%s: %s%s", path, strerror(errno),
                   errno == EACCES ? "; orders are for root and whoever mounted it" : "");
}

static int converse(int fd, const char *order, struct hearing *h)
{
    struct buf b = {0};
    uint8_t *to;
    ssize_t n = write(fd, order, strlen(order));

    while (n > 0 && h->a->go_on(h->a->arg)) {
        to = buf_reserve(&b, 65536);
        if (!to) {
            h->err = -ENOMEM;
            break;
        }
        n = read(fd, to, 65536);
        if (n < 0 && errno == EINTR)
            n = 1;
        else if (n > 0)
            b.len += (size_t)n;
        hear_lines(h, &b);
    }
    buf_release(&b);
    if (n < 0)
        return why_set(h->why, -errno, "the daemon does not answer: %s", strerror(errno));
    if (h->err || h->ended)
        return h->err;
    return n == 0 ? why_set(h->why, -EIO, "the daemon said nothing more") : -ECANCELED;
}

int ask(const char *mountpoint, const char *order, const struct ask *a, int *status,
        struct why *why)
{
    struct hearing h = {.a = a, .status = status, .why = why};
    int fd = open_orders(mountpoint, why), err;

    if (fd < 0)
        return fd;
    err = converse(fd, order, &h);
    close(fd);
    return err;
}
