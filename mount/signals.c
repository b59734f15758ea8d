/*
 * signals.c - SIGTERM, SIGINT and SIGHUP end a session in good order.
 *
 * A thread of its own waits for them. It unmounts, and the workers, still
 * serving, write what the kernel holds back. A mount in use is written back,
 * then detached. Then the workers are stopped: the hot one, waiting in a read,
 * by a signal that interrupts it, again and again, since one may come just
 * before the read.
 */
#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "mountpoint.h"
#include "session_impl.h"

enum { KICK_EVERY_MS = 10 };

enum stage {
    STARTING, /* nothing is mounted: a signal kills, which a store survives */
    SERVING,
    ENDED, /* closing the store: a second signal must not stop that */
};

/* Outside a session's mu; held while a signal is dealt with, so that the
 * session stays until then. */
static struct mutex mu = MUTEX_INITIALIZER(LOCK_SIGNALS);
static enum stage stage;
static struct session *session;
static sigset_t caught;

void session_signals_to(struct session *s)
{
    mutex_lock(&mu);
    session = s;
    stage = s ? SERVING : ENDED;
    mutex_unlock(&mu);
}

/* False once all workers have ended. */
static bool kick_workers(struct session *s)
{
    bool any = false;

    mutex_lock(&s->mu);
    for (struct worker *w = s->workers; w; w = w->next) {
        if (!w->ended) {
            pthread_kill(w->thread, SESSION_KICK);
            any = true;
        }
    }
    mutex_unlock(&s->mu);
    return any;
}

static void write_back(const struct session *s)
{
    int fd = open(s->config->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || syncfs(fd) < 0)
        err_log("%s: cannot write back what is not written yet: %s",
                s->config->mountpoint, strerror(errno));
    if (fd >= 0)
        close(fd);
}

static void end_session(struct session *s)
{
    static const struct timespec pause = {.tv_nsec = KICK_EVERY_MS * 1000000};
    const char *mountpoint = s->config->mountpoint;
    struct why why;

    if (session_is_mounted(s) && mountpoint_unmount(mountpoint, UNMOUNT, &why) < 0) {
        err_log("%s; detaching it from its users", why.text);
        write_back(s);
        if (mountpoint_unmount(mountpoint, UNMOUNT_LAZY, &why) < 0)
            err_log("%s", why.text);
    }
    fuse_session_exit(s->fuse);
    session_stop(s, 0);
    while (kick_workers(s))
        nanosleep(&pause, NULL);
}

static void *wait_for_signals(void *arg)
{
    int sig;

    for (;;) {
        if (sigwait(&caught, &sig) != 0)
            continue;
        mutex_lock(&mu);
        if (stage == STARTING) {
            signal(sig, SIG_DFL);
            pthread_sigmask(SIG_UNBLOCK, &caught, NULL);
            raise(sig);
        }
        if (stage == SERVING)
            end_session(session);
        mutex_unlock(&mu);
    }
    return NULL;
}

static void do_nothing(int sig)
{
}

int session_catch_signals(struct why *why)
{
    struct sigaction kick = {.sa_handler = do_nothing}; /* no SA_RESTART: it interrupts */
    pthread_t thread;
    int err;

    sigemptyset(&caught);
    sigaddset(&caught, SIGTERM);
    sigaddset(&caught, SIGINT);
    sigaddset(&caught, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    sigaction(SESSION_KICK, &kick, NULL);
    pthread_sigmask(SIG_BLOCK, &caught, NULL);
    err = -pthread_create(&thread, NULL, wait_for_signals, NULL);
    if (err)
        return why_set(why, err, "cannot start a thread: %s", strerror(-err));
    pthread_detach(thread);
    return 0;
}
