/*
 * orders.c - see orders.h.
 */
#include "orders.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "accesslog.h"
#include "browse.h"
#include "near.h"
#include "quotas.h"
#include "settings.h"
#include "snapshots.h"

enum {
    LINE_BYTES = 4096,
    READ_WAIT_S = 1,
    PROGRESS_MS = 200,   /* no more often than that */
    KEPT_MAX = 16 << 20, /* of lines that nobody reads; the last is told all the same */
};

struct order {
    struct ops *ops;
    pthread_t thread;
    char line[LINE_BYTES + 1];
    _Atomic bool off; /* called off */
    uint64_t told_ms;

    pthread_mutex_t mu; /* innermost; over the following */
    pthread_cond_t more;
    bool given, over;
    uint64_t lost; /* lines: there was no room */
    struct buf out;
    size_t taken; /* of out: the reader has it */
};

/* ---- answering ---- */

static void put_line(struct order *r, const char *kind, const char *text)
{
    buf_append_slice(&r->out, slice_str(kind));
    buf_append_slice(&r->out, slice_str(text));
    buf_append(&r->out, "\n", 1);
}

static void answer(struct order *r, const char *kind, bool last, const char *fmt,
                   va_list ap)
{
    char *text, lost[64];

    if (vasprintf(&text, fmt, ap) < 0)
        return;
    pthread_mutex_lock(&r->mu);
    if (!last && r->out.len - r->taken >= KEPT_MAX) {
        r->lost++;
    } else {
        if (r->lost) {
            snprintf(lost, sizeof(lost), "(%" PRIu64 " lines are missing)", r->lost);
            put_line(r, "say ", lost);
        }
        r->lost = 0;
        put_line(r, kind, text);
    }
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->mu);
    free(text);
}

/* For who says much and holds no lock: wait until the reader has taken some of it. False:
 * it was called off. */
static bool await_room(struct order *r)
{
    pthread_mutex_lock(&r->mu);
    while (r->out.len - r->taken >= KEPT_MAX && !atomic_load(&r->off))
        pthread_cond_wait(&r->more, &r->mu);
    pthread_mutex_unlock(&r->mu);
    return !atomic_load(&r->off);
}

static void take_locked(struct order *r, void *to, size_t n)
{
    memcpy(to, r->out.data + r->taken, n);
    r->taken += n;
    if (r->taken < r->out.len / 2)
        return;
    r->out.len -= r->taken;
    memmove(r->out.data, r->out.data + r->taken, r->out.len);
    r->taken = 0;
    pthread_cond_broadcast(&r->more);
}

static void say(struct order *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
static void refuse(struct order *r, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

static void say(struct order *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(r, "say ", false, fmt, ap);
    va_end(ap);
}

static void tell_progress(struct order *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(r, "progress ", false, fmt, ap);
    va_end(ap);
}

static void end(struct order *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(r, "end ", true, fmt, ap);
    va_end(ap);
}

static void refuse(struct order *r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    answer(r, "fail ", true, fmt, ap);
    va_end(ap);
}

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
        tell_progress(r, "%" PRIu64 " %" PRIu64 " %" PRIu64, done, total, position);
    }
    return 0;
}

static void say_line(void *arg, const char *line)
{
    say(arg, "%s", line);
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
            refuse(r, "scrub: unknown argument %s", word);
            return;
        }
    }
    err = fs_scrub(fs_store(r->ops->fs), &o, &problems);
    if (err)
        refuse(r, "the scrub stopped: %s", strerror(-err));
    else
        end(r, "%d", problems ? 1 : 0);
}

/* ---- info INO ---- */

static void compression_line(struct order *r, const struct fs_info *i)
{
    static const char *const words[] = {
        [LSM_RAW] = "none", [LSM_LZ4] = "lz4", [LSM_ZSTD] = "zstd"};

    struct lsm_options lsm;

    settings_now(r->ops, &lsm);
    if (i->compression)
        say(r, "compression   %s, set for it", i->compression);
    else
        say(r, "compression   %s, as the store", words[lsm.vlog]);
}

static void file_lines(struct order *r, const struct fs_info *i)
{
    char list[24 * FS_INFO_SEGMENTS + 32] = "";
    size_t at = 0;
    unsigned n;

    say(r, "size          %" PRIu64, i->size);
    say(r, "extents       %" PRIu64 ", %" PRIu64 " bytes, holes not counted", i->extents,
        i->bytes);
    if (i->unwritten)
        say(r, "unwritten     %" PRIu64 " bytes set aside, read as zeros", i->unwritten);
    if (i->inline_extents)
        say(r,
            "in tables     %" PRIu64 " extents, %" PRIu64 " bytes, compressed with what "
            "is beside them",
            i->inline_extents, i->inline_bytes);
    if (!i->separated_bytes)
        return;
    say(r,
        "in value log  %" PRIu64 " bytes; records take %" PRIu64 " for %" PRIu64
        ": %.2f of them",
        i->separated_bytes, i->stored_bytes, i->raw_bytes,
        (double)i->stored_bytes / (double)i->raw_bytes);
    for (n = 0; n < i->segments_told; n++)
        at +=
            (size_t)snprintf(list + at, sizeof(list) - at, " %06" PRIu64, i->segment[n]);
    if (i->segments_more)
        snprintf(list + at, sizeof(list) - at, ", and more");
    say(r, "segments     %s", list);
}

static void info(struct order *r, char *arguments)
{
    struct fs_info i;
    uint64_t ino;
    int err = sscanf(arguments, "%" SCNu64, &ino) == 1 ? 0 : -EINVAL;

    if (!err)
        err = fs_info(r->ops->fs, ino, &i);
    if (err) {
        refuse(r, "%s", err == -EUCLEAN ? "its records are damaged" : strerror(-err));
        return;
    }
    say(r, "inode         %" PRIu64, i.ino);
    say(r, "its record    %s", i.embedded ? "in its name's" : "under a key of its own");
    if (S_ISDIR(i.mode))
        say(r, "entries       %" PRIu64 ", %" PRIu64 " of them directories", i.entries,
            i.subdirs);
    if (S_ISREG(i.mode) || S_ISDIR(i.mode))
        compression_line(r, &i);
    if (S_ISREG(i.mode))
        file_lines(r, &i);
    if (i.xattrs)
        say(r, "attributes    yes");
    end(r, "0");
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
        refuse(r, "the compaction stopped: %s", strerror(-err));
        return;
    }
    say(r, "%.1f MB on disk, before %.1f", (double)after.disk_bytes / 1e6,
        (double)before.disk_bytes / 1e6);
    end(r, "0");
}

/* ---- accesslog: until it is called off ---- */

static void accesslog(struct order *r, char *arguments)
{
    struct access_reader *reader;
    struct buf lines = {0};
    int err = access_open(&r->ops->meter, &reader);

    if (err) {
        refuse(r, "the access log: %s", strerror(-err));
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
                say(r, "%s", line);
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
        refuse(r, "%s: %s", store_of(r), strerror(-err));
    else if (snapshot_create(fs_store(r->ops->fs), store_of(r), arguments, &why))
        refuse(r, "%s", why.text);
    else
        end(r, "0");
}

static void unsnapshot(struct order *r, char *arguments)
{
    struct why why;

    if (browse_close(r->ops->browse, arguments))
        end(r, "%d", EBUSY);
    else if (snapshot_delete(store_of(r), arguments, &why))
        refuse(r, "%s", why.text);
    else
        end(r, "0");
}

/* ---- du INO [sum] ---- */

struct du_listing {
    struct order *order;
    bool sum;
};

static int say_du(void *arg, const char *path, const struct fs_du *d)
{
    struct du_listing *l = arg;

    if (!await_room(l->order))
        return -ECANCELED;
    if (!l->sum || !*path)
        say(l->order, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %s", d->bytes, d->stored_bytes,
            d->inodes, path);
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
        refuse(r, "%s", err == -EUCLEAN ? "its records are damaged" : strerror(-err));
    else
        end(r, "0");
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
    say(l->order, "%s%s", line, path);
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
            tell_progress(r, "0 0 0");
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
        refuse(r, "%s", quota_why(err));
    else
        end(r, "0");
}

/* ---- set [WORDS]: without any, what there is ---- */

static void show_limit(struct order *r, const char *name, uint64_t limit)
{
    if (limit)
        say(r, "%s=%" PRIu64, name, limit);
    else
        say(r, "%s=none", name);
}

static void show_settings(struct order *r)
{
    char list[SETTINGS_MAX], *rest = list, *word;
    struct fs_stats s;
    struct why why;

    fs_get_stats(r->ops->fs, &s);
    if (settings_read(store_of(r), list, &why)) {
        refuse(r, "%s", why.text);
        return;
    }
    show_limit(r, "size", s.limits.bytes);
    show_limit(r, "inodes", s.limits.inodes);
    while ((word = strsep(&rest, ",")))
        if (*word)
            say(r, "%s", word);
    end(r, "0");
}

static void set(struct order *r, char *arguments)
{
    struct why why;

    if (!*arguments)
        show_settings(r);
    else if (settings_change(r->ops, arguments, say_line, r, &why))
        refuse(r, "%s", why.text);
    else
        show_settings(r);
}

/* ---- the commands ---- */

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

static void *obey(void *arg)
{
    struct order *r = arg;
    char *rest = r->line + strcspn(r->line, " ");
    size_t i;

    near_not();
    if (*rest)
        *rest++ = '\0';
    for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(r->line, commands[i].name) == 0) {
            commands[i].run(r, rest);
            break;
        }
    }
    if (i == sizeof(commands) / sizeof(commands[0]))
        refuse(r, "this daemon knows no command %s", r->line);
    pthread_mutex_lock(&r->mu);
    r->over = true;
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->mu);
    return NULL;
}

/* ---- the file ---- */

bool order_allowed(const struct ops *o, uid_t uid)
{
    return uid == 0 || uid == o->uid;
}

int order_new(struct ops *o, struct order **out)
{
    struct order *r = calloc(1, sizeof(*r));

    if (!r)
        return -ENOMEM;
    r->ops = o;
    pthread_mutex_init(&r->mu, NULL);
    pthread_cond_init(&r->more, NULL);
    *out = r;
    return 0;
}

int order_give(struct order *r, struct slice line)
{
    int err = 0;

    if (line.len && line.data[line.len - 1] == '\n')
        line.len--;
    if (!line.len || line.len > LINE_BYTES || memchr(line.data, '\n', line.len) ||
        memchr(line.data, '\0', line.len))
        return -EINVAL;
    pthread_mutex_lock(&r->mu);
    if (r->given || atomic_load(&r->off)) {
        err = -EBUSY;
    } else {
        memcpy(r->line, line.data, line.len);
        err = -pthread_create(&r->thread, NULL, obey, r);
        r->given = err == 0;
    }
    pthread_mutex_unlock(&r->mu);
    return err;
}

int order_read(struct order *r, void *to, size_t len, size_t *got)
{
    struct timespec until;

    *got = 0;
    env_about_to_block();
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += READ_WAIT_S;
    pthread_mutex_lock(&r->mu);
    while (r->given && !r->over && r->out.len == r->taken)
        if (pthread_cond_timedwait(&r->more, &r->mu, &until))
            break;
    if (r->out.len > r->taken) {
        *got = r->out.len - r->taken < len ? r->out.len - r->taken : len;
        take_locked(r, to, *got);
    } else if (r->given && !r->over && len) {
        *(char *)to = '\n';
        *got = 1;
    }
    pthread_mutex_unlock(&r->mu);
    return 0;
}

/* It was taken from the list, or nobody else looks there any more. */
static void call_off(struct order *r)
{
    bool given;

    atomic_store(&r->off, true);
    pthread_mutex_lock(&r->mu);
    given = r->given;
    pthread_cond_broadcast(&r->more);
    pthread_mutex_unlock(&r->mu);
    if (given)
        pthread_join(r->thread, NULL);
    pthread_mutex_lock(&r->mu);
    r->given = false;
    r->over = true;
    pthread_mutex_unlock(&r->mu);
}

void order_free(struct order *r)
{
    env_about_to_block();
    call_off(r);
    buf_release(&r->out);
    pthread_cond_destroy(&r->more);
    pthread_mutex_destroy(&r->mu);
    free(r);
}
