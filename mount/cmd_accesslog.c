/*
 * cmd_accesslog.c - siltfs accesslog MNT: each request that a mount serves, as a line.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "ask.h"
#include "command.h"
#include "target.h"

static volatile sig_atomic_t ended;

static void on_signal(int signal)
{
    ended = 1;
}

static void show(void *arg, const char *line)
{
    if (puts(line) < 0)
        ended = 1;
}

static void no_progress(void *arg, uint64_t done, uint64_t total, uint64_t where)
{
}

/* Asked after each answer, or each second: then all that came is shown. */
static bool go_on(void *arg)
{
    return fflush(stdout) == 0 && !ended;
}

int cmd_accesslog(int argc, char **argv)
{
    struct sigaction sa = {.sa_handler = on_signal};
    struct ask a = {show, no_progress, go_on, NULL};
    static struct target t;
    struct why why;
    int status, err;

    if (argc != 2 || argv[1][0] == '-')
        return usage("accesslog");
    if (target_resolve(argv[1], &t, &why))
        return fail("%s", why.text);
    if (!t.mounted)
        return fail(
            "%s: not mounted, or read only; only a mount that is written to takes "
            "orders",
            argv[1]);
    sigaction(SIGINT, &sa, NULL);
    sigaction(SIGTERM, &sa, NULL);
    err = ask(t.mountpoint, "accesslog", &a, &status, &why);
    return err && err != -ECANCELED ? fail("%s", why.text) : 0;
}
