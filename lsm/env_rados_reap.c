/*
 * env_rados_reap.c - what goes: objects of files that have no name any more, and objects
 * of no file; and the threads that see to it, keep leases, and commit what nobody waits
 * for.
 *
 * A file's record goes last, so what a crash leaves is found by who opens the store next.
 * Objects without a record are left by a writer that was fenced while it wrote; only fsck
 * looks for those, since it takes a list of all objects.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_path.h"

#include <stdlib.h>

enum {
    TICK_NS = 1000000000,
    AT_ONCE = 16,      /* removals on their way */
    REAPED_MAX = 1000, /* records in a commit */
};

/* ---- removing ---- */

/* From the end: what a crash leaves is its beginning, as rados_bound_objects wants it. */
int rados_remove_objects(struct names *n, uint64_t id, uint64_t objects)
{
    rados_completion_t done[AT_ONCE];
    char oid[RADOS_OID_MAX];
    int rc = 0, rc2;

    while (objects && !rc) {
        unsigned begun = 0, i;

        for (; begun < AT_ONCE && objects && !rc; objects--) {
            rados_object_name(oid, id, objects - 1);
            rc = ra.aio_create_completion2(NULL, NULL, &done[begun]);
            if (!rc && (rc = ra.aio_remove(n->io, oid, done[begun])))
                ra.aio_release(done[begun]);
            begun += rc == 0;
        }
        for (i = 0; i < begun; i++) {
            ra.aio_wait_for_complete(done[i]);
            rc2 = ra.aio_get_return_value(done[i]);
            ra.aio_release(done[i]);
            if (rc2 && rc2 != -ENOENT && !rc)
                rc = rc2;
        }
    }
    return conn_errno(rc);
}

struct dead {
    uint64_t id, objects; /* perhaps not nearly so many */
};

/* Whether the process that has the store has it open cannot be seen by another. */
static bool is_ours(struct names *n, const struct node *node)
{
    struct rados_holder h;

    return node->rec.session == n->session || names_are_ours(n, RADOS_ROOT) ||
           names_holder(n, RADOS_ROOT, &h) == -ENOENT;
}

static bool is_dead(struct names *n, const struct node *node)
{
    return node->known && !node->links && !node->handles && is_ours(n, node);
}

/* Dead ones whose objects are to be removed; a commit before makes sure that they are. */
static size_t find_dead(struct names *n, struct dead *dead)
{
    size_t i, found = 0;

    for (i = 0; i < n->n_nodes && found < REAPED_MAX; i++)
        if (is_dead(n, n->node[i]))
            dead[found++] = (struct dead){.id = n->node[i]->id,
                                          .objects = n->node[i]->rec.objects};
    return found;
}

static void drop_records(struct names *n, const struct dead *dead, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        struct node *node = names_node(n, dead[i].id);

        if (node && is_dead(n, node) && names_drop_file(n, dead[i].id))
            break;
    }
}

static int remove_dead(struct names *n, struct dead *d)
{
    int rc = rados_bound_objects(n, d->id, &d->objects);

    return rc ? rc : rados_remove_objects(n, d->id, d->objects);
}

int rados_reap(struct names *n)
{
    struct dead *dead = calloc(REAPED_MAX, sizeof(*dead));
    size_t found = 0, i;
    int rc = dead ? 0 : -ENOMEM;

    if (rc)
        return rc;
    mutex_lock(&n->mu);
    rc = names_commit_locked(n);
    if (!rc && n->session && n->loaded)
        found = find_dead(n, dead);
    /* Once more with what others did, and with nothing changed that is not there yet: who
     * has no name then never gets one again. */
    if (found) {
        rc = names_settle_locked(n);
        found = rc ? 0 : find_dead(n, dead);
    }
    mutex_unlock(&n->mu);
    for (i = 0; i < found && !rc; i++)
        rc = remove_dead(n, &dead[i]);
    if (found && !rc) {
        mutex_lock(&n->mu);
        drop_records(n, dead, found);
        rc = names_commit_locked(n);
        mutex_unlock(&n->mu);
    }
    free(dead);
    return rc ? rc : (int)found;
}

/* ---- threads ---- */

static struct mutex mu = MUTEX_INITIALIZER(LOCK_ENV_RADOS_LIST);
static pthread_cond_t wake;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool asked;

static void *reaper(void *arg)
{
    struct names *n;

    for (;;) {
        mutex_lock(&mu);
        if (!asked)
            cond_wait_ns(&wake, &mu, TICK_NS);
        asked = false;
        mutex_unlock(&mu);
        rados_ahead_age();
        rados_spares_age();
        for (n = names_all(); n; n = n->next) {
            bool busy;

            mutex_lock(&n->mu);
            busy = n->store && n->session && !n->error && n->held;
            mutex_unlock(&n->mu);
            while (busy && rados_reap(n) > 0)
                ;
        }
    }
    return arg;
}

static void *keeper(void *arg)
{
    struct conn *c = arg;
    struct mutex own;
    pthread_cond_t never;
    struct names *n;

    mutex_init(&own, LOCK_ENV_RADOS_LIST);
    cond_init(&never);
    for (;;) {
        mutex_lock(&own);
        cond_wait_ns(&never, &own, (uint64_t)c->lease_s * TICK_NS / 3);
        mutex_unlock(&own);
        for (n = names_all(); n; n = n->next)
            rados_lock_renew(n);
    }
    return NULL;
}

static void begin(void)
{
    pthread_t t;
    struct conn *c;

    cond_init(&wake);
    if (conn_get(&c))
        return;
    if (pthread_create(&t, NULL, keeper, c) || pthread_detach(t) ||
        pthread_create(&t, NULL, reaper, NULL) || pthread_detach(t))
        err_log("rados: no thread to keep leases: the store may be taken over");
}

void rados_begin_threads(void)
{
    pthread_once(&once, begin);
}

void rados_wake_reaper(void)
{
    rados_begin_threads();
    mutex_lock(&mu);
    asked = true;
    pthread_cond_signal(&wake);
    mutex_unlock(&mu);
}

/* ---- leaks ---- */

static bool is_leaked(struct names *n, const char *oid)
{
    uint64_t id, index;
    struct node *node;
    bool leaked;

    if (!rados_object_parse(oid, &id, &index))
        return false;
    mutex_lock(&n->mu);
    node = names_node(n, id);
    leaked = !node || !node->known || index >= node->rec.objects;
    mutex_unlock(&n->mu);
    return leaked;
}

/* The record comes before the objects, so names read after an object was seen tell. */
int rados_leaks(struct names *n, bool remove, uint64_t *objects)
{
    rados_list_ctx_t list;
    const char *oid;
    int rc = names_refresh(n);

    *objects = 0;
    if (!rc)
        rc = ra.nobjects_list_open(n->io, &list);
    if (rc)
        return conn_errno(rc);
    while (!rc && (rc = ra.nobjects_list_next(list, &oid, NULL, NULL)) == 0) {
        if (!is_leaked(n, oid))
            continue;
        rc = names_refresh(n);
        if (rc || !is_leaked(n, oid))
            continue;
        ++*objects;
        if (remove)
            rc = ra.remove(n->io, oid);
    }
    ra.nobjects_list_close(list);
    return rc == -ENOENT ? 0 : conn_errno(rc);
}

int env_rados_leaks(const char *path, bool remove, uint64_t *objects)
{
    struct held *held;
    struct rados_place p;
    int rc = rados_find_dir(path, RADOS_FRESH, &p);

    if (!rc)
        rc = rados_lock_take(p.n, RADOS_ROOT, !remove, &held);
    if (rc)
        return rc == -EWOULDBLOCK ? -EBUSY : rc;
    rc = rados_leaks(p.n, remove, objects);
    rados_lock_give(p.n, held);
    return rc;
}

#endif
