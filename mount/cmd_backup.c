/*
 * cmd_backup.c - siltfs backup and restore: snapshots of stores in a directory, DEST,
 * that they share the files of. DEST/snapshots/NAME is a store, as those of a store are:
 * what reads those reads these.
 */
#include <getopt.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "../fs/fs.h"
#include "command.h"
#include "files.h"
#include "log.h"
#include "progress.h"
#include "source.h"
#include "store.h"
#include "transfer.h"

static int show_progress(void *arg, uint64_t done, uint64_t total, uint64_t position)
{
    progress_show(arg, done, total);
    return progress_canceled();
}

/* Long, and worth a word when it is cut off. */
static int run(struct transfer *t, struct why *why)
{
    struct progress bar = {0};
    int err;

    t->progress = show_progress;
    t->arg = &bar;
    err = transfer(t, why);
    progress_clear(&bar);
    if (err == -ECANCELED)
        why_set(why, err, "interrupted; run it again to go on from here");
    return err;
}

/* ---- backup ---- */

/* What it is called, unless the user says so: like the snapshot, or the time. */
static void default_name(const struct source *from, char name[SNAPSHOT_NAME_MAX + 1])
{
    time_t now = time(NULL);
    struct tm tm;

    if (from->snapshot[0] && !from->temporary)
        strcpy(name, from->snapshot);
    else if (!localtime_r(&now, &tm) ||
             !strftime(name, SNAPSHOT_NAME_MAX, "%Y-%m-%dT%H-%M-%S", &tm))
        strcpy(name, "backup");
}

/* DEST and DEST/snapshots, by names that last, whoever made them. */
static int make_dest(const char *dest, char snapshots[PATH_MAX], struct why *why)
{
    struct env *env = env_for(dest);
    int err = env_mkdir(env, dest);

    if (snprintf(snapshots, PATH_MAX, "%s/snapshots", dest) >= PATH_MAX)
        return why_set(why, -ENAMETOOLONG, "%s: %s", dest, strerror(ENAMETOOLONG));
    if (!err || err == -EEXIST)
        err = env_mkdir(env, snapshots);
    if (!err || err == -EEXIST)
        err = names_last(dest, snapshots);
    return err ? why_set(why, err, "%s: %s", snapshots, strerror(-err)) : 0;
}

static int back_up(const struct source *from, const char *dest, const char *name,
                   struct why *why)
{
    static char snapshots[PATH_MAX], to[PATH_MAX],
        part[PATH_MAX + SNAPSHOT_NAME_MAX + 16];
    struct transfer t = {.from = from->dir,
                         .to = to,
                         .part = part,
                         .others = snapshots,
                         .settings = from->target.store};
    int err = snapshot_path(dest, name, to, why), claim;

    if (!err)
        err = make_dest(dest, snapshots, why);
    if (err)
        return err;
    snprintf(part, sizeof(part), "%s/.%s-part", snapshots, name);
    err = store_claim(to, &claim, why);
    if (!err)
        err = run(&t, why);
    store_unclaim(claim);
    if (err == -EEXIST)
        why_set(why, err, "%s: has a backup \"%s\" already; give another name", dest,
                name);
    if (!err)
        printf("%s: %" PRIu64 " files, %.1f MB; copied %" PRIu64 ", %.1f MB\n", to,
               t.files, (double)t.bytes / 1e6, t.copied_files,
               (double)t.copied_bytes / 1e6);
    return err;
}

int cmd_backup(int argc, char **argv)
{
    static struct source from;
    char dest[PATH_MAX], name[SNAPSHOT_NAME_MAX + 1];
    struct why why, other;
    int err, close_err;

    if (argc < 3 || argc > 4 || argv[1][0] == '-')
        return usage("backup");
    if (argc == 4 && strlen(argv[3]) > SNAPSHOT_NAME_MAX)
        return fail("%s: too long a name", argv[3]);
    progress_catch_signals(); /* a mount's snapshot has to go again */
    if (store_resolve_new(argv[2], dest, &why) || source_open(argv[1], &from, &why))
        return fail("%s", why.text);
    if (argc == 4)
        strcpy(name, argv[3]);
    else
        default_name(&from, name);
    err = back_up(&from, dest, name, &why);
    close_err = source_close(&from, &other);
    if (err || close_err)
        return fail("%s", err ? why.text : other.text);
    return 0;
}

/* ---- restore ---- */

static int newest(void *arg, const struct snapshot *s)
{
    snprintf(arg, SNAPSHOT_NAME_MAX + 1, "%s", s->name);
    return 0;
}

/* DEST[@NAME]: the backup's directory; without a name the newest. */
static int find_backup(const char *arg, char path[PATH_MAX], struct why *why)
{
    char dest[PATH_MAX], copy[PATH_MAX], name[SNAPSHOT_NAME_MAX + 1] = "", *at;
    int err;

    snprintf(copy, sizeof(copy), "%s", arg);
    at = access(copy, F_OK) == 0 ? NULL : strrchr(copy, '@');
    if (at && at > copy) {
        *at = '\0';
        snprintf(name, sizeof(name), "%s", at + 1);
    }
    err = store_resolve(copy, dest, why);
    if (err == -ENOENT)
        return why_set(why, err,
                       "%s: no such directory of backups; `siltfs backup` makes "
                       "them",
                       copy);
    if (!err && !name[0]) {
        err = snapshot_list(dest, newest, name);
        if (err || !name[0])
            return why_set(why, err ? err : -ENOENT, "%s: has no backups in it", dest);
    }
    return err ? err : snapshot_find(dest, name, path, why);
}

int cmd_restore(int argc, char **argv)
{
    static char from[PATH_MAX], to[PATH_MAX], part[PATH_MAX + 16];
    struct transfer t = {
        .from = from, .to = to, .part = part, .settings = from, .verify = true};
    struct why why;
    int err, claim;

    if (argc != 3 || argv[1][0] == '-')
        return usage("restore");
    progress_catch_signals();
    if (find_backup(argv[1], from, &why) || store_resolve_new(argv[2], to, &why))
        return fail("%s", why.text);
    snprintf(part, sizeof(part), "%s.restore-part", to);
    err = store_claim(to, &claim, &why);
    if (!err)
        err = run(&t, &why);
    store_unclaim(claim);
    if (err == -EEXIST)
        why_set(&why, err, "%s: is there already; restore makes a new store", to);
    if (err)
        return fail("%s", why.text);
    printf("%s: restored from %s; %" PRIu64 " files, %.1f MB, every byte as it was "
           "backed up\n",
           to, from, t.files, (double)t.bytes / 1e6);
    return 0;
}
