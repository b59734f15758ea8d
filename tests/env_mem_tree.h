/*
 * env_mem_tree.h - names and directories of env_mem, with what is durable of
 * them. Part of env_mem.c, which locks.
 */
#ifndef ENV_MEM_TREE_H
#define ENV_MEM_TREE_H

#include "env_mem_data.h"

struct mem_entry {
    char *name;
    struct mem_node *node; /* holds a reference */
};

struct mem_names {
    struct mem_entry *list;
    size_t n, cap;
};

/* A file or a directory. */
struct mem_node {
    unsigned refs;
    unsigned links;   /* names there are now */
    unsigned handles; /* open files; each has a reference */
    bool is_dir;
    struct mem_data data;     /* of a file */
    struct mem_names now;     /* of a directory */
    struct mem_names durable; /* as of its last sync */
    struct mem_names found;   /* scratch of a crash */
    struct mem_node *clone;   /* scratch of a crash */
    struct mem_tree *tree;
    struct mem_node *next, **at; /* all nodes of the tree */
};

/* What was done to names and not synced: node appears as `name` in dir and
 * disappears as old_name from old_dir; either half may be absent (NULL). */
struct mem_op {
    struct mem_node *dir, *old_dir;
    char *name, *old_name;
    struct mem_node *node;
};

struct mem_tree {
    struct mem_node *root;
    struct mem_node *all;
    struct mem_op *ops; /* oldest first */
    size_t n_ops, cap_ops;
};

void mem_tree_init(struct mem_tree *t);
void mem_tree_release(struct mem_tree *t);

void mem_node_unref(struct mem_node *node);

/* The directory that holds path and the last name of it: 0, -ENOENT, -ENOTDIR. */
int mem_tree_parent(struct mem_tree *t, const char *path, struct mem_node **dir,
                    const char **name);
/* NULL: no such name. Borrowed. */
struct mem_node *mem_names_find(const struct mem_names *names, const char *name);

/* A new node, named; the reference is borrowed from the name. */
struct mem_node *mem_tree_make(struct mem_tree *t, struct mem_node *dir, const char *name,
                               bool is_dir);
/* dir NULL: it only disappears. old_dir NULL: it only appears. */
void mem_tree_change(struct mem_tree *t, struct mem_node *dir, const char *name,
                     struct mem_node *old_dir, const char *old_name);
void mem_tree_link(struct mem_tree *t, struct mem_node *dir, const char *name,
                   struct mem_node *node);
/* All names there are now are durable. */
void mem_tree_sync(struct mem_tree *t, struct mem_node *dir);

/* Into an initialized *to. */
void mem_tree_crash(struct mem_tree *t, struct mem_tree *to, enum env_mem_crash mode,
                    uint64_t *rng);

/* Sum of the sizes of the files that are named or open. */
uint64_t mem_tree_used(const struct mem_tree *t);

#endif
