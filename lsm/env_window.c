/*
 * env_window.c - see env_window.h.
 */
#include "env_window.h"

#include <linux/magic.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/vfs.h>

#ifndef XFS_SUPER_MAGIC
#define XFS_SUPER_MAGIC 0x58465342
#endif

enum { WINDOW_BYTES = 4 << 20 };

/* ---- SIGBUS ---- */

/* The copy under way on this thread, if any. */
struct copying {
    sigjmp_buf back;
    const uint8_t *from, *to;
};

static __thread struct copying *volatile copying;
static struct sigaction earlier; /* the action that was there before ours */

static void on_sigbus(int sig, siginfo_t *info, void *context)
{
    const uint8_t *at = info->si_addr;
    struct copying *c = copying;

    if (c && at >= c->from && at < c->to)
        siglongjmp(c->back, 1);
    /* Not ours: put back what was there and let the fault come again. */
    sigaction(sig, &earlier, NULL);
}

static void install_handler(void)
{
    struct sigaction sa = {.sa_sigaction = on_sigbus};

    sigemptyset(&sa.sa_mask);
    /* SA_NODEFER: siglongjmp leaves the handler without unblocking the signal. */
    sa.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGBUS, &sa, &earlier);
}

/* False when a page of [to, to + len), which lies in w, could not be had. */
static bool copy_guarded(const struct env_window *w, uint8_t *to, const uint8_t *data,
                         size_t len)
{
    struct copying c;

    c.from = w->map;
    c.to = w->map + w->len;
    if (sigsetjmp(c.back, 0)) {
        copying = NULL;
        return false;
    }
    copying = &c;
    __atomic_signal_fence(__ATOMIC_SEQ_CST); /* the handler must see c as it is now */
    memcpy(to, data, len);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    copying = NULL;
    return true;
}

/* ---- the window ---- */

/*
 * Filesystems that write a mapped page of an allocated block where it is.
 * Copy-on-write ones need new space for it, which may not be there; network
 * ones have rules of their own.
 */
static bool writes_in_place(int fd)
{
    struct statfs s;

    if (fstatfs(fd, &s))
        return false;
    return s.f_type == EXT4_SUPER_MAGIC || s.f_type == XFS_SUPER_MAGIC ||
           s.f_type == TMPFS_MAGIC;
}

bool env_window_possible(int fd)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    if (!writes_in_place(fd))
        return false;
    pthread_once(&once, install_handler);
    return true;
}

static void unmap(struct env_window *w)
{
    if (w->map)
        munmap(w->map, w->len);
    w->map = NULL;
    w->len = 0;
}

void env_window_cut(struct env_window *w, uint64_t limit)
{
    unmap(w);
    if (w->limit > limit)
        w->limit = limit;
}

void env_window_init(struct env_window *w, int fd, uint64_t allocated)
{
    *w = (struct env_window){0};
    if (allocated && env_window_possible(fd))
        w->limit = allocated;
}

/* Move to the window that holds off. It may reach beyond the limit, which grows. */
static bool move(struct env_window *w, int fd, uint64_t off)
{
    uint64_t at = off - off % WINDOW_BYTES;
    void *map;

    unmap(w);
    map = mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)at);
    if (map == MAP_FAILED)
        return false;
    w->map = map;
    w->len = WINDOW_BYTES;
    w->at = at;
    return true;
}

size_t env_window_copy(struct env_window *w, int fd, uint64_t off, const uint8_t *data,
                       size_t len)
{
    size_t done = 0;

    while (done < len && off + done < w->limit) {
        uint64_t at = off + done;
        size_t n = len - done;
        bool ok = true;

        if (!w->map || at < w->at || at >= w->at + w->len)
            ok = move(w, fd, at);
        if (ok) {
            uint64_t end = w->at + w->len < w->limit ? w->at + w->len : w->limit;
            uint64_t room = end - at;

            if (n > room)
                n = (size_t)room;
            ok = copy_guarded(w, w->map + (at - w->at), data + done, n);
        }
        if (!ok) {
            env_window_cut(w, 0);
            break;
        }
        done += n;
    }
    return done;
}
