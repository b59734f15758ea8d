/*
 * order_commands.c - what orders do; the table is at the end. Each is done as any user of
 * fs.h would, and looks at r->off now and then.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

#include "accesslog.h"
#include "browse.h"
#include "orders_impl.h"
#include "quotas.h"
#include "settings.h"
#include "snapshots.h"

enum { PROGRESS_MS = 200 }; /* no more often than that */

/* ---- scrub [rate=BYTES] [after=POSITION] ---- */

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int scrub_progress(void *arg, uint64_t done, uint64_t total, uint64_t position)
{
    struct order *r = arg;

    if (atomic_load(&r->off))
        return -ECANCELED;
    if (now_ms() - r->told_ms >= PROGRESS_MS || done == total) {
        r->told_ms = now_ms();
        order_progress(r, "%" PRIu64 " %" PRIu64 " %" PRIu64, done, total, position);
    }
    return 0;
}

static void say_line(void *arg, const char *line)
{
    order_say(arg, "%s", line);
}

static void scrub(struct order *r, char *arguments)
{
    struct fs_scrub_options o = {
        .report = say_line, .progress = scrub_progress, .arg = r};
    uint64_t problems = 0;
    char *word, *rest;
    int err;

    for (word = strtok_r(arguments, " ", &rest); word;
         word = strtok_r(NULL, " ", &rest)) {
        if (sscanf(word, "rate=%" SCNu64, &o.bytes_per_s) != 1 &&
            sscanf(word, "after=%" SCNu64, &o.after) != 1) {
            order_refuse(r, "scrub: unknown argument %s", word);
            return;
        }
    }
    err = fs_scrub(fs_store(r->ops->fs), &o, &problems);
    if (err)
        order_refuse(r, "the scrub stopped: %s", strerror(-err));
    else
        order_end(r, "%d", problems ? 1 : 0);
}

/* ---- info INO ---- */

static void compression_line(struct order *r, const struct fs_info *i)
{
    static const char *const words[] = {
        [LSM_RAW] = "none", [LSM_LZ4] = "lz4", [LSM_ZSTD] = "zstd"};

    struct lsm_options lsm;

    settings_now(r->ops, &lsm);
    if (i->compression)
        order_say(r, "compression   %s, set for it", i->compression);
    else
        order_say(r, "compression   %s, as the store", words[lsm.vlog]);
}

static void file_lines(struct order *r, const struct fs_info *i)
{
    char list[24 * FS_INFO_SEGMENTS + 32] = "";
    size_t at = 0;
    unsigned n;

    order_say(r, "size          %" PRIu64, i->size);
    order_say(r, "extents       %" PRIu64 ", %" PRIu64 " bytes, holes not counted",
              i->extents, i->bytes);
    if (i->unwritten)
        order_say(r, "unwritten     %" PRIu64 " bytes set aside, read as zeros",
                  i->unwritten);
    if (i->inline_extents)
        order_say(r,
                  "in tables     %" PRIu64 " extents, %" PRIu64
                  " bytes, compressed with what "
                  "is beside them",
                  i->inline_extents, i->inline_bytes);
    if (!i->separated_bytes)
        return;
    order_say(r,
              "in value log  %" PRIu64 " bytes; records take %" PRIu64 " for %" PRIu64
              ": %.2f of them",
              i->separated_bytes, i->stored_bytes, i->raw_bytes,
              (double)i->stored_bytes / (double)i->raw_bytes);
    for (n = 0; n < i->segments_told; n++)
        at +=
            (size_t)snprintf(list + at, sizeof(list) - at, " %06" PRIu64, i->segment[n]);
    if (i->segments_more)
        snprintf(list + at, sizeof(list) - at, ", and more");
    order_say(r, "segments     %s", list);
}

static void info(struct order *r, char *arguments)
{
    struct fs_info i;
    uint64_t ino;
    int err = sscanf(arguments, "%" SCNu64, &ino) == 1 ? 0 : -EINVAL;

    if (!err)
        err = fs_info(r->ops->fs, ino, &i);
    if (err) {
        order_refuse(r, "%s",
                     err == -EUCLEAN ? "its records are damaged" : strerror(-err));
        return;
    }
    order_say(r, "inode         %" PRIu64, i.ino);
    order_say(r, "its record    %s",
              i.embedded ? "in its name's" : "under a key of its own");
    if (S_ISDIR(i.mode))
        order_say(r, "entries       %" PRIu64 ", %" PRIu64 " of them directories",
                  i.entries, i.subdirs);
    if (S_ISREG(i.mode) || S_ISDIR(i.mode))
        compression_line(r, &i);
    if (S_ISREG(i.mode))
        file_lines(r, &i);
    if (i.xattrs)
        order_say(r, "attributes    yes");
    order_end(r, "0");
}

/* ---- compact ---- */

static bool goes_on(void *arg)
{
    struct order *r = arg;

    return !atomic_load(&r->off);
}

static void compact(struct order *r, char *arguments)
{
    struct lsm *db = fs_store(r->ops->fs);
    struct lsm_stats before, after;
    int err;

    lsm_get_stats(db, &before);
    err = lsm_compact_while(db, true, goes_on, r);
    lsm_get_stats(db, &after);
    if (err) {
        order_refuse(r, "the compaction stopped: %s", strerror(-err));
        return;
    }
    order_say(r, "%.1f MB on disk, before %.1f", (double)after.disk_bytes / 1e6,
              (double)before.disk_bytes / 1e6);
    order_end(r, "0");
}

/* ---- accesslog: until it is called off ---- */

static void accesslog(struct order *r, char *arguments)
{
    struct access_reader *reader;
    struct buf lines = {0};
    int err = access_open(&r->ops->meter, &reader);

    if (err) {
        order_refuse(r, "the access log: %s", strerror(-err));
        return;
    }
    while (!err && !atomic_load(&r->off)) {
        char *rest, *line;

        buf_clear(&lines);
        err = access_read(reader, &lines);
        buf_append(&lines, "", 1);
        err = err ? err : buf_error(&lines);
        rest = err ? NULL : (char *)lines.data;
        while ((line = strsep(&rest, "\n")))
            if (*line)
                order_say(r, "%s", line);
    }
    access_close(&r->ops->meter, reader);
    buf_release(&lines);
}

/* ---- snapshot NAME; unsnapshot NAME, which ends with EBUSY when it is in use ---- */

static const char *store_of(const struct order *r)
{
    return lsm_path(fs_store(r->ops->fs));
}

/*
 * The asker has had the kernel write its dirty pages. What fs/ writes now and then, times
 * of access and how many inodes there are, goes first; a full disk, where that may fail,
 * is no reason to have no snapshot.
 */
static void snapshot(struct order *r, char *arguments)
{
    int err = fs_sync(r->ops->fs);
    struct why why;

    if (err && err != -ENOSPC)
        order_refuse(r, "%s: %s", store_of(r), strerror(-err));
    else if (snapshot_create(fs_store(r->ops->fs), store_of(r), arguments, &why))
        order_refuse(r, "%s", why.text);
    else
        order_end(r, "0");
}

static void unsnapshot(struct order *r, char *arguments)
{
    struct why why;

    if (browse_close(r->ops->browse, arguments))
        order_end(r, "%d", EBUSY);
    else if (snapshot_delete(store_of(r), arguments, &why))
        order_refuse(r, "%s", why.text);
    else
        order_end(r, "0");
}

/* ---- du INO [sum] ---- */

struct du_listing {
    struct order *order;
    bool sum;
};

static int say_du(void *arg, const char *path, const struct fs_du *d)
{
    struct du_listing *l = arg;

    if (!order_await_room(l->order))
        return -ECANCELED;
    if (!l->sum || !*path)
        order_say(l->order, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %s", d->bytes,
                  d->stored_bytes, d->inodes, path);
    return 0;
}

static void du(struct order *r, char *arguments)
{
    struct du_listing l = {r, strstr(arguments, " sum")};
    uint64_t ino;
    int err = sscanf(arguments, "%" SCNu64, &ino) == 1 ? 0 : -EINVAL;

    if (!err)
        err = fs_du(r->ops->fs, ino, say_du, &l);
    if (err)
        order_refuse(r, "%s",
                     err == -EUCLEAN ? "its records are damaged" : strerror(-err));
    else
        order_end(r, "0");
}

/* ---- quota set INO BYTES INODES, show INO, clear INO, list ---- */

struct quota_listing {
    struct order *order;
    uint64_t only; /* of this directory; 0: of all */
};

static int say_quota(void *arg, const struct fs_quota *q, const char *path)
{
    struct quota_listing *l = arg;
    char line[QUOTA_LINE];

    if (l->only && l->only != q->dir)
        return 0;
    quota_line(q, line);
    order_say(l->order, "%s%s", line, path);
    return 0;
}

static int show_quotas(struct order *r, uint64_t only)
{
    struct quota_listing l = {r, only};

    return fs_quota_list(r->ops->fs, say_quota, &l);
}

/* Until what was begun is done; that goes on when nobody waits. Of one that is set. */
static void await_quota(struct order *r, uint64_t ino, enum fs_quota_state state)
{
    struct timespec pause = {.tv_nsec = 20 * 1000000};
    struct fs_quota q;

    while (!atomic_load(&r->off) && quota_own(r->ops->fs, ino, &q) == 0 &&
           q.state == state) {
        if (now_ms() - r->told_ms >= PROGRESS_MS) {
            r->told_ms = now_ms();
            order_progress(r, "0 0 0");
        }
        nanosleep(&pause, NULL);
    }
}

static int quota_set(struct order *r, uint64_t ino, const struct fs_limits *limits)
{
    int err = quota_change(r->ops->fs, ino, limits);

    if (err)
        return err;
    await_quota(r, ino, FS_QUOTA_COUNTING);
    return show_quotas(r, ino);
}

static int quota_clear(struct order *r, uint64_t ino)
{
    int err = fs_quota_clear(r->ops->fs, ino);

    if (!err)
        await_quota(r, ino, FS_QUOTA_CLEARING);
    return err;
}

static int quota_show(struct order *r, uint64_t ino)
{
    struct fs_quota q;
    int err = fs_quota_get(r->ops->fs, ino, &q);

    return err ? err : show_quotas(r, q.dir);
}

static void quota(struct order *r, char *arguments)
{
    struct fs_limits limits;
    uint64_t ino;
    int err = -EINVAL;

    if (strcmp(arguments, "list") == 0)
        err = show_quotas(r, 0);
    else if (sscanf(arguments, "set %" SCNu64 " %" SCNu64 " %" SCNu64, &ino,
                    &limits.bytes, &limits.inodes) == 3)
        err = quota_set(r, ino, &limits);
    else if (sscanf(arguments, "clear %" SCNu64, &ino) == 1)
        err = quota_clear(r, ino);
    else if (sscanf(arguments, "show %" SCNu64, &ino) == 1)
        err = quota_show(r, ino);
    if (err)
        order_refuse(r, "%s", quota_why(err));
    else
        order_end(r, "0");
}

/* ---- set [WORDS]: without any, what there is ---- */

static void show_limit(struct order *r, const char *name, uint64_t limit)
{
    if (limit)
        order_say(r, "%s=%" PRIu64, name, limit);
    else
        order_say(r, "%s=none", name);
}

static void show_settings(struct order *r)
{
    char list[SETTINGS_MAX], *rest = list, *word;
    struct fs_stats s;
    struct why why;

    fs_get_stats(r->ops->fs, &s);
    if (settings_read(store_of(r), list, &why)) {
        order_refuse(r, "%s", why.text);
        return;
    }
    show_limit(r, "size", s.limits.bytes);
    show_limit(r, "inodes", s.limits.inodes);
    while ((word = strsep(&rest, ",")))
        if (*word)
            order_say(r, "%s", word);
    order_end(r, "0");
}

static void set(struct order *r, char *arguments)
{
    struct why why;

    if (!*arguments)
        show_settings(r);
    else if (settings_change(r->ops, arguments, say_line, r, &why))
        order_refuse(r, "%s", why.text);
    else
        show_settings(r);
}

/* ---- the table ---- */

static const struct {
    const char *name;
    void (*run)(struct order *r, char *arguments);
} commands[] = {
    {"scrub", scrub},       {"info", info},
    {"compact", compact},   {"accesslog", accesslog},
    {"snapshot", snapshot}, {"unsnapshot", unsnapshot},
    {"quota", quota},       {"du", du},
    {"set", set},
};

void order_run(struct order *r, const char *command, char *arguments)
{
    size_t i;

    for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(command, commands[i].name) == 0) {
            commands[i].run(r, arguments);
            return;
        }
    }
    order_refuse(r, "this daemon knows no command %s", command);
}
