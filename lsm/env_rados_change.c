/*
 * env_rados_change.c - changes of the object that lists a store's files: made in memory at
 * once, and sent by the next commit; or at once.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_impl.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TRIES = 100 };

static void change_release(struct change *c)
{
    free(c->key);
    buf_release(&c->value);
    buf_release(&c->was);
}

/* Forget the first of them. */
static void forget_first(struct names *n, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++)
        change_release(&n->change[i]);
    n->n_changes -= count;
    memmove(n->change, n->change + count, n->n_changes * sizeof(*n->change));
}

void names_forget_changes(struct names *n)
{
    forget_first(n, n->n_changes);
}

/* Of the changes behind `from`. */
static struct change *find_change(struct names *n, size_t from, const char *key)
{
    size_t i;

    for (i = n->n_changes; i-- > from;)
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
    c = find_change(n, n->n_sent, key);
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

/* ---- after a look at what others did ---- */

int names_change_again(struct names *n)
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

/* ---- sending ---- */

/* What is to be changed, all or nothing; NULL: no memory. */
static rados_write_op_t make_op(struct names *n)
{
    size_t i, puts = 0, removes = 0, count = n->n_changes;
    const char **key = calloc(4 * count + 1, sizeof(*key));
    size_t *len = calloc(4 * count + 1, sizeof(*len));
    const char **gone = key + count, **value = key + 2 * count;
    size_t *gone_len = len + count, *value_len = len + 2 * count;
    rados_write_op_t op = key && len ? ra.create_write_op() : NULL;
    char old[17], new[17];

    for (i = 0; op && i < count; i++) {
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
    if (op) {
        names_version_text(old, n->version);
        names_version_text(new, n->version + 1);
        ra.write_op_cmpxattr(op, "v", LIBRADOS_CMPXATTR_OP_EQ, old, 16);
        ra.write_op_setxattr(op, "v", new, 16);
        if (puts) /* these copy */
            ra.write_op_omap_set2(op, key, value, len, value_len, puts);
        if (removes)
            ra.write_op_omap_rm_keys2(op, gone, gone_len, removes);
    }
    free(key);
    free(len);
    return op;
}

/* Those that were sent did not get there: what was changed after them is based on what
 * was before them. */
static void rebase(struct names *n)
{
    size_t i;

    for (i = 0; i < n->n_sent; i++) {
        struct change *sent = &n->change[i];
        struct change *later = find_change(n, n->n_sent, sent->key);
        struct buf was;

        if (!later)
            continue;
        was = later->was;
        later->was = sent->was;
        later->had = sent->had;
        sent->was = was;
    }
}

/* One change of a key is enough: the later one. */
static void drop_overtaken(struct names *n, size_t sent)
{
    size_t i, kept = 0;

    for (i = 0; i < n->n_changes; i++) {
        if (i < sent && find_change(n, sent, n->change[i].key))
            change_release(&n->change[i]);
        else
            n->change[kept++] = n->change[i];
    }
    n->n_changes = kept;
}

enum failed { KEEP, FORGET };

/* We are asking. Drops mu. Changes that did not get there are kept, to be sent again, or
 * forgotten: then what is in memory is not there. */
static int post(struct names *n, enum failed failed)
{
    rados_write_op_t op = make_op(n);
    size_t sent;
    int rc = -ENOMEM;

    n->n_sent = n->n_changes;
    if (op) {
        mutex_unlock(&n->mu);
        rc = ra.write_op_operate2(op, n->io, n->oid, NULL, FULL_FORCE);
        rc = rc > 0 ? 0 : rc;
        mutex_lock(&n->mu);
        ra.release_write_op(op);
    }
    if (rc)
        rebase(n);
    sent = n->n_sent;
    n->n_sent = 0;
    if (rc && failed == KEEP) {
        drop_overtaken(n, sent);
    } else {
        forget_first(n, sent);
        n->version += rc == 0;
        n->loaded &= rc == 0;
    }
    return rc;
}

/* We are asking. Drops mu. */
static int commit(struct names *n)
{
    int rc = n->error, tries;

    for (tries = 0; !rc && n->n_changes; tries++) {
        rc = post(n, KEEP);
        if (rc == -ECANCELED && tries < TRIES)
            rc = names_ask(n);
        else if (rc == -ENOENT || rc == -ESHUTDOWN)
            rc = names_fenced(n, rc == -ENOENT ? "the store is gone"
                                               : "this client is on the blocklist");
    }
    return conn_errno(rc);
}

int names_commit_locked(struct names *n)
{
    int rc;

    names_begin_asking(n);
    rc = commit(n);
    names_end_asking(n);
    return rc;
}

/* We are asking. Drops mu, but not after the last look at what there is to send. */
static int settle(struct names *n)
{
    int rc;

    do {
        rc = commit(n);
        if (!rc)
            rc = names_ask(n);
    } while (!rc && n->n_changes);
    return rc;
}

int names_settle_locked(struct names *n)
{
    int rc;

    names_begin_asking(n);
    rc = settle(n);
    names_end_asking(n);
    return rc;
}

int names_fenced(struct names *n, const char *why)
{
    if (!n->error)
        err_log("%s: nothing is written any more: %s", n->label, why);
    n->error = -EIO;
    return -EIO;
}

static int try_at_once(struct names *n, names_fn *fn, void *arg)
{
    int rc = settle(n);

    if (rc)
        return rc;
    rc = fn(n, arg);
    if (!rc)
        return n->n_changes ? post(n, FORGET) : 0;
    if (n->n_changes) {
        names_forget_changes(n);
        n->loaded = false; /* what is in memory is not there */
    }
    return rc == -ECANCELED ? -EIO : rc;
}

int names_at_once(struct names *n, names_fn *fn, void *arg)
{
    int rc, tries = 0;

    names_begin_asking(n);
    do
        rc = try_at_once(n, fn, arg);
    while (rc == -ECANCELED && ++tries < TRIES);
    names_end_asking(n);
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

#endif
