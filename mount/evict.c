/*
 * evict.c - see evict.h.
 *
 * The reference is an O_PATH descriptor, by the file's handle: that asks us nothing, and
 * keeps the contents from nobody. It is opened in a private copy of the mount, so that
 * umount(8) does not find the mount in use meanwhile. And it is in a table of descriptors
 * that has nothing else: the thread may wait for requests that are under way, which the
 * kernel ends when the device is closed, for which it must not be open here.
 *
 * One file at a time: the next one's remover does the work itself, so that nothing queues
 * up.
 */
#include "evict.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "session.h"

enum {
    LARGE_BYTES = 32 << 20, /* less is gone in 3 ms */
    PATIENCE_NS = 3000000,  /* until the reference is taken */
    HELD_NS = 20000000,     /* until the remover has given up its own */
    INO64_GEN = 0x81,       /* FUSE's kind of handles: number and generation */
};

static __thread uint64_t noted;

void evict_note(uint64_t ino, uint64_t size_bytes)
{
    if (size_bytes >= LARGE_BYTES)
        noted = ino;
}

/* A descriptor of the file, or -1. */
static int open_inode(const char *mountpoint, uint64_t ino)
{
    union {
        struct file_handle h;
        char room[sizeof(struct file_handle) + 12];
    } to = {.h = {.handle_bytes = 12, .handle_type = INO64_GEN}};
    const uint32_t words[3] = {(uint32_t)(ino >> 32), (uint32_t)ino, 0};
    int tree = (int)syscall(SYS_open_tree, AT_FDCWD, mountpoint,
                            OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

    memcpy(to.h.f_handle, words, sizeof(words));
    /* The mount is told by the directory this thread is in: a descriptor would have to be
     * of an open directory, a request more. */
    if (tree < 0 || fchdir(tree) < 0)
        return -1;
    return open_by_handle_at(AT_FDCWD, &to.h, O_PATH | O_CLOEXEC);
}

static void tell(struct evict *e, enum evict_state state)
{
    mutex_lock(&e->mu);
    e->state = state;
    pthread_cond_broadcast(&e->wake);
    mutex_unlock(&e->mu);
}

/* On a thread with descriptors and a working directory of its own, which go with it. */
static void hold(struct evict *e)
{
    static const struct timespec until_removed = {.tv_nsec = HELD_NS};
    int fd;

    close_range(0, ~0u, 0);
    fd = open_inode(e->mountpoint, e->ino);
    tell(e, fd >= 0 ? EVICT_HELD : EVICT_FAILED);
    if (fd < 0)
        return;
    nanosleep(&until_removed, NULL);
    close(fd); /* here the contents go */
}

static void *evict_main(void *arg)
{
    if (unshare(CLONE_FILES | CLONE_FS) == 0)
        hold(arg);
    tell(arg, EVICT_IDLE);
    return NULL;
}

static bool start_thread(struct evict *e)
{
    pthread_attr_t detached;
    pthread_t thread;
    int err;

    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    err = pthread_create(&thread, &detached, evict_main, e);
    pthread_attr_destroy(&detached);
    return err == 0;
}

void evict_noted(struct evict *e)
{
    const uint64_t ino = noted;

    if (!ino)
        return;
    noted = 0;
    session_about_to_block(); /* the kernel may have to ask for the root's attributes */
    mutex_lock(&e->mu);
    if (e->state == EVICT_IDLE) {
        e->ino = ino;
        e->state = EVICT_BEGUN;
        if (!start_thread(e))
            e->state = EVICT_IDLE;
        while (e->state == EVICT_BEGUN &&
               cond_wait_ns(&e->wake, &e->mu, PATIENCE_NS) == 0)
            ;
    }
    mutex_unlock(&e->mu);
}

void evict_init(struct evict *e, const char *mountpoint)
{
    *e = (struct evict){.mountpoint = mountpoint};
    mutex_init(&e->mu, LOCK_EVICT);
    cond_init(&e->wake);
}

void evict_release(struct evict *e)
{
    mutex_lock(&e->mu);
    while (e->state != EVICT_IDLE)
        cond_wait(&e->wake, &e->mu);
    mutex_unlock(&e->mu);
    pthread_cond_destroy(&e->wake);
    mutex_release(&e->mu);
}
