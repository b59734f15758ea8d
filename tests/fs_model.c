/*
 * fs_model.c - see fs_model.h.
 */
#include "fs_model.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct model_node *node_new(struct model *m, uint32_t mode)
{
    struct model_node *n = calloc(1, sizeof(*n));

    if (!n)
        abort();
    n->mode = mode;
    n->changed = true;
    n->next = &m->all;
    n->prev = m->all.prev;
    n->prev->next = n;
    n->next->prev = n;
    return n;
}

static void node_free(struct model_node *n)
{
    n->prev->next = n->next;
    n->next->prev = n->prev;
    free(n->data);
    free(n->entry);
    free(n);
}

static bool is_dir(const struct model_node *n)
{
    return S_ISDIR(n->mode);
}

void model_init(struct model *m, uint64_t root_ino)
{
    memset(m, 0, sizeof(*m));
    m->all.next = m->all.prev = &m->all;
    m->root = node_new(m, S_IFDIR | 0755);
    m->root->ino = root_ino;
    m->root->nlink = 1;
    m->root->parent = m->root;
}

void model_release(struct model *m)
{
    while (m->all.next != &m->all)
        node_free(m->all.next);
}

/* ---- entries ---- */

static struct model_name *find(const struct model_node *dir, const char *name)
{
    size_t i;

    for (i = 0; i < dir->entries; i++) {
        if (strcmp(dir->entry[i].name, name) == 0)
            return &dir->entry[i];
    }
    return NULL;
}

struct model_node *model_lookup(const struct model_node *dir, const char *name)
{
    struct model_name *e = find(dir, name);

    return e ? e->node : NULL;
}

unsigned model_subdirs(const struct model_node *dir)
{
    unsigned n = 0;
    size_t i;

    for (i = 0; i < dir->entries; i++)
        n += is_dir(dir->entry[i].node);
    return n;
}

static void add(struct model_node *dir, const char *name, struct model_node *node)
{
    struct model_name *e;

    dir->entry = realloc(dir->entry, (dir->entries + 1) * sizeof(*dir->entry));
    if (!dir->entry)
        abort();
    e = &dir->entry[dir->entries++];
    snprintf(e->name, sizeof(e->name), "%s", name);
    e->node = node;
    node->nlink++;
    node->changed = true;
    dir->changed = true;
    if (is_dir(node))
        node->parent = dir;
}

static struct model_node *drop(struct model_node *dir, const char *name)
{
    struct model_name *e = find(dir, name);
    struct model_node *node = e->node;

    *e = dir->entry[--dir->entries];
    node->nlink--;
    node->changed = true;
    dir->changed = true;
    return node;
}

static void drop_for_good(struct model *m, struct model_node *dir, const char *name)
{
    struct model_node *node = drop(dir, name);

    if (!node->nlink && !node->opens)
        node_free(node);
}

/* ---- operations ---- */

int model_make(struct model *m, struct model_node *dir, const char *name, uint32_t mode,
               const char *target, struct model_node **out)
{
    struct model_node *n;

    if (find(dir, name))
        return -EEXIST;
    n = node_new(m, mode);
    if (target) {
        n->size = strlen(target);
        n->data = (uint8_t *)strdup(target);
    }
    add(dir, name, n);
    *out = n;
    return 0;
}

int model_link(struct model_node *node, struct model_node *dir, const char *name)
{
    if (is_dir(node))
        return -EPERM;
    if (find(dir, name))
        return -EEXIST;
    add(dir, name, node);
    return 0;
}

int model_unlink(struct model *m, struct model_node *dir, const char *name)
{
    struct model_node *n = model_lookup(dir, name);

    if (!n)
        return -ENOENT;
    if (is_dir(n))
        return -EISDIR;
    drop_for_good(m, dir, name);
    return 0;
}

int model_rmdir(struct model *m, struct model_node *dir, const char *name)
{
    struct model_node *n = model_lookup(dir, name);

    if (!n)
        return -ENOENT;
    if (!is_dir(n))
        return -ENOTDIR;
    if (n->entries)
        return -ENOTEMPTY;
    drop_for_good(m, dir, name);
    return 0;
}

/* Is `above` n or above it? */
static bool holds(const struct model_node *above, const struct model_node *n)
{
    for (; n != n->parent; n = n->parent) {
        if (n == above)
            return true;
    }
    return n == above;
}

static int rename_check(const struct model_node *a, const struct model_node *dir,
                        const struct model_node *b, const struct model_node *new_dir,
                        unsigned flags)
{
    if (is_dir(a) && holds(a, new_dir))
        return -EINVAL;
    if (b && is_dir(b) && holds(b, dir))
        return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
    if (!b || (flags & RENAME_EXCHANGE))
        return 0;
    if (is_dir(a) && !is_dir(b))
        return -ENOTDIR;
    if (!is_dir(a) && is_dir(b))
        return -EISDIR;
    return is_dir(b) && b->entries ? -ENOTEMPTY : 0;
}

int model_rename(struct model *m, struct model_node *dir, const char *name,
                 struct model_node *new_dir, const char *new_name, unsigned flags)
{
    struct model_node *a = model_lookup(dir, name), *b = model_lookup(new_dir, new_name);
    struct model_node *left;
    int rc;

    if (!a)
        return -ENOENT;
    if (b && (flags & RENAME_NOREPLACE))
        return -EEXIST;
    if (!b && (flags & RENAME_EXCHANGE))
        return -ENOENT;
    if (a == b)
        return 0;
    rc = rename_check(a, dir, b, new_dir, flags);
    if (rc)
        return rc;
    if (b && (flags & RENAME_EXCHANGE)) {
        drop(dir, name);
        drop(new_dir, new_name);
        add(dir, name, b);
        add(new_dir, new_name, a);
        return 0;
    }
    if (b)
        drop_for_good(m, new_dir, new_name);
    drop(dir, name);
    add(new_dir, new_name, a);
    return flags & RENAME_WHITEOUT ? model_make(m, dir, name, S_IFCHR, NULL, &left) : 0;
}

void model_write(struct model_node *file, size_t off, const void *data, size_t len)
{
    if (!len)
        return;
    if (off + len > file->size)
        model_truncate(file, off + len);
    memcpy(file->data + off, data, len);
    file->changed = true;
}

void model_truncate(struct model_node *file, size_t size)
{
    file->data = realloc(file->data, size ? size : 1);
    if (!file->data)
        abort();
    if (size > file->size)
        memset(file->data + file->size, 0, size - file->size);
    file->size = size;
    file->changed = true;
}

void model_open(struct model_node *file)
{
    file->opens++;
}

void model_close(struct model *m, struct model_node *file)
{
    if (--file->opens == 0 && !file->nlink)
        node_free(file);
}
