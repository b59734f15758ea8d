/*
 * ceiling.c - build/ceiling: the least that a FUSE daemon of this build can do.
 *
 *   ceiling MNT [-o OPTIONS]        the options of `siltfs mount`
 *
 * Everything of mount/ is in it, session loop, options and replies, but below fs/fs.h
 * there is only memory (ceiling_fs.c): hash tables, arrays, no engine, no log, and one
 * lock. What siltfs is slower than this is what its storage costs. It keeps what the
 * benchmarks do (names, attributes, contents) and refuses the rest; nothing survives it,
 * and `.siltfs` must not be read.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "mount/launch.h"
#include "mount/mountpoint.h"
#include "mount/session.h"

struct job {
    struct mount_options options;
    char mountpoint[PATH_MAX];
};

static void ready(void *arg)
{
    launch_ready(arg);
}

static int serve(struct launch *l, void *arg)
{
    struct job *job = arg;
    struct ops ops = {0};
    struct session_config config = {.store = "ceiling",
                                    .mountpoint = job->mountpoint,
                                    .options = &job->options,
                                    .ops = &ops,
                                    .ready = ready,
                                    .arg = l};
    struct session *s;
    struct fs *fs = NULL;
    struct why why;
    int err = session_catch_signals(&why);

    if (!err && fs_mount(NULL, &job->options.fs, &fs))
        err = why_set(&why, -ENOMEM, "out of memory");
    ops_init(&ops, fs, &job->options);
    if (!err)
        err = session_new(&config, &s, &why);
    if (err)
        return launch_failed(l, &why);
    err = session_run(s);
    session_free(s);
    return err ? 1 : 0;
}

int main(int argc, char **argv)
{
    static struct job job;
    bool foreground = false;
    struct why why;
    int c;

    mount_options_init(&job.options);
    while ((c = getopt(argc, argv, "fo:")) != -1) {
        if (c == 'f')
            foreground = true;
        else if (c != 'o' || mount_options_parse(&job.options, optarg, &why))
            return 2;
    }
    if (argc - optind != 1) {
        fprintf(stderr, "usage: ceiling [-f] MNT [-o OPTIONS]\n");
        return 2;
    }
    if (mountpoint_resolve(argv[optind], job.mountpoint, &why) ||
        mountpoint_check(job.mountpoint, "/nowhere", job.options.nonempty, &why)) {
        fprintf(stderr, "ceiling: %s\n", why.text);
        return 1;
    }
    return launch(foreground, serve, &job);
}
