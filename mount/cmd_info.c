/*
 * cmd_info.c - siltfs info PATH...: how files of a mount are kept.
 */
#include <inttypes.h>
#include <stdio.h>

#include "ask.h"
#include "command.h"
#include "within.h"

static void show(void *arg, const char *line)
{
    printf("  %s\n", line);
}

static void no_progress(void *arg, uint64_t done, uint64_t total, uint64_t where)
{
}

static bool go_on(void *arg)
{
    return true;
}

static int show_one(const char *arg, struct why *why)
{
    static struct within w;
    struct ask a = {show, no_progress, go_on, NULL};
    char order[64];
    int status, err = within_open(arg, &w, why);

    if (err)
        return err;
    printf("%s\n", arg);
    snprintf(order, sizeof(order), "info %" PRIu64, w.ino);
    err = ask(w.mountpoint, order, &a, &status, why);
    within_close(&w);
    return err;
}

int cmd_info(int argc, char **argv)
{
    struct why why;
    int i, rc = 0;

    if (argc < 2 || argv[1][0] == '-')
        return usage("info");
    for (i = 1; i < argc; i++) {
        fflush(stdout);
        if (show_one(argv[i], &why))
            rc = fail("%s", why.text);
    }
    return rc;
}
