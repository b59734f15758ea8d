/*
 * env_rados.h - stores on Ceph RADOS: what their paths are, and what only they have.
 *
 * A path is "rados:POOL/NAME", and below it what the engine makes there. Not built in
 * where librados' header was missing: then env_for is NULL for such paths, and the others
 * here are -EOPNOTSUPP.
 */
#ifndef LSM_ENV_RADOS_H
#define LSM_ENV_RADOS_H

#include "env.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Is it the path of a store on RADOS, or of something in one? */
static inline bool env_is_rados(const char *path)
{
    return strncmp(path, "rados:", 6) == 0;
}

/* The env for path: RADOS' or the directory's. NULL: this program has none for it. */
struct env *env_for(const char *path);
struct env *env_rados(void);

struct env_rados_options {
    const char *conf; /* NULL: $CEPH_CONF, or /etc/ceph/ceph.conf */
    const char *user; /* NULL: admin */
    unsigned
        lease_s; /* of a writer that is not heard of: then another may take over; 0: 30 */
};

/* Before the first path is used. The strings are borrowed. */
void env_rados_configure(const struct env_rados_options *o);

/* Who has the store in path open to change it, or did not close it. */
struct env_rados_holder {
    int pid;
    bool here, dead; /* on this machine, where it can be seen; and it is no more */
    char machine[72];
    char text[512]; /* what it wanted others to know (env_rados_mark) */
};
/* 0, or -ENOENT: nobody. */
int env_rados_holder(const char *path, struct env_rados_holder *h);
int env_rados_mark(const char *path, const char *text);

struct env_rados_file {
    uint64_t id; /* no other file of this store ever has it */
    uint64_t size;
    uint64_t closed_ns; /* since 1970 */
    unsigned links;     /* names */
    bool open;          /* somebody appends to it, or did and has not closed it */
};
int env_rados_file(const char *path, struct env_rados_file *f);
/* Of a file that is closed: when that was. */
int env_rados_set_closed(const char *path, uint64_t closed_ns);

/* Objects of the store in path that belong to no file: counts them, and removes them when
 * told to. Nobody may have it open. */
int env_rados_leaks(const char *path, bool remove, uint64_t *objects);

#ifdef __cplusplus
}
#endif

#endif
