/*
 * source.c - see source.h.
 */
#include "source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../fs/fs.h"
#include "ask.h"
#include "browse.h"
#include "control.h"
#include "store.h"

/* ---- orders to a mount ---- */

static void say_line(void *arg, const char *text)
{
    printf("%s\n", text);
}

static void no_progress(void *arg, uint64_t done, uint64_t total, uint64_t where)
{
}

static bool go_on(void *arg)
{
    return true;
}

static int order(const struct target *t, const char *what, const char *name, int *status,
                 struct why *why)
{
    struct ask a = {say_line, no_progress, go_on, NULL};
    char line[SNAPSHOT_NAME_MAX + 32];

    *status = 0;
    snprintf(line, sizeof(line), "%s %s", what, name);
    return ask(t->mountpoint, line, &a, status, why);
}

/*
 * What programs have written and the kernel has not yet passed on. What could not be
 * passed on (a quota, a full disk) is gone, and told to those who wrote it, but once to
 * whoever asks first, too, however long ago it was: so only the second answer counts.
 */
static int write_dirty_pages(const struct target *t, struct why *why)
{
    int fd = open(t->mountpoint, O_RDONLY | O_DIRECTORY | O_CLOEXEC), err = 0;

    if (fd < 0 || (syncfs(fd) < 0 && syncfs(fd) < 0))
        err = why_set(why, -errno, "%s: %s", t->mountpoint, strerror(errno));
    if (fd >= 0)
        close(fd);
    return err;
}

/* ---- a store at rest ---- */

static int create_at_rest(const char *store, const char *name, struct why *why)
{
    struct lsm_options o;
    struct lsm *db;
    int err, close_err;

    lsm_options_init(&o);
    o.verify_bytes = 0;
    o.format = FS_FORMAT;
    err = store_open(store, &o, &db, why);
    if (err)
        return err;
    err = snapshot_create(db, store, name, why);
    close_err = lsm_close(db);
    return !err && close_err ? store_why(store, close_err, why) : err;
}

/* ---- both ---- */

static int check_name(const struct target *t, const char *name, struct why *why)
{
    char path[PATH_MAX];

    return snapshot_path(t->store, name, path, why);
}

int target_snapshot(const struct target *t, const char *name, struct why *why)
{
    int err = check_name(t, name, why), status;

    if (!err && t->mounted)
        err = write_dirty_pages(t, why);
    if (err)
        return err;
    return t->mounted ? order(t, "snapshot", name, &status, why)
                      : create_at_rest(t->store, name, why);
}

/*
 * A directory that was invalidated while something below it was open keeps what is in
 * memory of it, out of reach of another invalidation, until its name is looked up.
 */
static int delete_shown(const struct target *t, const char *name, struct why *why)
{
    char shown[PATH_MAX + SNAPSHOT_NAME_MAX + 32];
    int status, err = order(t, "unsnapshot", name, &status, why);

    if (!err && status == EBUSY) {
        snprintf(shown, sizeof(shown), "%s/" CONTROL_NAME "/" BROWSE_NAME "/%s",
                 t->mountpoint, name);
        (void)access(shown, F_OK);
        err = order(t, "unsnapshot", name, &status, why);
    }
    if (!err && status == EBUSY)
        err = why_set(why, -EBUSY,
                      "snapshot \"%s\" is in use below %s/" CONTROL_NAME "/" BROWSE_NAME
                      "; close what is open there",
                      name, t->mountpoint);
    return err;
}

int target_unsnapshot(const struct target *t, const char *name, struct why *why)
{
    int err = check_name(t, name, why);

    if (err)
        return err;
    return t->mounted ? delete_shown(t, name, why) : snapshot_delete(t->store, name, why);
}

/* ---- sources ---- */

/* The name of a snapshot behind the last @, if arg as a whole names nothing. */
static const char *split(const char *arg, char store[PATH_MAX])
{
    const char *at = strrchr(arg, '@');

    if (!at || at == arg || access(arg, F_OK) == 0 || strlen(arg) >= PATH_MAX) {
        snprintf(store, PATH_MAX, "%s", arg);
        return NULL;
    }
    memcpy(store, arg, (size_t)(at - arg));
    store[at - arg] = '\0';
    return at + 1;
}

/* What a mount on RADOS serves is read from the cluster, too: from its own. */
static int check_cluster(const struct target *t, struct why *why)
{
    static struct mountinfo its, ours; /* large */

    if (!t->mounted || !env_is_rados(t->store) ||
        (mountinfo_at(t->mountpoint, &its) == 0 && store_mount(t->store, &ours) == 0 &&
         its.major == ours.major && its.minor == ours.minor))
        return 0;
    return why_set(why, -EXDEV,
                   "%s: mounted from another cluster than is configured here, or taken "
                   "over; CEPH_CONF and CEPH_ARGS say which",
                   t->mountpoint);
}

int source_open(const char *arg, struct source *s, struct why *why)
{
    char store[PATH_MAX];
    const char *name = split(arg, store);
    int err = target_resolve(store, &s->target, why);

    if (!err)
        err = check_cluster(&s->target, why);
    s->temporary = !err && !name && s->target.mounted;
    s->snapshot[0] = '\0';
    if (err)
        return err;
    if (!name && !s->temporary) {
        strcpy(s->dir, s->target.store);
        return 0;
    }
    if (name)
        snprintf(s->snapshot, sizeof(s->snapshot), "%s", name);
    else
        snprintf(s->snapshot, sizeof(s->snapshot), "temporary-%ld", (long)getpid());
    if (s->temporary)
        err = target_snapshot(&s->target, s->snapshot, why);
    if (!err)
        err = snapshot_find(s->target.store, name ? name : s->snapshot, s->dir, why);
    if (!err)
        snapshot_settle(s->dir);
    return err;
}

int source_close(struct source *s, struct why *why)
{
    return s->temporary ? target_unsnapshot(&s->target, s->snapshot, why) : 0;
}
