/*
 * cmd_export.c - siltfs export and siltfs import: tar archives.
 */
#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "progress.h"
#include "settings.h"
#include "source.h"
#include "store.h"
#include "tar.h"

#ifdef HAVE_LIBARCHIVE

#include "libarchive.h"

static int show_progress(void *arg, uint64_t done, uint64_t total, uint64_t position)
{
    progress_show(arg, done, total);
    return progress_canceled();
}

static void show_line(void *arg, const char *line)
{
    progress_clear(arg);
    note("%s", line);
}

/* Of what was asked for, not all is there. */
static int some_missing(const struct tar *t, struct why *why)
{
    if (!t->problems)
        return 0;
    return why_set(why, -EIO, "%" PRIu64 " matter%s told above: the rest is there",
                   t->problems, t->problems == 1 ? " is" : "s are");
}

static int open_fs(const char *path, bool read_only, struct lsm **db, struct fs **fs,
                   struct why *why)
{
    struct lsm_options o;
    struct fs_options fo;
    int err = 0;

    lsm_options_init(&o);
    fs_options_init(&fo);
    o.read_only = fo.read_only = read_only;
    o.format = FS_FORMAT;
    if (read_only)
        o.verify_bytes = 0; /* what is exported is verified as it is read */
    else
        err = settings_lsm(path, &o, why);
    if (!err)
        err = store_open(path, &o, db, why);
    if (err)
        return err;
    err = fs_mount(*db, &fo, fs);
    if (!err)
        return 0;
    if (err == -ENODATA)
        why_set(why, err, "%s: holds no filesystem; `siltfs mkfs` makes one", path);
    else
        store_why(path, err, why);
    (void)lsm_close(*db); /* nothing was written */
    return err;
}

/* ---- export ---- */

static int export(const struct source *from, const char *path, struct why *why)
{
    struct progress bar = {0};
    struct tar t = {.path = path,
                    .fd = STDOUT_FILENO,
                    .report = show_line,
                    .progress = show_progress,
                    .arg = &bar};
    struct lsm *db;
    int err = open_fs(from->dir, true, &db, &t.fs, why);

    if (err)
        return err;
    if (isatty(STDERR_FILENO)) /* else nobody sees how far it is */
        err = tar_measure(&t, &t.total, why);
    if (!err)
        err = tar_export(&t, why);
    progress_clear(&bar);
    if (err == -ECANCELED)
        why_set(why, err, "interrupted: the archive is cut off");
    (void)fs_unmount(t.fs); /* read only, both: nothing to lose */
    (void)lsm_close(db);
    return err ? err : some_missing(&t, why);
}

int cmd_export(int argc, char **argv)
{
    static struct source from;
    struct why why, other;
    int err, close_err;

    if (argc < 2 || argc > 3 || argv[1][0] == '-')
        return usage("export");
    if (isatty(STDOUT_FILENO))
        return fail("export writes to standard output: `siltfs export ... > x.tar`");
    if (libarchive_load(&why))
        return fail("%s", why.text);
    signal(SIGPIPE, SIG_IGN); /* the snapshot of a mount has to go all the same */
    progress_catch_signals();
    if (source_open(argv[1], &from, &why))
        return fail("%s", why.text);
    err = export(&from, argc > 2 ? argv[2] : "", &why);
    close_err = source_close(&from, &other);
    return err || close_err ? fail("%s", err ? why.text : other.text) : 0;
}

/* ---- import ---- */

/* 0: of a pipe nobody knows. */
static uint64_t input_bytes(void)
{
    struct stat st;

    return fstat(STDIN_FILENO, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size
                                                                : 0;
}

static int import(const char *store, const char *path, struct why *why)
{
    struct progress bar = {0};
    struct tar t = {.path = path,
                    .fd = STDIN_FILENO,
                    .report = show_line,
                    .progress = show_progress,
                    .arg = &bar,
                    .total = input_bytes()};
    struct lsm *db;
    int err = open_fs(store, false, &db, &t.fs, why), err2;

    if (err)
        return err;
    err = tar_import(&t, why);
    progress_clear(&bar);
    if (err == -ECANCELED)
        why_set(why, err, "interrupted; run it again: what came before is there");
    err2 = fs_unmount(t.fs);
    if (!err && err2)
        err = store_why(store, err2, why);
    err2 = lsm_close(db);
    if (!err && err2)
        err = store_why(store, err2, why);
    if (!err)
        printf("%s: imported %" PRIu64 " files, %.1f MB\n", store, t.files,
               (double)t.bytes / 1e6);
    return err ? err : some_missing(&t, why);
}

int cmd_import(int argc, char **argv)
{
    static struct target t;
    struct why why;

    if (argc < 2 || argc > 3 || argv[1][0] == '-')
        return usage("import");
    if (isatty(STDIN_FILENO))
        return fail("import reads a tar archive from standard input: `siltfs import "
                    "STORE < x.tar`");
    if (libarchive_load(&why) || target_resolve(argv[1], &t, &why))
        return fail("%s", why.text);
    if (t.mounted)
        return fail(
            "%s: mounted on %s; `tar -x --xattrs --acls -p -C %s` puts files there",
            t.store, t.mountpoint, t.mountpoint);
    progress_catch_signals();
    return import(t.store, argc > 2 ? argv[2] : "", &why) ? fail("%s", why.text) : 0;
}

#else

static int no_libarchive(void)
{
    return fail("this siltfs was built without libarchive: build it with libarchive-dev");
}

int cmd_export(int argc, char **argv)
{
    return no_libarchive();
}

int cmd_import(int argc, char **argv)
{
    return no_libarchive();
}

#endif
