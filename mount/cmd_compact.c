/*
 * cmd_compact.c - siltfs compact STORE|MNT: all that the engine would do some day, now.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "../fs/fs.h"
#include "ask.h"
#include "command.h"
#include "log.h"
#include "settings.h"
#include "store.h"
#include "target.h"

static void show(void *arg, const char *line)
{
    printf("%s\n", line);
}

static void no_progress(void *arg, uint64_t done, uint64_t total, uint64_t where)
{
}

static bool go_on(void *arg)
{
    return true;
}

static int live(const struct target *t, struct why *why)
{
    struct ask a = {show, no_progress, go_on, NULL};
    int status;

    return ask(t->mountpoint, "compact", &a, &status, why);
}

static int at_rest(const struct target *t, struct why *why)
{
    struct lsm_stats before, after;
    struct lsm_options o;
    struct lsm *db;
    int err, close_err;

    lsm_options_init(&o);
    o.format = FS_FORMAT;
    o.verify_bytes = 0;
    err = settings_lsm(t->store, &o, why);
    if (err)
        return err;
    err = store_open(t->store, &o, &db, why);
    if (err)
        return err;
    log_to_stderr();
    lsm_get_stats(db, &before);
    err = lsm_compact(db, true);
    lsm_get_stats(db, &after);
    close_err = lsm_close(db);
    err = err ? err : close_err;
    if (err)
        return store_why(t->store, err, why);
    printf("%.1f MB on disk, before %.1f\n", (double)after.disk_bytes / 1e6,
           (double)before.disk_bytes / 1e6);
    return 0;
}

int cmd_compact(int argc, char **argv)
{
    static struct target t;
    struct why why;

    if (argc != 2 || argv[1][0] == '-')
        return usage("compact");
    if (target_resolve(argv[1], &t, &why) ||
        (t.mounted ? live(&t, &why) : at_rest(&t, &why)))
        return fail("%s", why.text);
    return 0;
}
