/*
 * env_rados_listed.c - what the object that lists a store's files says, in memory: names
 * and files in sorted arrays, holders as they are. Who reads and changes the object is
 * env_rados_names.c.
 */
#if __has_include(<rados/librados.h>)

#include "env_rados_impl.h"

#include <stdlib.h>

#include "coding.h"

enum { HOLDERS_MAX = 1 << 20 }; /* bytes */

/* ---- sorted arrays ---- */

static int entry_cmp(const struct entry *e, uint64_t dir, const char *name)
{
    if (e->dir != dir)
        return e->dir < dir ? -1 : 1;
    return strcmp(e->name, name);
}

static size_t entry_at(const struct names *n, uint64_t dir, const char *name)
{
    size_t low = 0, high = n->n_entries;

    if (high && entry_cmp(n->entry[high - 1], dir, name) < 0)
        return high;
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (entry_cmp(n->entry[mid], dir, name) < 0)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static size_t node_at(const struct names *n, uint64_t id)
{
    size_t low = 0, high = n->n_nodes;

    if (high && n->node[high - 1]->id < id)
        return high;
    while (low < high) {
        size_t mid = low + (high - low) / 2;

        if (n->node[mid]->id < id)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* A place for one more at index i of the n pointers in *list. */
static int make_place(void *list, size_t *n, size_t *cap, size_t i)
{
    void ***at = list;

    if (*n == *cap) {
        size_t more = *cap ? 2 * *cap : 64;
        void *p = realloc(*at, more * sizeof(**at));

        if (!p)
            return -ENOMEM;
        *at = p;
        *cap = more;
    }
    memmove(*at + i + 1, *at + i, (*n - i) * sizeof(**at));
    (*n)++;
    return 0;
}

static void close_place(void *list, size_t *n, size_t i)
{
    void ***at = list;

    memmove(*at + i, *at + i + 1, (*n - i - 1) * sizeof(**at));
    (*n)--;
}

struct entry *names_find(struct names *n, uint64_t dir, const char *name)
{
    size_t i = entry_at(n, dir, name);

    return i < n->n_entries && entry_cmp(n->entry[i], dir, name) == 0 ? n->entry[i]
                                                                      : NULL;
}

size_t names_first(struct names *n, uint64_t dir)
{
    return entry_at(n, dir, "");
}

struct node *names_node(struct names *n, uint64_t id)
{
    size_t i = node_at(n, id);

    return i < n->n_nodes && n->node[i]->id == id ? n->node[i] : NULL;
}

static struct node *make_node(struct names *n, uint64_t id)
{
    struct node *node = names_node(n, id);
    size_t i = node_at(n, id);

    if (node)
        return node;
    node = calloc(1, sizeof(*node));
    if (!node || make_place(&n->node, &n->n_nodes, &n->cap_nodes, i)) {
        free(node);
        return NULL;
    }
    node->names = n;
    node->id = id;
    mutex_init(&node->mu, LOCK_ENV_RADOS_FILE);
    n->node[i] = node;
    return node;
}

static void drop_node(struct names *n, struct node *node)
{
    if (node->links || node->handles || node->known || node->w)
        return;
    close_place(&n->node, &n->n_nodes, node_at(n, node->id));
    mutex_release(&node->mu);
    free(node);
}

/* ---- what a key says, into memory ---- */

static int take_entry(struct names *n, const struct rados_key_parts *k,
                      struct slice value, const char *key)
{
    struct rados_entry is;
    struct entry *e;
    struct node *node = NULL;
    size_t i = entry_at(n, k->id, k->name);
    int rc = rados_get_entry(value, key, &is);

    if (rc)
        return rc;
    e = calloc(1, sizeof(*e));
    if (!e || !(e->name = strdup(k->name)) ||
        (is.kind == RADOS_FILE && !(node = make_node(n, is.id))) ||
        make_place(&n->entry, &n->n_entries, &n->cap_entries, i)) {
        if (e)
            free(e->name);
        free(e);
        return -ENOMEM;
    }
    e->dir = k->id;
    e->is = is;
    if (node)
        node->links++;
    n->entry[i] = e;
    return 0;
}

static void lose_entry(struct names *n, uint64_t dir, const char *name)
{
    size_t i = entry_at(n, dir, name);
    struct entry *e = n->entry[i];
    struct node *node = e->is.kind == RADOS_FILE ? names_node(n, e->is.id) : NULL;

    close_place(&n->entry, &n->n_entries, i);
    if (node) {
        node->links--;
        drop_node(n, node);
    }
    free(e->name);
    free(e);
}

static int take_file(struct names *n, uint64_t id, struct slice value, const char *key)
{
    struct rados_file rec;
    struct node *node;
    int rc = rados_get_file(value, key, &rec);

    if (rc)
        return rc;
    node = make_node(n, id);
    if (!node)
        return -ENOMEM;
    mutex_lock(&node->mu);
    node->rec = rec;
    mutex_unlock(&node->mu);
    node->known = true;
    return 0;
}

/* Holders are few, or it is no store of ours: their records lie one behind the other. */
static bool find_holder(const struct names *n, uint64_t dir, size_t *at,
                        struct slice *value)
{
    struct slice in = buf_slice(&n->holder);
    uint64_t its;
    uint32_t len;

    while (in.len) {
        *at = n->holder.len - in.len;
        if (!get_le64(&in, &its) || !get_le32(&in, &len) || !get_raw(&in, len, value))
            return false;
        if (its == dir)
            return true;
    }
    return false;
}

static void lose_holder(struct names *n, uint64_t dir)
{
    struct slice value;
    size_t at, len;

    if (!find_holder(n, dir, &at, &value))
        return;
    len = 12 + value.len;
    memmove(n->holder.data + at, n->holder.data + at + len, n->holder.len - at - len);
    n->holder.len -= len;
}

static int take_holder(struct names *n, uint64_t dir, struct slice value, const char *key)
{
    struct rados_holder h;
    int rc = rados_get_holder(value, key, &h);

    if (rc)
        return rc;
    if (n->holder.len > HOLDERS_MAX)
        return -EUCLEAN;
    lose_holder(n, dir);
    put_le64(&n->holder, dir);
    put_le32(&n->holder, (uint32_t)value.len);
    buf_append_slice(&n->holder, value);
    return buf_error(&n->holder);
}

int names_apply(struct names *n, const char *key, const struct slice *value)
{
    struct rados_key_parts k;
    struct node *node;

    if (!rados_key_parse(key, strlen(key), &k))
        return -EUCLEAN;
    switch (k.what) {
    case RADOS_KEY_HEAD:
        return value ? rados_get_head(*value, key, &n->head) : -EUCLEAN;
    case RADOS_KEY_ENTRY:
        if (names_find(n, k.id, k.name))
            lose_entry(n, k.id, k.name);
        return value ? take_entry(n, &k, *value, key) : 0;
    case RADOS_KEY_FILE:
        if (value)
            return take_file(n, k.id, *value, key);
        node = names_node(n, k.id);
        if (node) {
            node->known = false;
            drop_node(n, node);
        }
        return 0;
    case RADOS_KEY_HOLDER:
        if (!value)
            lose_holder(n, k.id);
        return value ? take_holder(n, k.id, *value, key) : 0;
    }
    return -EUCLEAN;
}

void names_current(struct names *n, const char *key, struct buf *out, bool *has)
{
    struct rados_key_parts k;
    struct entry *e;
    struct node *node;
    struct slice value;
    size_t at;

    *has = false;
    if (!rados_key_parse(key, strlen(key), &k))
        return;
    if (k.what == RADOS_KEY_HEAD) {
        rados_put_head(out, key, &n->head);
        *has = true;
    } else if (k.what == RADOS_KEY_ENTRY && (e = names_find(n, k.id, k.name))) {
        rados_put_entry(out, key, &e->is);
        *has = true;
    } else if (k.what == RADOS_KEY_FILE && (node = names_node(n, k.id)) && node->known) {
        rados_put_file(out, key, &node->rec);
        *has = true;
    } else if (k.what == RADOS_KEY_HOLDER && find_holder(n, k.id, &at, &value)) {
        buf_append_slice(out, value);
        *has = true;
    }
}

void names_forget_all(struct names *n)
{
    size_t i;

    while (n->n_entries) {
        struct entry *e = n->entry[n->n_entries - 1];

        n->n_entries--;
        free(e->name);
        free(e);
    }
    for (i = n->n_nodes; i-- > 0;) {
        n->node[i]->links = 0;
        n->node[i]->known = false;
        drop_node(n, n->node[i]);
    }
    buf_clear(&n->holder);
}

/* ---- holders ---- */

int names_holder(struct names *n, uint64_t dir, struct rados_holder *h)
{
    char key[RADOS_KEY_MAX];
    struct slice value;
    size_t at;

    rados_key_holder(key, dir);
    return find_holder(n, dir, &at, &value) ? rados_get_holder(value, key, h) : -ENOENT;
}

#endif
