/*
 * manifest.h - the log of version edits, and the pointer to it.
 *
 * CURRENT names the manifest in use, MANIFEST-N: a log (wal.h) whose payloads
 * are edits (edit.h); the first one describes everything there was. CURRENT is
 * replaced by rename, so one of the two manifests is always whole. Bytes:
 * FORMAT.md, "CURRENT" and "Manifest". Not thread-safe: the database's manifest
 * lock serializes.
 */
#ifndef LSM_MANIFEST_H
#define LSM_MANIFEST_H

#include "edit.h"
#include "env.h"

struct manifest;

/*
 * Read the manifest that CURRENT names in dir: fn for each edit in order; it may
 * take what the edit owns.
 * *number is the manifest's, *length its valid length. -ENOENT without CURRENT.
 */
typedef int manifest_fn(void *arg, struct edit *e, const char *path);
int manifest_read(struct env *env, const char *dir, manifest_fn *fn, void *arg,
                  uint64_t *number, uint64_t *length);

/*
 * Start MANIFEST-number with the edit `snapshot`, make it durable and point
 * CURRENT to it.
 */
int manifest_create(struct env *env, const char *dir, uint64_t number,
                    const struct edit *snapshot, struct manifest **out);

/* Append and sync. After -ENOSPC of the append it may be tried again; a failed sync
 * fails every later call. */
int manifest_append(struct manifest *m, const struct edit *e);

uint64_t manifest_number(const struct manifest *m);
uint64_t manifest_bytes(const struct manifest *m);

/*
 * With `clean`, note the final length in CURRENT, so that a later cut is seen; not after
 * a sync that failed: the edits may not be there, and this fails as the sync did.
 * Frees m in any case. NULL is fine.
 */
int manifest_close(struct manifest *m, bool clean);

#endif
