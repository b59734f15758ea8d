/*
 * env_rados_lock.c - who may write to a store, and that nobody else can.
 *
 * A lock is one of RADOS' advisory locks on the names object, with a lease that is
 * renewed at a third of its time. Nobody is hindered by it from writing who does not ask:
 * a writer that was cut off, or stopped, and wakes up when another has the store, must be
 * fenced. Who takes a lock and finds the record of a holder that did not give it back
 *
 *   1. puts that client on the cluster's blocklist: no OSD takes anything from it;
 *   2. writes its own record in the names object. The other one commits names only if
 *      these are as it read them; so it reads this first, and gives up;
 *   3. seals the files that were being written: their last object gets a guard that no
 *      append of the other one matches, and the next one is there already, so that it
 *      cannot be made. What was acknowledged is below that end.
 *
 * 2 and 3 are enough, whatever is on the blocklist (its entries expire); 1 stops also
 * what is on its way to deleted files, and tells the other one at once.
 *
 * A holder whose process is known to be dead (same boot, same processes in sight) is not
 * waited for.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_path.h"
#include "kill.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    BLOCKLIST_S = 24 * 3600,
    LOCKERS_BYTES = 64 << 10,
    REAP_NS = 2000000000, /* spent on removing files before a lock is given back */
};

static void lock_name(char name[32], uint64_t dir)
{
    snprintf(name, 32, "lock.%016" PRIx64, dir);
}

/* ---- others ---- */

static bool is_here(struct slice host)
{
    const char *here = conn_host();

    return host.len > 1 && slice_eq(host, slice_str(here));
}

static bool is_dead(struct slice host, uint64_t pid)
{
    return is_here(host) && pid > 1 && pid <= INT32_MAX && kill((pid_t)pid, 0) < 0 &&
           errno == ESRCH;
}

bool rados_holder_here(const struct rados_holder *h, bool *dead)
{
    *dead = is_dead(h->host, h->pid);
    return is_here(h->host);
}

/* A cookie is "SESSION HOST PID". */
static bool cookie_is_dead(const char *cookie)
{
    const char *host = strchr(cookie, ' ');
    const char *pid = host ? strrchr(cookie, ' ') : NULL;

    return pid && pid > host &&
           is_dead(slice_of(host + 1, (size_t)(pid - host - 1)),
                   strtoull(pid + 1, NULL, 10));
}

/* Break the locks of processes that are no more. *broken: there were some. */
static int break_dead(struct names *n, const char *name, bool *broken)
{
    char *space = malloc(3 * LOCKERS_BYTES), tag[64], *client = space,
         *cookie = space ? space + LOCKERS_BYTES : NULL,
         *addr = space ? space + 2 * LOCKERS_BYTES : NULL;
    size_t tag_len = sizeof(tag), clients = LOCKERS_BYTES, cookies = LOCKERS_BYTES,
           addrs = LOCKERS_BYTES;
    int exclusive;
    ssize_t count, i;

    *broken = false;
    if (!space)
        return -ENOMEM;
    count = ra.list_lockers(n->io, n->oid, name, &exclusive, tag, &tag_len, client,
                            &clients, cookie, &cookies, addr, &addrs);
    for (i = 0; i < count; i++) {
        if (cookie_is_dead(cookie))
            *broken |= ra.break_lock(n->io, n->oid, name, client, cookie) == 0;
        client += strlen(client) + 1;
        cookie += strlen(cookie) + 1;
    }
    free(space);
    return count < 0 && count != -ENOENT ? conn_errno((int)count) : 0;
}

/* ---- taking ---- */

static int ask(struct names *n, const struct held *h, uint8_t flags)
{
    struct timeval lease = {.tv_sec = n->conn->lease_s};
    char name[32];

    lock_name(name, h->dir);
    return h->shared ? ra.lock_shared(n->io, n->oid, name, h->cookie, "", "siltfs",
                                      &lease, flags)
                     : ra.lock_exclusive(n->io, n->oid, name, h->cookie, "siltfs", &lease,
                                         flags);
}

static int take(struct names *n, struct held *h)
{
    char name[32];
    bool broken;
    int rc = ask(n, h, 0);

    if (rc == -EBUSY) {
        lock_name(name, h->dir);
        rc = break_dead(n, name, &broken);
        if (!rc)
            rc = broken ? ask(n, h, 0) : -EBUSY;
    }
    return rc == -EBUSY || rc == -EEXIST ? -EWOULDBLOCK : conn_errno(rc);
}

/* Its operations come to nothing from here on: each OSD has the map before it sees the
 * next one of ours. */
static int blocklist(struct names *n, struct slice addrs)
{
    char *text = strndup((const char *)addrs.data, addrs.len), *at, *word;
    int rc = text ? 0 : -ENOMEM;

    for (at = text; !rc && (word = strsep(&at, ","));)
        if (*word && strcmp(word, n->conn->addrs) != 0)
            rc = ra.blocklist_add(n->conn->cluster, word, BLOCKLIST_S);
    free(text);
    if (rc) {
        err_log(
            "%s: the last writer could not be put on the blocklist (%s); it is kept from "
            "writing all the same",
            n->label, strerror(-rc));
        return 0;
    }
    return ra.wait_for_latest_osdmap(n->conn->cluster);
}

struct taking {
    uint64_t dir, former;
    struct buf addrs;
};

static int write_record(struct names *n, void *arg)
{
    struct taking *t = arg;
    struct rados_holder old, mine = {
                                 .session = n->session,
                                 .addrs = slice_str(n->conn->addrs),
                                 .host = slice_str(conn_host()),
                                 .pid = (uint64_t)getpid(),
                                 .name = slice_str(conn_machine()),
                             };

    t->former = 0;
    buf_clear(&t->addrs);
    if (names_holder(n, t->dir, &old) == 0) {
        t->former = old.session;
        buf_append_slice(&t->addrs, old.addrs);
    }
    return names_set_holder(n, t->dir, &mine);
}

static bool is_open_of_others(const struct names *n, const struct node *node)
{
    return node && node->known && node->rec.state == RADOS_OPEN &&
           node->rec.session != n->session;
}

/*
 * What `former` was writing; and whatever is open in the directory: who came between may
 * have died before it had sealed what it found.
 */
static int seal_all(struct names *n, uint64_t dir, uint64_t former)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < n->n_nodes && !rc; i++)
        if (is_open_of_others(n, n->node[i]) && n->node[i]->rec.session == former)
            rc = rados_seal_locked(n, n->node[i]);
    for (i = names_first(n, dir); i < n->n_entries && n->entry[i]->dir == dir && !rc;
         i++) {
        struct node *node =
            n->entry[i]->is.kind == RADOS_FILE ? names_node(n, n->entry[i]->is.id) : NULL;

        if (is_open_of_others(n, node))
            rc = rados_seal_locked(n, node);
    }
    return rc ? rc : names_commit_locked(n);
}

/* The lock is ours; now whoever had it before. */
static int take_over(struct names *n, uint64_t dir)
{
    struct taking t = {.dir = dir};
    int rc = names_session_locked(n);

    if (!rc)
        rc = names_at_once(n, write_record, &t);
    KILL_POINT("taking-over");
    if (!rc && t.former) {
        err_log("%s: its last writer did not close it; taking over", n->label);
        rc = buf_error(&t.addrs) ? -ENOMEM : blocklist(n, buf_slice(&t.addrs));
    }
    if (!rc)
        rc = seal_all(n, dir, t.former);
    KILL_POINT("took-over");
    buf_release(&t.addrs);
    return rc;
}

/* Directories have their lock in them, as a name. */
static int show(struct names *n, uint64_t dir)
{
    struct rados_file empty = {.state = RADOS_CLOSED, .session = n->session};
    struct rados_entry e = {.kind = RADOS_FILE};
    int rc;

    if (names_find(n, dir, "LOCK"))
        return 0;
    e.id = names_new_id_locked(n);
    rc = names_set_file(n, e.id, &empty);
    if (!rc)
        rc = names_set_entry(n, dir, "LOCK", &e);
    return rc ? rc : names_commit_locked(n);
}

static void unlock(struct names *n, const struct held *h)
{
    char name[32];

    lock_name(name, h->dir);
    ra.unlock(n->io, n->oid, name, h->cookie); /* else the lease ends it */
}

/* The lock is there; now it is ours to use, and others hear of it. */
static int begin_holding(struct names *n, struct held *h)
{
    int rc;

    mutex_lock(&n->mu);
    rc = h->shared ? names_refresh_locked(n) : take_over(n, h->dir);
    if (!rc && !h->shared)
        rc = show(n, h->dir);
    if (!rc) {
        h->next = n->held;
        n->held = h;
    }
    mutex_unlock(&n->mu);
    return rc;
}

int rados_lock_take(struct names *n, uint64_t dir, bool shared, struct held **out)
{
    static _Atomic unsigned count;
    struct held *h = calloc(1, sizeof(*h));
    int rc;

    if (!h)
        return -ENOMEM;
    h->dir = dir;
    h->shared = shared;
    snprintf(h->cookie, sizeof(h->cookie), "%" PRIx64 ".%u %s %d", n->session, ++count,
             conn_host(), (int)getpid());
    mutex_lock(&n->mu);
    rc = n->error;
    mutex_unlock(&n->mu);
    if (!rc)
        rc = take(n, h);
    if (!rc && (rc = begin_holding(n, h)))
        unlock(n, h);
    if (rc)
        free(h);
    *out = rc ? NULL : h;
    if (!rc)
        rados_begin_threads();
    return rc;
}

static struct held **find_held(struct names *n, const char *cookie)
{
    struct held **at;

    for (at = &n->held; *at && strcmp((*at)->cookie, cookie) != 0; at = &(*at)->next)
        ;
    return at;
}

void rados_lock_give(struct names *n, struct held *h)
{
    uint64_t until = conn_now_ns() + REAP_NS;
    struct held **at;
    int rc = 0;

    /* What is left the next one removes. */
    while (!h->shared && conn_now_ns() < until && rados_reap(n) > 0)
        ;
    mutex_lock(&n->mu);
    if (!h->shared) {
        rc = names_commit_locked(n);
        if (!rc)
            rc = names_drop_holder(n, h->dir);
        if (!rc)
            rc = names_commit_locked(n);
    }
    at = find_held(n, h->cookie);
    if (*at)
        *at = h->next;
    mutex_unlock(&n->mu);
    unlock(n, h);
    if (rc)
        err_log("%s: not given back in order: %s", n->label, strerror(-rc));
    free(h);
}

/* ---- keeping ---- */

static bool still_held(struct names *n, const struct held *h)
{
    bool held;

    mutex_lock(&n->mu);
    held = !n->error && *find_held(n, h->cookie);
    mutex_unlock(&n->mu);
    return held;
}

/* h is a copy: nothing is locked over the round trips, of which one may never end. */
static void renew(struct names *n, const struct held *h)
{
    int rc = ask(n, h, LIBRADOS_LOCK_FLAG_MUST_RENEW);

    /* We slept too long; perhaps nobody noticed. Or it was given back. */
    if (rc == -ENOENT && still_held(n, h)) {
        rc = ask(n, h, 0);
        if (!rc && !still_held(n, h))
            unlock(n, h);
    }
    if ((rc == -EBUSY || rc == -ESHUTDOWN) && still_held(n, h)) {
        mutex_lock(&n->mu);
        names_fenced(n, "another has taken the store over");
        mutex_unlock(&n->mu);
    }
}

/* The n-th of those that are held, copied. */
static bool nth_held(struct names *n, unsigned at, struct held *copy)
{
    const struct held *h;

    mutex_lock(&n->mu);
    for (h = n->error ? NULL : n->held; h && at; at--)
        h = h->next;
    if (h)
        *copy = *h;
    mutex_unlock(&n->mu);
    return h;
}

void rados_lock_renew(struct names *n)
{
    struct held h;
    unsigned i;

    /* One that comes or goes meanwhile may be missed: the lease is three rounds long. */
    for (i = 0; nth_held(n, i, &h); i++)
        renew(n, &h);
    if (i)
        (void)names_refresh_if_idle(n); /* another has the store: that is noted there */
}

int rados_mark(struct names *n, uint64_t dir, const char *text)
{
    struct rados_holder h;
    struct buf copy = {0};
    char key[RADOS_KEY_MAX];
    int rc;

    rados_key_holder(key, dir);
    mutex_lock(&n->mu);
    rc = names_holder(n, dir, &h);
    if (!rc && h.session != n->session)
        rc = -EPERM;
    h.text = slice_of(text, strnlen(text, RADOS_TEXT_MAX));
    if (!rc) {
        /* What the words are in moves when it is replaced. */
        rados_put_holder(&copy, key, &h);
        rc = buf_error(&copy) ? -ENOMEM : rados_get_holder(buf_slice(&copy), key, &h);
    }
    if (!rc)
        rc = names_set_holder(n, dir, &h);
    if (!rc)
        rc = names_commit_locked(n);
    mutex_unlock(&n->mu);
    buf_release(&copy);
    return rc;
}

int env_rados_holder(const char *path, struct env_rados_holder *out)
{
    struct rados_holder h;
    struct rados_place p;
    int rc = rados_find_dir(path, RADOS_FRESH, &p);

    if (rc)
        return rc;
    memset(out, 0, sizeof(*out));
    mutex_lock(&p.n->mu);
    rc = names_refresh_locked(p.n);
    if (!rc)
        rc = names_holder(p.n, p.dir, &h);
    if (!rc) {
        out->pid = h.pid <= INT32_MAX ? (int)h.pid : 0;
        out->here = rados_holder_here(&h, &out->dead);
        snprintf(out->machine, sizeof(out->machine), "%.*s", (int)h.name.len,
                 (const char *)h.name.data);
        snprintf(out->text, sizeof(out->text), "%.*s", (int)h.text.len,
                 (const char *)h.text.data);
    }
    mutex_unlock(&p.n->mu);
    return rc;
}

int env_rados_mark(const char *path, const char *text)
{
    struct rados_place p;
    int rc = rados_find_dir(path, RADOS_CACHED, &p);

    return rc ? rc : rados_mark(p.n, p.dir, text);
}

#endif
