/*
 * err.h - how trouble is told. Errors are 0 or -errno everywhere; corruption
 * is -EUCLEAN and is logged once, where it is found, with file and offset.
 */
#ifndef LSM_ERR_H
#define LSM_ERR_H

#include <errno.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef void err_sink_fn(void *arg, const char *line);

/*
 * Where log lines go, for the whole process; the default is stderr. The sink
 * may be called from any thread, with any of our locks held: it must not call
 * back. Not for changing while other threads log.
 */
void err_set_sink(err_sink_fn *fn, void *arg);

/* One line, without newline. */
void err_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Log "path: offset N: why" and return -EUCLEAN. */
int err_corrupt(const char *path, uint64_t offset, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#ifdef __cplusplus
}
#endif

#endif
