/*
 * session.c - see session.h. The threads that serve are in crew.c; how a session ends
 * by a signal, in signals.c.
 */
#include "session_impl.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "log.h"
#include "mountinfo.h"
#include "mountpoint.h"
#include "wire.h"

enum { READ_AHEAD_KB = 1024 };

/* ---- the first answer ---- */

static void tune(const struct session *s, const char *what, int value)
{
    char path[128], text[16];
    int len = snprintf(text, sizeof(text), "%d", value), fd;

    snprintf(path, sizeof(path), "/sys/class/bdi/%u:%u/%s", s->major, s->minor, what);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* not root, or a kernel without this knob: slower, not wrong */
    if (write(fd, text, (size_t)len) < 0)
        err_log("%s: %s", path, strerror(errno));
    close(fd);
}

/* The INIT handshake, on one thread; then the kernel's settings may be changed. */
static bool serve_first(struct session *s, struct worker *w)
{
    while (!s->config->ops->ready) {
        if (!session_serve_one(s, w))
            return false;
    }
    tune(s, "read_ahead_kb", READ_AHEAD_KB); /* else reads come as 128 KiB */
    tune(s, "strict_limit", 0);              /* these two: else writers are held */
    tune(s, "max_ratio", 100);               /* back early */
    s->config->ready(s->config->arg);
    return true;
}

int session_run(struct session *s)
{
    struct worker *first = s->workers;
    int error;

    if (!serve_first(s, first))
        session_stop(s, -EPROTO);
    session_serve(s, first);
    mutex_lock(&s->mu); /* a signal may come even now */
    while (s->waiting)
        cond_wait(&s->answered, &s->mu);
    error = s->error;
    mutex_unlock(&s->mu);
    return error;
}

/* ---- mounting ---- */

/* Everything that libfuse needs to know, as its command line wants it. */
static int build_args(const struct session_config *c, struct fuse_args *args)
{
    char source[PATH_MAX + 16], *opts = NULL;
    struct buf list = {0};
    int err = -ENOMEM;

    snprintf(source, sizeof(source), "fsname=%s", c->store);
    if (fuse_opt_add_opt_escaped(&opts, source) < 0)
        goto out;
    buf_append(&list, opts, strlen(opts));
    buf_append_slice(&list, slice_str(",subtype=siltfs,default_permissions"));
    buf_append_slice(&list, buf_slice(&c->options->kernel));
    if (c->options->max_read) {
        snprintf(source, sizeof(source), ",max_read=%u", c->options->max_read);
        buf_append_slice(&list, slice_str(source));
    }
    buf_append(&list, "", 1);
    if (buf_error(&list))
        goto out;
    if (fuse_opt_add_arg(args, "siltfs") == 0 && fuse_opt_add_arg(args, "-o") == 0 &&
        fuse_opt_add_arg(args, (const char *)list.data) == 0)
        err = 0;
out:
    free(opts);
    buf_release(&list);
    return err;
}

/* The first line of what was written to fd, or a word for nothing. */
static void first_line(int fd, char *line, size_t cap)
{
    ssize_t n = pread(fd, line, cap - 1, 0);

    line[n > 0 ? n : 0] = '\0';
    line[strcspn(line, "\n")] = '\0';
    if (!line[0])
        snprintf(line, cap, "no reason given");
}

/* libfuse and fusermount3 complain on stderr: catch it, it is the reason. */
static int mount_catching(struct session *s, struct why *why)
{
    int said = memfd_create("siltfs", MFD_CLOEXEC);
    int keep = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    char line[1024];
    int rc;

    if (said >= 0 && keep >= 0)
        dup2(said, STDERR_FILENO);
    fuse_set_log_func(NULL);
    rc = fuse_session_mount(s->fuse, s->config->mountpoint);
    log_libfuse();
    if (keep >= 0) {
        dup2(keep, STDERR_FILENO);
        close(keep);
    }
    if (rc != 0) {
        first_line(said, line, sizeof(line));
        why_set(why, -EIO, "cannot mount on %s: %s", s->config->mountpoint, line);
    }
    if (said >= 0)
        close(said);
    return rc == 0 ? 0 : -EIO;
}

static int attach(struct session *s, struct why *why)
{
    struct mountinfo m;
    int err = wire_attach(s->fuse);

    if (!err)
        err = mountinfo_at(s->config->mountpoint, &m);
    if (err) {
        fuse_session_unmount(s->fuse);
        return why_set(why, err, "cannot mount on %s: %s", s->config->mountpoint,
                       strerror(-err));
    }
    s->major = m.major;
    s->minor = m.minor;
    return 0;
}

int session_new(const struct session_config *c, struct session **out, struct why *why)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    struct session *s = calloc(1, sizeof(*s));
    struct worker *first = s ? worker_new(s) : NULL;
    int err;

    why_set(why, 0, "cannot mount on %s: out of memory or options libfuse refuses",
            c->mountpoint);
    if (!s || !first || build_args(c, &args) < 0) {
        worker_free(first);
        free(s);
        fuse_opt_free_args(&args);
        return -ENOMEM;
    }
    s->config = c;
    mutex_init(&s->mu, LOCK_SESSION);
    pthread_cond_init(&s->near_wake, NULL);
    pthread_cond_init(&s->answered, NULL);
    first->is_first = true;
    first->thread = pthread_self();
    s->workers = first;
    s->count = 1;
    s->fuse = fuse_session_new(&args, &ops_table, sizeof(ops_table), c->ops);
    fuse_opt_free_args(&args);
    c->ops->session = s->fuse;
    err = s->fuse ? mount_catching(s, why) : -EINVAL;
    if (!err)
        err = attach(s, why);
    if (err) {
        session_free(s);
        return err;
    }
    session_signals_to(s);
    *out = s;
    return 0;
}

bool session_is_mounted(const struct session *s)
{
    struct mountinfo m;

    return mountinfo_at(s->config->mountpoint, &m) == 0 && m.major == s->major &&
           m.minor == s->minor;
}

void session_free(struct session *s)
{
    struct worker *w, *next;
    struct why why;

    session_signals_to(NULL);
    /*
     * Closing the device first: the kernel writes back what is dirty when it
     * unmounts, and would wait for us for ever. Not by fuse_session_unmount,
     * which unmounts whatever is at the path by now.
     */
    if (s->fuse)
        fuse_session_destroy(s->fuse);
    if (s->major | s->minor && session_is_mounted(s) &&
        mountpoint_unmount(s->config->mountpoint, UNMOUNT_LAZY, &why) < 0)
        err_log("%s", why.text);
    for (w = s->workers; w; w = next) {
        next = w->next;
        worker_free(w);
    }
    pthread_cond_destroy(&s->near_wake);
    pthread_cond_destroy(&s->answered);
    mutex_release(&s->mu);
    free(s);
}
