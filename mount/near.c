/*
 * near.c - see near.h. What the kernel tells of threads is read from /proc; where that
 * does not show them there is no near thread.
 */
#include "near.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cpus.h"

enum {
    SLICE_NS = 100000, /* the least there is */
    LOOK_EVERY_NS = 1000000,
    HELD_UP_NS = 500000, /* between two looks, by others than the client */
    HELD_UP_MOST = 2,    /* such looks one after the other */
    MOVES_MOST = 6,      /* the same: the client does not settle */
    APART_NS = 10000,    /* waited for a request, */
    APART_MOST = 3,      /* so many times in a row: the client runs elsewhere */
    IDLE_NS = 20000000,
};

#ifndef sigev_notify_thread_id /* glibc has no name for it */
#define sigev_notify_thread_id _sigev_un._tid
#endif

/* ---- /proc ---- */

static bool read_proc(const char *path, char *text, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return false;
    n = read(fd, text, cap - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0;
}

/* The processor where a thread is, or was last; -1: not known. */
static int cpu_of(uint32_t thread)
{
    enum { AFTER_NAME = 37 }; /* fields from the name's ")" to it: proc(5), "processor" */
    char path[40], text[1024], *at;

    snprintf(path, sizeof(path), "/proc/%u/stat", thread);
    if (!read_proc(path, text, sizeof(text)))
        return -1;
    at = strrchr(text, ')');
    for (int i = 0; at && i < AFTER_NAME; i++)
        at = strchr(at + 1, ' ');
    return at ? atoi(at) : -1;
}

/* What a thread ran, and waited for a processor, since it began. */
static bool times_of(const char *path, uint64_t *ran_ns, uint64_t *waited_ns)
{
    unsigned long long ran, waited;
    char text[128];

    if (!read_proc(path, text, sizeof(text)) ||
        sscanf(text, "%llu %llu", &ran, &waited) != 2)
        return false;
    *ran_ns = ran;
    *waited_ns = waited;
    return ran > 0; /* else the kernel does not count */
}

static bool times(const struct near *n, uint64_t *waited_ns, uint64_t *client_ns)
{
    char path[40];
    uint64_t unused;

    snprintf(path, sizeof(path), "/proc/%u/schedstat", n->client);
    return times_of("/proc/thread-self/schedstat", &unused, waited_ns) &&
           times_of(path, client_ns, &unused);
}

bool near_has_room(void)
{
    char text[128];
    unsigned running;

    if (!read_proc("/proc/loadavg", text, sizeof(text)) ||
        sscanf(text, "%*s %*s %*s %u", &running) != 1)
        return false;
    return running <= cpus_count() / 2;
}

/* ---- the scheduler ---- */

/*
 * A short slice makes the scheduler (from Linux 6.12 on) return to this thread in
 * milliseconds when it shares a processor with many, not after seconds.
 */
static void shorten_slice(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime, deadline, period;
    } attr = {.size = sizeof(attr), .policy = SCHED_OTHER, .runtime = SLICE_NS};

    (void)syscall(SYS_sched_setattr, 0, &attr, 0); /* older ones: longer waits */
}

bool near_become(struct near *n, int kick)
{
    struct sigevent to_me = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = kick};
    struct sched_param none = {0};

    to_me.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (timer_create(CLOCK_MONOTONIC, &to_me, &n->alarm) < 0)
        return false;
    shorten_slice();
    if (sched_setscheduler(0, SCHED_IDLE, &none) == 0)
        return true;
    timer_delete(n->alarm);
    return false;
}

void near_retire(struct near *n)
{
    timer_delete(n->alarm);
}

void near_not(void)
{
    struct sched_param none = {0};

    cpus_unbind();
    if (sched_getscheduler(0) == SCHED_IDLE)
        (void)sched_setscheduler(0, SCHED_OTHER, &none);
}

/* ---- a client ---- */

static bool set_alarm(struct near *n, long every_ns)
{
    const struct itimerspec t = {{0, every_ns}, {0, every_ns}};

    return timer_settime(n->alarm, 0, &t, NULL) == 0;
}

bool near_begin(struct near *n, uint32_t client, uint64_t now_ns)
{
    *n = (struct near){.alarm = n->alarm,
                       .last_ns = now_ns,
                       .answered_ns = now_ns,
                       .client = client,
                       .cpu = cpu_of(client),
                       .next_ns = now_ns + LOOK_EVERY_NS};
    return cpus_bind(n->cpu) && times(n, &n->waited_ns, &n->client_ns) &&
           set_alarm(n, IDLE_NS);
}

void near_end(struct near *n)
{
    (void)set_alarm(n, 0);
}

bool near_idle(const struct near *n, uint64_t now_ns)
{
    return now_ns - n->last_ns >= IDLE_NS;
}

/* Did we wait for a processor for longer than the client was on it? */
static bool is_held_up(struct near *n, uint64_t waited_ns, uint64_t client_ns)
{
    bool held_up = waited_ns - n->waited_ns > client_ns - n->client_ns + HELD_UP_NS;

    n->waited_ns = waited_ns;
    n->client_ns = client_ns;
    return held_up;
}

/*
 * Beside its client this thread does not get to wait for a request: it runs again when
 * the client has sent it, and sleeps. Did it wait, some times in a row? Then it is left
 * behind.
 */
static bool is_left_behind(struct near *n, uint64_t now_ns)
{
    n->apart = now_ns - n->answered_ns > APART_NS ? n->apart + 1 : 0;
    return n->apart == APART_MOST;
}

static void follow(struct near *n)
{
    int cpu = cpu_of(n->client);

    if (cpu < 0 || cpu == n->cpu || !cpus_bind(cpu))
        return;
    n->cpu = cpu;
    n->apart = 0;
}

void near_answered(struct near *n, uint64_t now_ns)
{
    n->answered_ns = now_ns;
}

enum near_state near_look(struct near *n, uint64_t now_ns)
{
    uint64_t waited, client;
    int cpu;

    n->last_ns = now_ns;
    if (is_left_behind(n, now_ns))
        follow(n);
    if (now_ns < n->next_ns)
        return NEAR_WELL;
    n->next_ns = now_ns + LOOK_EVERY_NS;
    cpu = cpu_of(n->client);
    if (cpu < 0 || !times(n, &waited, &client))
        return NEAR_GONE;
    n->held_up = is_held_up(n, waited, client) ? n->held_up + 1 : 0;
    n->moves = cpu != n->cpu ? n->moves + 1 : 0;
    if (n->held_up == HELD_UP_MOST)
        return NEAR_FAILED;
    if (n->moves == MOVES_MOST)
        return NEAR_RESTLESS;
    if (cpu != n->cpu && !cpus_bind(cpu))
        return NEAR_FAILED;
    n->cpu = cpu;
    return NEAR_WELL;
}
