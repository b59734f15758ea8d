/*
 * scratch.c - see scratch.h. The worker and what it starts (fio, tar) are a process
 * group: a signal to the one who waits ends all of it before the directory goes.
 */
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "bench.h"
#include "scratch.h"

enum { END_MS = 5000, LOOK_MS = 10 };

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    return remove(path);
}

static bool group_is_there(pid_t group)
{
    return kill(-group, 0) == 0;
}

/* What the worker left running is given a moment to end. */
static void end_group(pid_t group)
{
    kill(-group, SIGTERM);
    for (int ms = 0; group_is_there(group) && ms < END_MS; ms += LOOK_MS)
        usleep(LOOK_MS * 1000);
    kill(-group, SIGKILL);
}

/* Its status; *signal is the one that we were to end by, else 0. */
static int wait_for(pid_t worker, const sigset_t *signals, int *signal)
{
    int sig, status;

    for (*signal = 0;;) {
        sigwait(signals, &sig);
        if (sig != SIGCHLD) {
            *signal = sig;
            kill(-worker, SIGTERM);
        } else if (waitpid(worker, &status, WNOHANG) == worker) {
            return status;
        }
    }
}

__attribute__((noreturn)) static void stand_by(pid_t worker, const char *path,
                                               const sigset_t *signals)
{
    int stop, status = wait_for(worker, signals, &stop);

    end_group(worker);
    if (nftw(path, remove_one, 32, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) != 0)
        bench_die(-errno, "%s stays", path);
    if (stop) {
        bench_progress_end();
        signal(stop, SIG_DFL);
        sigprocmask(SIG_UNBLOCK, signals, NULL);
        raise(stop);
    }
    if (WIFSIGNALED(status))
        bench_die(0, "ended by signal %d", WTERMSIG(status));
    exit(WEXITSTATUS(status));
}

/* The worker does not read from a terminal, which would stop it: it is in the
 * background there. */
static void begin_worker(const sigset_t *signals)
{
    int null = open("/dev/null", O_RDONLY);

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (null < 0 || dup2(null, STDIN_FILENO) < 0)
        bench_die(-errno, "/dev/null");
    close(null);
    sigprocmask(SIG_UNBLOCK, signals, NULL);
}

void bench_scratch(const char *below, char *path, size_t cap)
{
    sigset_t signals;
    pid_t worker;

    if (snprintf(path, cap, "%s/%s-XXXXXX", below, program_invocation_short_name) >=
        (int)cap)
        bench_die(-ENAMETOOLONG, "%s", below);
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGHUP);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    if (!mkdtemp(path))
        bench_die(-errno, "cannot work in %s", below);
    fflush(NULL);
    worker = fork();
    if (worker == 0) {
        begin_worker(&signals);
        return;
    }
    if (worker < 0) {
        rmdir(path);
        bench_die(-errno, "fork");
    }
    setpgid(worker, worker);
    stand_by(worker, path, &signals);
}
