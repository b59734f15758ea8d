/*
 * doubt.h - files of which bytes may be in memory only, whoever says otherwise.
 *
 * What Linux could not write when a sync failed it takes for written: it is read back from
 * memory, the next sync of the file succeeds, by whatever descriptor, and the disk has not
 * got it. So a store that met such a failure takes nothing more, and leaves a file beside
 * the others, DOUBT, that says so. It is never synced: it is to be there as long as the
 * system has in memory what makes the others look whole. Who opens, repairs or clones the
 * store next writes what he relies on again.
 */
#ifndef LSM_DOUBT_H
#define LSM_DOUBT_H

#include "env.h"

/* Leave the note. Not where bytes that are not synced end with the process. Where there is no
 * room for it, the store's reserve becomes it (reserve.c). If it cannot be made (logged),
 * nothing else can be written there. */
void doubt_note(struct env *env, const char *dir);
bool doubt_is_noted(struct env *env, const char *dir);

/* Make the first `bytes` of a file durable that another process may have written. again:
 * there is doubt; they are written where they are once more, the same ones. */
int doubt_sync(struct env *env, const char *path, uint64_t bytes, bool again);

#endif
