/*
 * env_rados_none.c - in place of env_rados*.c where librados' header is missing.
 */
#if !__has_include(<rados/librados.h>)

#include "env_rados.h"

#include <errno.h>

struct env *env_rados(void)
{
    return NULL;
}

void env_rados_configure(const struct env_rados_options *o)
{
    (void)o;
}

int env_rados_holder(const char *path, struct env_rados_holder *h)
{
    (void)path;
    (void)h;
    return -EOPNOTSUPP;
}

int env_rados_mark(const char *path, const char *text)
{
    (void)path;
    (void)text;
    return -EOPNOTSUPP;
}

int env_rados_file(const char *path, struct env_rados_file *f)
{
    (void)path;
    (void)f;
    return -EOPNOTSUPP;
}

int env_rados_set_closed(const char *path, uint64_t closed_ns)
{
    (void)path;
    (void)closed_ns;
    return -EOPNOTSUPP;
}

int env_rados_leaks(const char *path, bool remove, uint64_t *objects)
{
    (void)path;
    (void)remove;
    (void)objects;
    return -EOPNOTSUPP;
}

#endif
