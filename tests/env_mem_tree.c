/*
 * env_mem_tree.c - see env_mem_tree.h.
 */
#include "env_mem_tree.h"

#include "test.h"

#include <stdlib.h>

static void *check(void *p)
{
    if (!p)
        abort();
    return p;
}

/* ---- nodes and names ---- */

static struct mem_node *node_new(struct mem_tree *t, bool is_dir)
{
    struct mem_node *node = check(calloc(1, sizeof(*node)));

    node->refs = 1;
    node->is_dir = is_dir;
    node->tree = t;
    node->next = t->all;
    node->at = &t->all;
    if (t->all)
        t->all->at = &node->next;
    t->all = node;
    return node;
}

static void names_clear(struct mem_names *names)
{
    while (names->n) {
        struct mem_entry *e = &names->list[--names->n];

        free(e->name);
        mem_node_unref(e->node);
    }
    free(names->list);
    *names = (struct mem_names){0};
}

void mem_node_unref(struct mem_node *node)
{
    if (!node || --node->refs)
        return;
    *node->at = node->next;
    if (node->next)
        node->next->at = node->at;
    mem_data_release(&node->data);
    names_clear(&node->now);
    names_clear(&node->durable);
    names_clear(&node->found);
    free(node);
}

static struct mem_entry *find_entry(const struct mem_names *names, const char *name)
{
    size_t i;

    for (i = 0; i < names->n; i++)
        if (strcmp(names->list[i].name, name) == 0)
            return &names->list[i];
    return NULL;
}

struct mem_node *mem_names_find(const struct mem_names *names, const char *name)
{
    struct mem_entry *e = find_entry(names, name);

    return e ? e->node : NULL;
}

static void names_remove(struct mem_names *names, const char *name)
{
    struct mem_entry *e = find_entry(names, name);

    if (!e)
        return;
    free(e->name);
    mem_node_unref(e->node);
    *e = names->list[--names->n];
}

static void names_set(struct mem_names *names, const char *name, struct mem_node *node)
{
    node->refs++;
    names_remove(names, name);
    if (names->n == names->cap) {
        names->cap = names->cap ? 2 * names->cap : 8;
        names->list = check(realloc(names->list, names->cap * sizeof(*names->list)));
    }
    names->list[names->n++] = (struct mem_entry){check(strdup(name)), node};
}

static void names_copy(struct mem_names *to, const struct mem_names *from)
{
    size_t i;

    names_clear(to);
    for (i = 0; i < from->n; i++)
        names_set(to, from->list[i].name, from->list[i].node);
}

/* ---- the tree ---- */

void mem_tree_init(struct mem_tree *t)
{
    *t = (struct mem_tree){0};
    t->root = node_new(t, true);
    t->root->links = 1;
}

static void op_release(struct mem_op *op)
{
    mem_node_unref(op->dir);
    mem_node_unref(op->old_dir);
    mem_node_unref(op->node);
    free(op->name);
    free(op->old_name);
}

void mem_tree_release(struct mem_tree *t)
{
    while (t->n_ops)
        op_release(&t->ops[--t->n_ops]);
    free(t->ops);
    mem_node_unref(t->root);
}

/* Copies what is before the next "/", or to the end, and steps behind it. */
static char *first_name(const char **path)
{
    size_t len = strcspn(*path, "/");
    char *name = check(strndup(*path, len));

    *path += len;
    while (**path == '/')
        (*path)++;
    return name;
}

int mem_tree_parent(struct mem_tree *t, const char *path, struct mem_node **dir,
                    const char **name)
{
    struct mem_node *at = t->root;

    while (*path == '/')
        path++;
    while (strchr(path, '/')) {
        char *part = first_name(&path);

        at = mem_names_find(&at->now, part);
        free(part);
        if (!at)
            return -ENOENT;
        if (!at->is_dir)
            return -ENOTDIR;
    }
    *dir = at;
    *name = path;
    return 0;
}

static struct mem_node *ref(struct mem_node *node)
{
    if (node)
        node->refs++;
    return node;
}

static char *copy_name(const char *name)
{
    return name ? check(strdup(name)) : NULL;
}

static void note_op(struct mem_tree *t, struct mem_node *dir, const char *name,
                    struct mem_node *old_dir, const char *old_name, struct mem_node *node)
{
    if (t->n_ops == t->cap_ops) {
        t->cap_ops = t->cap_ops ? 2 * t->cap_ops : 16;
        t->ops = check(realloc(t->ops, t->cap_ops * sizeof(*t->ops)));
    }
    t->ops[t->n_ops++] = (struct mem_op){
        ref(dir), ref(old_dir), copy_name(name), copy_name(old_name), ref(node),
    };
}

/* Give dir the name `name` for node, which takes it from whom it had. */
static void appear(struct mem_node *dir, const char *name, struct mem_node *node)
{
    struct mem_node *before = mem_names_find(&dir->now, name);

    if (before)
        before->links--;
    node->links++;
    names_set(&dir->now, name, node);
}

void mem_tree_link(struct mem_tree *t, struct mem_node *dir, const char *name,
                   struct mem_node *node)
{
    note_op(t, dir, name, NULL, NULL, node);
    appear(dir, name, node);
}

struct mem_node *mem_tree_make(struct mem_tree *t, struct mem_node *dir, const char *name,
                               bool is_dir)
{
    struct mem_node *node = node_new(t, is_dir);

    mem_tree_link(t, dir, name, node);
    mem_node_unref(node);
    return node;
}

void mem_tree_change(struct mem_tree *t, struct mem_node *dir, const char *name,
                     struct mem_node *old_dir, const char *old_name)
{
    struct mem_node *node = ref(mem_names_find(&old_dir->now, old_name));

    note_op(t, dir, name, old_dir, old_name, node);
    if (dir)
        appear(dir, name, node);
    node->links--;
    names_remove(&old_dir->now, old_name);
    mem_node_unref(node);
}

/* The one list of each directory that a state is made of. */
static struct mem_names *durable_of(struct mem_node *dir)
{
    return &dir->durable;
}

static struct mem_names *found_of(struct mem_node *dir)
{
    return &dir->found;
}

static void apply(const struct mem_op *op, struct mem_names *names_of(struct mem_node *))
{
    if (op->old_dir)
        names_remove(names_of(op->old_dir), op->old_name);
    if (op->dir)
        names_set(names_of(op->dir), op->name, op->node);
}

void mem_tree_sync(struct mem_tree *t, struct mem_node *dir)
{
    size_t i, kept = 0;

    for (i = 0; i < t->n_ops; i++) {
        if (t->ops[i].dir == dir || t->ops[i].old_dir == dir) {
            apply(&t->ops[i], durable_of); /* of a rename, in the other one too */
            op_release(&t->ops[i]);
        } else {
            t->ops[kept++] = t->ops[i];
        }
    }
    t->n_ops = kept;
}

uint64_t mem_tree_used(const struct mem_tree *t)
{
    const struct mem_node *node;
    uint64_t used = 0;

    for (node = t->all; node; node = node->next)
        if (node->links || node->handles)
            used += node->data.size;
    return used;
}

/* ---- crash ---- */

/* Fill `found` of every directory with the names it has after the crash. */
static void find_names(struct mem_tree *t, enum env_mem_crash mode, uint64_t *rng)
{
    struct mem_node *node;
    bool in_order;
    size_t i, kept;

    for (node = t->all; node; node = node->next) {
        node->clone = NULL;
        names_copy(&node->found, mode == ENV_MEM_KEEP_ALL ? &node->now : &node->durable);
    }
    if (mode != ENV_MEM_KEEP_RANDOM)
        return;
    /* Filesystems with a journal keep the order; POSIX does not promise it. */
    in_order = test_below(rng, 3) == 0;
    kept = (size_t)test_below(rng, t->n_ops + 1);
    for (i = 0; i < t->n_ops; i++)
        if (in_order ? i < kept : test_below(rng, 2) != 0)
            apply(&t->ops[i], found_of);
}

static void clone_dir(struct mem_node *from, struct mem_tree *to_tree,
                      struct mem_node *to, enum env_mem_crash mode, uint64_t *rng)
{
    size_t i;

    for (i = 0; i < from->found.n; i++) {
        struct mem_entry *e = &from->found.list[i];
        bool is_new = !e->node->clone;

        if (is_new)
            e->node->clone = node_new(to_tree, e->node->is_dir);
        appear(to, e->name, e->node->clone);
        names_set(&to->durable, e->name, e->node->clone);
        if (!is_new)
            continue;
        mem_node_unref(e->node->clone);
        if (e->node->is_dir)
            clone_dir(e->node, to_tree, e->node->clone, mode, rng);
        else
            mem_data_crash(&e->node->data, &e->node->clone->data, mode, rng);
    }
}

void mem_tree_crash(struct mem_tree *t, struct mem_tree *to, enum env_mem_crash mode,
                    uint64_t *rng)
{
    struct mem_node *node;

    find_names(t, mode, rng);
    clone_dir(t->root, to, to->root, mode, rng);
    for (node = t->all; node; node = node->next)
        names_clear(&node->found);
}
