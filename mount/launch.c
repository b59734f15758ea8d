/*
 * launch.c - see launch.h.
 *
 * A pipe joins the two: one byte 'R' means ready, anything else is the reason
 * of the failure, and an end without a byte that the daemon died.
 */
#include "launch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../lsm/lsm.h"
#include "log.h"

struct launch {
    int to_shell; /* -1: in the foreground */
    bool ready;
};

static const char ready_byte = 'R', failed_byte = 'F';

static void tell_shell(struct launch *l, char what, const char *text)
{
    char message[sizeof(struct why) + 1];
    size_t len = 1;

    message[0] = what;
    if (text) {
        len += strlen(text);
        memcpy(message + 1, text, len - 1);
    }
    /* The shell may be gone, and does not need to know then. */
    if (write(l->to_shell, message, len) < 0)
        err_log("cannot report to the shell: %s", strerror(errno));
    close(l->to_shell);
}

void launch_ready(struct launch *l)
{
    int null;

    l->ready = true;
    if (l->to_shell < 0) {
        log_to_stderr();
        return;
    }
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        close(null);
    }
    log_to_syslog();
    tell_shell(l, ready_byte, NULL);
}

int launch_failed(struct launch *l, const struct why *why)
{
    if (l->ready)
        err_log("%s", why->text);
    else if (l->to_shell < 0)
        fail("%s", why->text);
    else
        tell_shell(l, failed_byte, why->text);
    return 1;
}

/* In the shell's process: wait for the word, pass it on. */
static int hear(int from, pid_t daemon)
{
    char message[sizeof(struct why) + 1];
    size_t len = 0;
    ssize_t n;
    int status;

    while (len + 1 < sizeof(message) &&
           ((n = read(from, message + len, sizeof(message) - 1 - len)) > 0 ||
            (n < 0 && errno == EINTR)))
        len += n > 0 ? (size_t)n : 0;
    if (len && message[0] == ready_byte)
        return 0;
    /* Its process must be gone before the shell goes on: it holds the store. */
    while (waitpid(daemon, &status, 0) < 0 && errno == EINTR)
        ;
    message[len] = '\0';
    if (len)
        return fail("%s", message + 1);
    if (WIFSIGNALED(status))
        return fail("the daemon was killed by signal %d (%s) before it was ready",
                    WTERMSIG(status), strsignal(WTERMSIG(status)));
    return fail("the daemon ended with code %d before it was ready", WEXITSTATUS(status));
}

/*
 * Close what else the shell had open: a daemon that keeps a pipe open makes its
 * reader wait, and one that keeps a file in the mount open keeps it busy.
 */
static int keep_only(int fd)
{
    if (fd != STDERR_FILENO + 1) {
        dup3(fd, STDERR_FILENO + 1, O_CLOEXEC);
        fd = STDERR_FILENO + 1;
    }
    closefrom(fd + 1);
    return fd;
}

int launch(bool foreground, serve_fn *serve, void *arg)
{
    struct launch l = {.to_shell = -1};
    int ends[2], rc;
    pid_t pid;

    if (foreground)
        return serve(&l, arg);
    if (pipe2(ends, O_CLOEXEC) < 0)
        return fail("cannot start a daemon: %s", strerror(errno));
    pid = fork();
    if (pid < 0)
        return fail("cannot start a daemon: %s", strerror(errno));
    if (pid > 0) {
        close(ends[1]);
        rc = hear(ends[0], pid);
        close(ends[0]);
        return rc;
    }
    l.to_shell = keep_only(ends[1]);
    setsid();
    if (chdir("/") < 0)
        _exit(fail("cannot change to /: %s", strerror(errno)));
    _exit(serve(&l, arg));
}
