/*
 * cmd_send.c - siltfs send and siltfs receive: a snapshot through a pipe.
 */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "progress.h"
#include "send.h"
#include "source.h"
#include "store.h"

static int show_progress(void *arg, uint64_t done, uint64_t total, uint64_t position)
{
    progress_show(arg, done, total);
    return 0;
}

static int do_send(const struct source *from, const char *base_name, struct why *why)
{
    char base[PATH_MAX];
    struct progress bar = {0};
    struct send s = {.from = from->dir,
                     .name = from->snapshot,
                     .fd = STDOUT_FILENO,
                     .progress = show_progress,
                     .arg = &bar};
    int err = 0;

    if (base_name) {
        err = snapshot_find(from->target.store, base_name, base, why);
        s.base = base;
        s.base_name = base_name;
    }
    if (!err)
        err = send_snapshot(&s, why);
    progress_clear(&bar);
    return err;
}

int cmd_send(int argc, char **argv)
{
    static const struct option long_options[] = {{"from", required_argument, NULL, 'f'},
                                                 {0}};
    static struct source from;
    const char *base = NULL;
    struct why why, other;
    int c, err, close_err;

    opterr = 0;
    while ((c = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (c != 'f')
            return usage("send");
        base = optarg;
    }
    if (argc - optind != 1)
        return usage("send");
    if (isatty(STDOUT_FILENO))
        return fail("send writes to standard output: `siltfs send ... | ssh HOST siltfs "
                    "receive STORE`, or > FILE");
    if (source_open(argv[optind], &from, &why))
        return fail("%s", why.text);
    if (!from.snapshot[0] || from.temporary)
        err =
            why_set(&why, -EINVAL,
                    "%s: send a snapshot of it, %s@NAME; `siltfs snapshot create` makes "
                    "one",
                    argv[optind], argv[optind]);
    else
        err = do_send(&from, base, &why);
    close_err = source_close(&from, &other);
    return err || close_err ? fail("%s", err ? why.text : other.text) : 0;
}

/* Of a mount its store; or a directory to be. */
static int find_store(const char *arg, char store[PATH_MAX], struct why *why)
{
    static struct target t;
    int err = target_resolve(arg, &t, why);

    if (err == -ENOENT)
        return store_resolve_new(arg, store, why);
    strcpy(store, t.store);
    return err;
}

int cmd_receive(int argc, char **argv)
{
    static char store[PATH_MAX];
    struct progress bar = {0};
    struct receive r = {
        .store = store, .fd = STDIN_FILENO, .progress = show_progress, .arg = &bar};
    struct why why;
    int err;

    if (argc != 2 || argv[1][0] == '-')
        return usage("receive");
    if (isatty(STDIN_FILENO))
        return fail("receive reads what `siltfs send` writes from standard input");
    err = find_store(argv[1], store, &why);
    if (!err)
        err = receive_snapshot(&r, &why);
    progress_clear(&bar);
    if (err)
        return fail("%s", why.text);
    printf("%s: received \"%s\", %.1f MB\n", store, r.name, (double)r.bytes / 1e6);
    return 0;
}
