/*
 * cmd_mount.c - siltfs mount STORE MNT: the daemon, from its first check to the
 * closing of the store.
 *
 * The mount point is checked before the store is opened, and everything that
 * can be refused is refused before anything is changed.
 */
#include <errno.h>
#include <getopt.h>
#include <unistd.h>

#include "command.h"
#include "http.h"
#include "control.h"
#include "evict.h"
#include "heap.h"
#include "launch.h"
#include "log.h"
#include "mountpoint.h"
#include "session.h"
#include "settings.h"
#include "snapshots.h"
#include "store.h"

struct mount_job {
    struct mount_options options;
    char store[PATH_MAX], mountpoint[PATH_MAX];
    const char *argv0; /* what we were called as */
    struct buf words;  /* all that was given with -o */
    struct env *cache; /* options.lsm.env, if it is one; else NULL */
};

static void ready(void *arg)
{
    KILL_POINT("ready");
    launch_ready(arg);
}

static int fs_why(const char *path, int err, struct why *why)
{
    if (err == -ENODATA)
        return why_set(why, err,
                       "%s: holds no filesystem but other data; `siltfs kv %s` reads it",
                       path, path);
    return store_why(path, err, why);
}

struct look {
    const struct mount_job *job;
    int err;
};

/*
 * Is there a filesystem in the store that we can serve? Opening for writing begins a
 * new log; before it does, this looks (lsm_options.accept), so that a store that is
 * refused stays as it is, byte for byte.
 */
static int look(void *arg, struct lsm *db)
{
    struct look *l = arg;
    struct fs_options o = l->job->options.fs;
    struct fs *fs;

    o.read_only = true;
    o.writeback_ms = 0;
    l->err = fs_mount(db, &o, &fs);
    return l->err ? l->err : fs_unmount(fs);
}

/* One that cannot be had is no reason not to mount. */
static void open_cache(struct mount_job *job)
{
    struct env_cache_options o = {.dir = job->options.cache,
                                  .store = job->store,
                                  .bytes = job->options.cache_bytes};
    struct env *to = job->options.lsm.env ? job->options.lsm.env : env_for(job->store);
    char line[1024];

    if (!o.dir[0])
        return;
    log_collect();
    if (env_cache_open(to, &o, &job->cache) == 0)
        job->options.lsm.env = job->cache;
    else if (log_first(line, sizeof(line)))
        note("%s; mounted without", line);
    log_forget();
}

/* Of a snapshot on RADOS it is asked only here: librados does not survive a fork. */
static int find_on_rados(const struct mount_job *job, struct why *why)
{
    char store[PATH_MAX], path[PATH_MAX];
    const char *name = job->options.snapshot;

    if (!name[0] || !env_is_rados(job->store))
        return 0;
    snprintf(store, sizeof(store), "%.*s",
             (int)(strlen(job->store) - strlen("/snapshots/") - strlen(name)),
             job->store);
    return snapshot_find(store, name, path, why);
}

static int open_store(const struct mount_job *job, struct lsm **db, struct why *why)
{
    struct lsm_options o = job->options.lsm;
    struct look l = {.job = job};
    int err;

    o.accept = look;
    o.accept_arg = &l;
    log_collect();
    err = find_on_rados(job, why);
    if (err)
        return err;
    err = store_open(job->store, &o, db, why);
    return l.err ? fs_why(job->store, l.err, why) : err;
}

/* LOCK is only one's own who writes. */
static void mark(const struct mount_job *job, const char *word)
{
    if (!job->options.lsm.read_only)
        store_mark(job->store, word);
}

/* What has threads of its own. */
static int begin_services(struct ops *o, const struct mount_job *job, struct http **http,
                          struct why *why)
{
    if (control_browse(o))
        err_log("%s: no thread: its snapshots are not shown", job->store);
    return job->options.metrics[0] ? http_start(job->options.metrics, o, http, why) : 0;
}

/* Mount, and serve until the end. */
static int serve_fs(struct launch *l, const struct mount_job *job, struct fs *fs,
                    struct evict *evict)
{
    struct ops ops = {0};
    struct session_config config = {
        .store = job->store,
        .mountpoint = job->mountpoint,
        .options = &job->options,
        .ops = &ops,
        .ready = ready,
        .arg = l,
    };
    struct http *http = NULL;
    struct session *s;
    struct why why;
    int err;

    ops_init(&ops, fs, &job->options);
    ops.evict = evict;
    err = session_new(&config, &s, &why);
    if (err) {
        launch_failed(l, &why);
        return err;
    }
    err = begin_services(&ops, job, &http, &why);
    if (err) {
        launch_failed(l, &why);
        control_end(&ops);
        session_free(s);
        return err;
    }
    if (!job->options.lsm.read_only)
        store_mark_mounted(job->store, job->mountpoint);
    KILL_POINT("session-made");
    err = session_run(s);
    KILL_POINT("session-ended");
    http_stop(http);
    control_end(&ops);
    session_free(s);
    if (err) {
        why_set(&why, err, "%s: ended early: %s", job->mountpoint, strerror(-err));
        launch_failed(l, &why);
    }
    return err;
}

/* Unmount and close; what fails is told to the log and to `siltfs umount`. */
static int close_all(const struct mount_job *job, struct fs *fs, struct lsm *db)
{
    char failed[128];
    int err, err2;

    mark(job, "closing");
    KILL_POINT("closing");
    err = fs_unmount(fs);
    KILL_POINT("unmounted");
    err2 = lsm_close(db);
    err = err ? err : err2;
    if (err) {
        err_log("%s: closing failed, the last writes may be lost: %s", job->store,
                strerror(-err));
        snprintf(failed, sizeof(failed), "failed: %s", strerror(-err));
        mark(job, failed);
    }
    return err;
}

static int serve_store(struct launch *l, struct mount_job *job)
{
    struct evict evict;
    struct why why;
    struct lsm *db;
    struct fs *fs;
    int err, close_err;

    if (open_store(job, &db, &why))
        return launch_failed(l, &why);
    job->options.fs.last_name = evict_note;
    err = fs_mount(db, &job->options.fs, &fs);
    if (err) {
        fs_why(job->store, err, &why);
        lsm_close(db);
        return launch_failed(l, &why);
    }
    evict_init(&evict, job->mountpoint);
    err = serve_fs(l, job, fs, &evict);
    evict_release(&evict); /* the device is closed: it waits for nobody */
    close_err = close_all(job, fs, db);
    return err || close_err ? 1 : 0;
}

/*
 * mount(8), which calls us as mount.siltfs, has suid and dev for its defaults and says
 * nothing of them to its helpers, only nosuid and nodev: else root could not have them.
 */
static int mount8_defaults(const char *argv0, struct mount_options *o, struct why *why)
{
    if (strcmp(argv0, "mount") == 0 || getuid() != 0)
        return 0;
    return mount_options_parse(o, "suid,dev", why);
}

/* What the store keeps goes before what was given. */
static int keep_settings(struct mount_job *job, struct why *why)
{
    char list[SETTINGS_MAX];
    int err = settings_read(job->store, list, why);

    if (err || !list[0])
        return err;
    mount_options_release(&job->options);
    mount_options_init(&job->options);
    err = mount8_defaults(job->argv0, &job->options, why);
    if (!err)
        err = mount_options_parse(&job->options, list, why);
    buf_append(&job->words, "", 1);
    if (!err && buf_error(&job->words))
        return why_set(why, -ENOMEM, "out of memory");
    return err ? err
               : mount_options_parse(&job->options, (const char *)job->words.data, why);
}

/* Asked only after the fork, which librados does not survive; and where the cache is was
 * found before, from another current directory. */
static int settings_on_rados(struct mount_job *job, struct why *why)
{
    struct mount_options *o = &job->options;
    char cache[sizeof(o->cache)];
    int err;

    strcpy(cache, o->cache);
    err = keep_settings(job, why);
    strcpy(o->cache, cache);
    /* It has sums of its own, and reading all is dear. */
    if (!o->verify_given)
        o->lsm.verify_bytes = 0;
    return err;
}

static int serve(struct launch *l, void *arg)
{
    struct mount_job *job = arg;
    struct why why;
    int rc;

    heap_configure();
    if (env_is_rados(job->store))
        heap_keep_objects();
    if (session_catch_signals(&why))
        return launch_failed(l, &why);
    env_set_block_hook(session_about_to_wait);
    if (env_is_rados(job->store) && settings_on_rados(job, &why))
        return launch_failed(l, &why);
    open_cache(job);
    rc = serve_store(l, job);
    env_cache_close(job->cache);
    return rc;
}

/* The daemon's current directory is another one. */
static int find_cache(struct mount_job *job, struct why *why)
{
    char path[PATH_MAX];
    int err =
        job->options.cache[0] ? store_resolve_new(job->options.cache, path, why) : 0;

    if (!err && job->options.cache[0])
        strcpy(job->options.cache, path);
    return err;
}

/* A snapshot is mounted as the store that it is. */
static int find_store(struct mount_job *job, const char *arg, struct why *why)
{
    char path[PATH_MAX];
    int err = store_resolve(arg, path, why);

    if (!err && job->options.snapshot[0]) /* no cluster is asked before the fork */
        return (env_is_rados(path) ? snapshot_path : snapshot_find)(
            path, job->options.snapshot, job->store, why);
    strcpy(job->store, path);
    return err;
}

static void configure_rados(struct mount_job *job)
{
    struct mount_options *o = &job->options;
    struct env_rados_options rados = {
        .conf = o->rados_conf[0] ? o->rados_conf : NULL,
        .user = o->rados_id[0] ? o->rados_id : NULL,
        .lease_s = o->rados_lease_s,
    };

    if (env_is_rados(job->store))
        env_rados_configure(&rados);
}

static int take_words(struct mount_job *job, const char *list, struct why *why)
{
    buf_append(&job->words, ",", 1);
    buf_append_slice(&job->words, slice_str(list));
    why_set(why, 0, "out of memory");
    return buf_error(&job->words) ? -ENOMEM
                                  : mount_options_parse(&job->options, list, why);
}

/* *absent: there is no store, and that is to be no error. */
static int parse(int argc, char **argv, struct mount_job *job, bool *foreground,
                 bool *absent)
{
    struct why why;
    static const struct option long_options[] = {
        {"metrics", required_argument, NULL, 'm'}, {0}};
    char list[128];
    int c;

    job->argv0 = argv[0];
    if (mount8_defaults(job->argv0, &job->options, &why))
        return fail("%s", why.text);
    opterr = 0;
    while ((c = getopt_long(argc, argv, "fo:", long_options, NULL)) != -1) {
        if (c == 'm') {
            snprintf(list, sizeof(list), "metrics=%s", optarg);
            optarg = list;
        }
        if (c == 'f')
            *foreground = true;
        else if (c != 'o' && c != 'm')
            return usage("mount");
        else if (take_words(job, optarg, &why))
            return fail("%s", why.text);
    }
    if (argc - optind != 2)
        return usage("mount");
    *absent = job->options.nofail && !env_is_rados(argv[optind]) &&
              access(argv[optind], F_OK) < 0 && errno == ENOENT;
    if (*absent)
        return 0;
    if (mountpoint_resolve(argv[optind + 1], job->mountpoint, &why) ||
        find_store(job, argv[optind], &why) ||
        (!env_is_rados(job->store) && keep_settings(job, &why)) || find_cache(job, &why))
        return fail("%s", why.text);
    return 0;
}

static int remount(struct mount_job *job)
{
    struct buf *words = &job->options.kernel;
    struct why why;

    buf_append(words, "", 1);
    if (buf_error(words))
        return fail("out of memory");
    if (mountpoint_remount(job->mountpoint, job->store, (const char *)words->data, &why))
        return fail("%s", why.text);
    return 0;
}

static int mount_anew(struct mount_job *job, bool foreground)
{
    struct why why;

    if (mountpoint_check(job->mountpoint, job->store, job->options.nonempty, &why))
        return fail("%s", why.text);
    return launch(foreground, serve, job);
}

int cmd_mount(int argc, char **argv)
{
    static struct mount_job job; /* static: two paths are too much for a stack */
    bool foreground = false, absent = false;
    int rc;

    mount_options_init(&job.options);
    rc = parse(argc, argv, &job, &foreground, &absent);
    configure_rados(&job);
    if (rc == 0 && !absent)
        rc = job.options.remount ? remount(&job) : mount_anew(&job, foreground);
    mount_options_release(&job.options);
    buf_release(&job.words);
    return rc;
}
