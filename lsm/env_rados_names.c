/*
 * env_rados_names.c - the object that lists a store's files: names, files, holders. Who
 * asks it, and what it says; changes are env_rados_change.c's.
 *
 * All of it is in memory, with the number of its last change (xattr "v"). A commit sends
 * what changed, all or nothing, and only if the object still has that number: then it is
 * as it was read. If not, somebody else changed something: it is read again, and what was
 * to be changed here is put over it, unless that is no longer what it was. So files of
 * different directories may be changed by different processes, as snapshots are while the
 * store is mounted; who may change which is for the locks (env_rados_lock.c).
 *
 * No lock is held over a round trip: one that is never answered must not stop those who
 * only look up names, or change them in memory. One thread at a time asks (asking).
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_impl.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "coding.h"

enum {
    PAGE = 1024, /* keys read at once */
    TRIES = 100,
};

/* ---- reading ---- */

static int read_version(struct names *n, uint64_t *version)
{
    char text[17] = "", *end;
    int rc = ra.getxattr(n->io, n->oid, "v", text, sizeof(text) - 1);

    if (rc < 0)
        return rc == -ENODATA ? -ENOENT : conn_errno(rc);
    *version = strtoull(text, &end, 16);
    return rc == 16 && end == text + 16
               ? 0
               : err_corrupt(n->label, 0, "%s: its number of changes is none", n->oid);
}

void names_version_text(char text[17], uint64_t v)
{
    snprintf(text, 17, "%016" PRIx64, v);
}

/* Keys and values as they come: len(4) len(4) key value, one behind the other. */
static int gather_page(struct names *n, rados_omap_iter_t it, char after[RADOS_KEY_MAX],
                       struct buf *raw)
{
    char *key, *value;
    size_t key_len, len;

    while (ra.omap_get_next2(it, &key, &value, &key_len, &len) == 0 && key) {
        if (key_len >= RADOS_KEY_MAX || memchr(key, '\0', key_len))
            return err_corrupt(n->label, 0, "%s: a key that is none of ours", n->oid);
        memcpy(after, key, key_len);
        after[key_len] = '\0';
        put_le32(raw, (uint32_t)key_len);
        put_le32(raw, (uint32_t)len);
        buf_append(raw, key, key_len);
        buf_append(raw, value, len);
    }
    return buf_error(raw);
}

/* -ECANCELED: it was changed while it was read. */
static int gather(struct names *n, uint64_t version, char after[RADOS_KEY_MAX],
                  struct buf *raw, bool *more)
{
    rados_read_op_t op = ra.create_read_op();
    rados_omap_iter_t it = NULL;
    unsigned char again = 0;
    char text[17];
    int rc, vals_rc = 0;

    if (!op)
        return -ENOMEM;
    names_version_text(text, version);
    ra.read_op_cmpxattr(op, "v", LIBRADOS_CMPXATTR_OP_EQ, text, 16);
    ra.read_op_omap_get_vals2(op, after, "", PAGE, &it, &again, &vals_rc);
    rc = ra.read_op_operate(op, n->io, n->oid, 0);
    if (rc >= 0) /* 1 is that of a comparison */
        rc = vals_rc < 0 ? vals_rc : 0;
    if (!rc)
        rc = gather_page(n, it, after, raw);
    if (it)
        ra.omap_get_end(it);
    ra.release_read_op(op);
    *more = again;
    return rc;
}

/* All of it, as it was at one time. */
static int gather_all(struct names *n, struct buf *raw, uint64_t *version)
{
    int rc, tries = 0;

    do {
        char after[RADOS_KEY_MAX] = "";
        bool more = true;

        buf_clear(raw);
        rc = read_version(n, version);
        while (!rc && more)
            rc = gather(n, *version, after, raw, &more);
    } while (rc == -ECANCELED && ++tries < TRIES);
    return conn_errno(rc);
}

static int take_all(struct names *n, struct slice raw)
{
    char key[RADOS_KEY_MAX];
    struct slice k, v;
    uint32_t key_len, len;
    int rc = 0;

    n->loaded = false;
    names_forget_all(n);
    while (!rc && get_le32(&raw, &key_len) && get_le32(&raw, &len) &&
           get_raw(&raw, key_len, &k) && get_raw(&raw, len, &v)) {
        memcpy(key, k.data, k.len);
        key[k.len] = '\0';
        rc = names_apply(n, key, &v);
        if (rc == -EUCLEAN)
            err_corrupt(n->label, 0, "%s: %s is damaged", n->oid, key);
    }
    return rc;
}

/* We are asking. Drops mu. */
static int read_all(struct names *n)
{
    struct buf raw = {0};
    uint64_t version;
    int rc;

    mutex_unlock(&n->mu);
    rc = gather_all(n, &raw, &version);
    mutex_lock(&n->mu);
    if (!rc)
        rc = take_all(n, buf_slice(&raw));
    if (!rc) {
        n->version = version;
        n->loaded = true;
    }
    buf_release(&raw);
    return rc;
}

/* Of each lock to change things the record is still ours, or we slept too long. */
static int check_holders(struct names *n)
{
    struct rados_holder h;
    struct held *l;

    for (l = n->held; l; l = l->next)
        if (!l->shared && (names_holder(n, l->dir, &h) || h.session != n->session))
            return names_fenced(n, "another has taken the store over");
    return 0;
}

void names_begin_asking(struct names *n)
{
    while (n->asking)
        cond_wait(&n->not_asking, &n->mu);
    n->asking = true;
}

void names_end_asking(struct names *n)
{
    n->asking = false;
    pthread_cond_broadcast(&n->not_asking);
}

/* Has nobody changed it since it was read? */
static bool is_current(struct names *n)
{
    uint64_t version, ours = n->version;
    int rc;

    mutex_unlock(&n->mu);
    rc = read_version(n, &version);
    mutex_lock(&n->mu);
    return !rc && version == ours;
}

int names_ask(struct names *n)
{
    int rc = n->error;

    if (!rc && n->loaded && is_current(n))
        return n->error;
    if (!rc)
        rc = read_all(n);
    /* Before our own changes, which may be the record itself. */
    if (!rc)
        rc = check_holders(n);
    return rc ? rc : names_change_again(n);
}

int names_refresh_locked(struct names *n)
{
    int rc;

    names_begin_asking(n);
    rc = names_ask(n);
    names_end_asking(n);
    return rc;
}

int names_refresh_if_idle(struct names *n)
{
    int rc;

    mutex_lock(&n->mu);
    rc = n->asking ? 0 : names_refresh_locked(n);
    mutex_unlock(&n->mu);
    return rc;
}

int names_refresh(struct names *n)
{
    int rc;

    mutex_lock(&n->mu);
    rc = names_refresh_locked(n);
    mutex_unlock(&n->mu);
    return rc;
}

bool names_holds(const struct names *n, uint64_t dir)
{
    const struct held *l;

    for (l = n->held; l; l = l->next)
        if (l->dir == dir)
            return true;
    return false;
}

bool names_are_ours(const struct names *n, uint64_t dir)
{
    const struct held *h;

    for (h = n->held; h; h = h->next)
        if (!h->shared && (h->dir == dir || h->dir == RADOS_ROOT))
            return true;
    return false;
}

/* ---- stores ---- */

static struct mutex list_mu = MUTEX_INITIALIZER(LOCK_ENV_RADOS_LIST);
static struct names *list;

struct names *names_all(void)
{
    struct names *n;

    mutex_lock(&list_mu);
    n = list;
    mutex_unlock(&list_mu);
    return n;
}

static int make(struct conn *c, const char *pool, uint64_t store, const char *label,
                struct names **out)
{
    struct names *n = calloc(1, sizeof(*n));
    char space[32];
    int rc = -ENOMEM;

    if (!n || !(n->label = strdup(label)) || !(n->pool = strdup(pool)))
        goto out;
    n->conn = c;
    n->store = store;
    strcpy(n->oid, store ? "names" : "siltfs.stores");
    rc = ra.ioctx_create(c->cluster, pool, &n->io);
    if (rc)
        goto out;
    pthread_cond_init(&n->not_asking, NULL);
    mutex_init(&n->mu, store ? LOCK_ENV_RADOS_NAMES : LOCK_ENV_RADOS_CATALOG);
    snprintf(space, sizeof(space), "siltfs-%016" PRIx64, store);
    ra.ioctx_set_namespace(n->io, store ? space : "");
    /* Else librados holds back every write to a full pool, until it is none any more:
     * removals and the renewal of locks, too. */
    ra.set_pool_full_try(n->io);
    n->next = list;
    list = n;
    *out = n;
    return 0;
out:
    if (n) {
        free(n->label);
        free(n->pool);
    }
    free(n);
    return rc;
}

int names_get(const char *pool, uint64_t store, const char *label, struct names **out)
{
    struct conn *c;
    struct names *n;
    int rc = conn_get(&c);

    if (rc)
        return rc;
    mutex_lock(&list_mu);
    for (n = list; n; n = n->next)
        if (n->store == store && strcmp(n->pool, pool) == 0)
            break;
    if (n)
        *out = n;
    else
        rc = make(c, pool, store, label, out);
    mutex_unlock(&list_mu);
    return rc;
}

int names_create(struct names *n, uint64_t store)
{
    struct rados_head h = {.next_session = 1, .store = store};
    rados_write_op_t op = ra.create_write_op();
    struct buf value = {0};
    char head[RADOS_KEY_MAX];
    const char *key = head, *at;
    size_t len = 1, value_len;
    int rc = -ENOMEM;

    rados_key_head(head);
    rados_put_head(&value, head, &h);
    if (op && !buf_error(&value)) {
        at = (const char *)value.data;
        value_len = value.len;
        ra.write_op_create(op, LIBRADOS_CREATE_EXCLUSIVE, NULL);
        ra.write_op_setxattr(op, "v", "0000000000000001", 16);
        ra.write_op_omap_set2(op, &key, &at, &len, &value_len, 1);
        rc = conn_errno(ra.write_op_operate2(op, n->io, n->oid, NULL, FULL_TRY));
    }
    if (op)
        ra.release_write_op(op);
    buf_release(&value);
    return rc;
}

#endif
