/*
 * env_rados_names.c - the object that lists a store's files: names, files, holders.
 *
 * All of it is in memory, with the number of its last change (xattr "v"). A commit sends
 * what changed, all or nothing, and only if the object still has that number: then it is
 * as it was read. If not, somebody else changed something: it is read again, and what was
 * to be changed here is put over it, unless that is no longer what it was. So files of
 * different directories may be changed by different processes, as snapshots are while the
 * store is mounted; who may change which is for the locks (env_rados_lock.c).
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

static void version_text(char text[17], uint64_t v)
{
    snprintf(text, 17, "%016" PRIx64, v);
}

static int take_page(struct names *n, rados_omap_iter_t it, char after[RADOS_KEY_MAX])
{
    char *key, *value;
    size_t key_len, len;
    int rc = 0;

    while (!rc && ra.omap_get_next2(it, &key, &value, &key_len, &len) == 0 && key) {
        struct slice v = slice_of(value, len);

        if (key_len >= RADOS_KEY_MAX || memchr(key, '\0', key_len))
            return err_corrupt(n->label, 0, "%s: a key that is none of ours", n->oid);
        memcpy(after, key, key_len);
        after[key_len] = '\0';
        rc = names_apply(n, after, &v);
        if (rc == -EUCLEAN)
            err_corrupt(n->label, 0, "%s: %s is damaged", n->oid, after);
    }
    return rc;
}

/* -ECANCELED: it was changed while it was read. */
static int read_page(struct names *n, uint64_t version, char after[RADOS_KEY_MAX],
                     bool *more)
{
    rados_read_op_t op = ra.create_read_op();
    rados_omap_iter_t it = NULL;
    unsigned char again = 0;
    char text[17];
    int rc, vals_rc = 0;

    if (!op)
        return -ENOMEM;
    version_text(text, version);
    ra.read_op_cmpxattr(op, "v", LIBRADOS_CMPXATTR_OP_EQ, text, 16);
    ra.read_op_omap_get_vals2(op, after, "", PAGE, &it, &again, &vals_rc);
    rc = ra.read_op_operate(op, n->io, n->oid, 0);
    if (rc >= 0) /* 1 is that of a comparison */
        rc = vals_rc < 0 ? vals_rc : 0;
    if (!rc)
        rc = take_page(n, it, after);
    if (it)
        ra.omap_get_end(it);
    ra.release_read_op(op);
    *more = again;
    return rc;
}

static int read_all(struct names *n)
{
    uint64_t version;
    int rc, tries = 0;

    do {
        char after[RADOS_KEY_MAX] = "";
        bool more = true;

        rc = read_version(n, &version);
        names_forget_all(n);
        n->loaded = false;
        while (!rc && more)
            rc = read_page(n, version, after, &more);
    } while (rc == -ECANCELED && ++tries < TRIES);
    if (rc)
        return conn_errno(rc);
    n->version = version;
    n->loaded = true;
    return 0;
}

/* What was to be changed here, over what was read. */
static int apply_changes(struct names *n)
{
    size_t i;
    int rc = 0;

    for (i = 0; i < n->n_changes && !rc; i++) {
        struct change *c = &n->change[i];
        struct slice value = buf_slice(&c->value);
        struct buf now = {0};
        bool has;

        names_current(n, c->key, &now, &has);
        if (buf_error(&now))
            rc = -ENOMEM;
        else if (c->key[0] != 'f' &&
                 (has != c->had ||
                  (has && !slice_eq(buf_slice(&now), buf_slice(&c->was)))))
            rc = names_fenced(n, "another changed the same names");
        else
            rc = names_apply(n, c->key, c->remove ? NULL : &value);
        buf_release(&now);
    }
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

int names_refresh_locked(struct names *n)
{
    uint64_t version;
    int rc = n->error;

    if (!rc && n->loaded) {
        rc = read_version(n, &version);
        if (!rc && version == n->version)
            return 0;
    }
    if (!rc)
        rc = read_all(n);
    /* Before our own changes, which may be the record itself. */
    if (!rc)
        rc = check_holders(n);
    return rc ? rc : apply_changes(n);
}

int names_refresh(struct names *n)
{
    int rc;

    mutex_lock(&n->mu);
    rc = names_refresh_locked(n);
    mutex_unlock(&n->mu);
    return rc;
}

/* ---- changing ---- */

static void change_release(struct change *c)
{
    free(c->key);
    buf_release(&c->value);
    buf_release(&c->was);
}

void names_forget_changes(struct names *n)
{
    while (n->n_changes)
        change_release(&n->change[--n->n_changes]);
}

static struct change *find_change(struct names *n, const char *key)
{
    size_t i;

    for (i = n->n_changes; i-- > 0;)
        if (strcmp(n->change[i].key, key) == 0)
            return &n->change[i];
    return NULL;
}

static struct change *add_change(struct names *n, const char *key)
{
    struct change *c;

    if (n->n_changes == n->cap_changes) {
        size_t cap = n->cap_changes ? 2 * n->cap_changes : 16;
        void *p = realloc(n->change, cap * sizeof(*n->change));

        if (!p)
            return NULL;
        n->change = p;
        n->cap_changes = cap;
    }
    c = &n->change[n->n_changes];
    memset(c, 0, sizeof(*c));
    c->key = strdup(key);
    names_current(n, key, &c->was, &c->had);
    if (!c->key || buf_error(&c->was)) {
        change_release(c);
        return NULL;
    }
    n->n_changes++;
    return c;
}

/* value NULL: the key goes. */
static int change(struct names *n, const char *key, const struct buf *value)
{
    struct change *c;
    struct slice v = value ? buf_slice(value) : slice_of(NULL, 0);

    if (n->error)
        return n->error;
    if (value && buf_error(value))
        return -ENOMEM;
    c = find_change(n, key);
    if (!c)
        c = add_change(n, key);
    if (!c)
        return -ENOMEM;
    c->remove = !value;
    buf_assign(&c->value, v);
    if (buf_error(&c->value))
        return -ENOMEM;
    return names_apply(n, key, value ? &v : NULL);
}

int names_set_entry(struct names *n, uint64_t dir, const char *name,
                    const struct rados_entry *e)
{
    char key[RADOS_KEY_MAX];
    struct buf value = {0};
    int rc;

    rados_key_entry(key, dir, name);
    rados_put_entry(&value, key, e);
    rc = change(n, key, &value);
    buf_release(&value);
    return rc;
}

int names_drop_entry(struct names *n, uint64_t dir, const char *name)
{
    char key[RADOS_KEY_MAX];

    rados_key_entry(key, dir, name);
    return change(n, key, NULL);
}

int names_set_file(struct names *n, uint64_t id, const struct rados_file *f)
{
    char key[RADOS_KEY_MAX];
    struct buf value = {0};
    int rc;

    rados_key_file(key, id);
    rados_put_file(&value, key, f);
    rc = change(n, key, &value);
    buf_release(&value);
    return rc;
}

int names_drop_file(struct names *n, uint64_t id)
{
    char key[RADOS_KEY_MAX];

    rados_key_file(key, id);
    return change(n, key, NULL);
}

int names_set_holder(struct names *n, uint64_t dir, const struct rados_holder *h)
{
    char key[RADOS_KEY_MAX];
    struct buf value = {0};
    int rc;

    rados_key_holder(key, dir);
    rados_put_holder(&value, key, h);
    rc = change(n, key, &value);
    buf_release(&value);
    return rc;
}

int names_drop_holder(struct names *n, uint64_t dir)
{
    char key[RADOS_KEY_MAX];

    rados_key_holder(key, dir);
    return change(n, key, NULL);
}

/* ---- sending ---- */

static int post(struct names *n)
{
    size_t i, puts = 0, removes = 0, count = n->n_changes;
    const char **key = calloc(4 * count + 1, sizeof(*key));
    size_t *len = calloc(4 * count + 1, sizeof(*len));
    const char **gone = key + count, **value = key + 2 * count;
    size_t *gone_len = len + count, *value_len = len + 2 * count;
    rados_write_op_t op = ra.create_write_op();
    char old[17], new[17];
    int rc = -ENOMEM;

    if (key && len && op) {
        for (i = 0; i < count; i++) {
            struct change *c = &n->change[i];

            if (c->remove) {
                gone[removes] = c->key;
                gone_len[removes++] = strlen(c->key);
            } else {
                key[puts] = c->key;
                len[puts] = strlen(c->key);
                value[puts] = (const char *)c->value.data;
                value_len[puts++] = c->value.len;
            }
        }
        version_text(old, n->version);
        version_text(new, n->version + 1);
        ra.write_op_cmpxattr(op, "v", LIBRADOS_CMPXATTR_OP_EQ, old, 16);
        ra.write_op_setxattr(op, "v", new, 16);
        if (puts)
            ra.write_op_omap_set2(op, key, value, len, value_len, puts);
        if (removes)
            ra.write_op_omap_rm_keys2(op, gone, gone_len, removes);
        rc = ra.write_op_operate2(op, n->io, n->oid, NULL, FULL_FORCE);
        rc = rc > 0 ? 0 : rc;
    }
    if (op)
        ra.release_write_op(op);
    free(key);
    free(len);
    return rc;
}

int names_commit_locked(struct names *n)
{
    int rc = n->error, tries;

    for (tries = 0; !rc && n->n_changes; tries++) {
        rc = post(n);
        if (!rc) {
            n->version++;
            names_forget_changes(n);
        } else if (rc == -ECANCELED && tries < TRIES) {
            rc = names_refresh_locked(n);
        } else if (rc == -ENOENT || rc == -ESHUTDOWN) {
            rc = names_fenced(n, rc == -ENOENT ? "the store is gone"
                                               : "this client is on the blocklist");
        }
    }
    return conn_errno(rc);
}

int names_fenced(struct names *n, const char *why)
{
    if (!n->error)
        err_log("%s: nothing is written any more: %s", n->label, why);
    n->error = -EIO;
    return -EIO;
}

int names_at_once(struct names *n, names_fn *fn, void *arg)
{
    int rc, tries = 0;

    do {
        rc = names_commit_locked(n);
        if (!rc)
            rc = names_refresh_locked(n);
        if (rc)
            return rc;
        rc = fn(n, arg);
        if (rc) {
            if (n->n_changes) {
                names_forget_changes(n);
                n->loaded = false; /* what is in memory is not there */
            }
            return rc;
        }
        rc = n->n_changes ? post(n) : 0;
        if (!rc && n->n_changes)
            n->version++;
        n->loaded = rc == 0;
        names_forget_changes(n);
    } while (rc == -ECANCELED && ++tries < TRIES);
    return rc == -ESHUTDOWN ? names_fenced(n, "this client is on the blocklist")
                            : conn_errno(rc);
}

static int take_session(struct names *n, void *arg)
{
    struct rados_head h = n->head;
    struct buf value = {0};
    char key[RADOS_KEY_MAX];
    int rc;

    *(uint64_t *)arg = h.next_session++;
    rados_key_head(key);
    rados_put_head(&value, key, &h);
    rc = change(n, key, &value);
    buf_release(&value);
    return rc;
}

int names_session_locked(struct names *n)
{
    uint64_t mine = 0;
    int rc = n->session ? n->error : names_at_once(n, take_session, &mine);

    if (!rc && !n->session)
        n->session = mine;
    return rc;
}

uint64_t names_new_id_locked(struct names *n)
{
    return n->session << 32 | ++n->counter;
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
