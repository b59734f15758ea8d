/*
 * env_posix_impl.h - what env_posix.c (names, locks, time) and env_posix_file.c (open
 * files) share.
 */
#ifndef LSM_ENV_POSIX_IMPL_H
#define LSM_ENV_POSIX_IMPL_H

#include "env.h"

#include <errno.h>
#include <sys/uio.h>

/* What errno says, in the words of env.h. */
static inline int failure(void)
{
    return errno == EDQUOT ? -ENOSPC : -errno;
}

static inline int result(int rc)
{
    return rc < 0 ? failure() : 0;
}

/* fdatasync or fsync, which may be waited for. Interrupted, it has not failed: nothing
 * was given up. */
static inline int sync_fd(int fd, int sync(int))
{
    int rc;

    do
        rc = sync(fd);
    while (rc < 0 && errno == EINTR);
    rc = result(rc);
    return rc == -ENOSPC ? -EIO : rc;
}

/* env_file_open of this env. */
int posix_open(struct env *e, const char *path, enum env_mode mode, uint64_t preallocate,
               struct env_file **out);

/* A descriptor, or -errno; -EUCLEAN, logged, for what is no regular file. */
int posix_open_regular(const char *path, int flags);
void posix_give_to_owner(const char *path, int fd);
/* All of the parts, which it changes, at off. */
int posix_write_all(int fd, struct iovec *iov, int n, uint64_t off);

#endif
