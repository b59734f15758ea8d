/*
 * fs_model.h - a toy filesystem in memory, to compare the real one with.
 *
 * Simple where the real one is clever: a node knows its names by a list,
 * contents are one run of bytes, every check is written down again from the
 * specification. Functions return what the system call would: 0 or -errno.
 */
#ifndef FS_MODEL_H
#define FS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <time.h>

struct model_node;

struct model_name {
    char name[16];
    struct model_node *node;
};

struct model_node {
    uint64_t ino; /* the real one's number */
    uint32_t mode;
    uint32_t uid, gid;
    unsigned nlink; /* names */
    unsigned opens;
    uint8_t *data; /* a file's contents, a link's target */
    size_t size;
    struct model_node *parent; /* of a directory */
    struct model_name *entry;
    size_t entries;
    bool changed; /* mtime or ctime moved since `seen` */
    struct timespec seen_mtime, seen_ctime;
    struct model_node *next, *prev; /* all nodes */
};

struct model {
    struct model_node all; /* head of the ring of nodes */
    struct model_node *root;
};

void model_init(struct model *m, uint64_t root_ino);
void model_release(struct model *m);

struct model_node *model_lookup(const struct model_node *dir, const char *name);
unsigned model_subdirs(const struct model_node *dir);

/* *out is the new node; its number is for the caller to fill in. */
int model_make(struct model *m, struct model_node *dir, const char *name, uint32_t mode,
               const char *target, struct model_node **out);
int model_link(struct model_node *node, struct model_node *dir, const char *name);
int model_unlink(struct model *m, struct model_node *dir, const char *name);
int model_rmdir(struct model *m, struct model_node *dir, const char *name);
/* What WHITEOUT leaves has the number 0 first. */
int model_rename(struct model *m, struct model_node *dir, const char *name,
                 struct model_node *new_dir, const char *new_name, unsigned flags);
void model_write(struct model_node *file, size_t off, const void *data, size_t len);
void model_truncate(struct model_node *file, size_t size);
void model_open(struct model_node *file);
void model_close(struct model *m, struct model_node *file);

#endif
