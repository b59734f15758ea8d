/*
 * doubt.h - files of which bytes may be in memory only, whoever says otherwise.
 *
 * What Linux could not write when a sync failed it takes for written: it is read back
 * from memory, the next sync of the file succeeds, by whatever descriptor, and the disk
 * has not got it. So a store that met such a failure takes nothing more, and leaves a
 * file beside the others, DOUBT, that says so. It is never synced: it is to be there as
 * long as the system has in memory what makes the others look whole. Who opens, repairs
 * or clones the store next writes what he relies on again: into new files, which replace
 * the others. In the old ones it would not be safe: ext4 goes on taking a block that it
 * could not write the first time for one that was never written, whatever is written to
 * it later, and has zeros for it once memory gives it up.
 */
#ifndef LSM_DOUBT_H
#define LSM_DOUBT_H

#include "env.h"
#include "names.h"

/* Leave the note. Not where bytes that are not synced end with the process. Where there
 * is no room for it, the store's reserve becomes it (reserve.c). If it cannot be made
 * (logged), nothing else can be written there. */
void doubt_note(struct env *env, const char *dir);
bool doubt_is_noted(struct env *env, const char *dir);

struct doubt_file {
    enum file_kind kind;
    uint64_t number;
    uint64_t bytes; /* that count */
};

/*
 * Make durable a file that another process may have written. again: there is doubt; then
 * its bytes go into a new file (N.tmp, if a crash leaves it), and that takes its name,
 * which the caller makes last (env_sync_dir). What has the old one open still reads that.
 * Where there is no room for both, they are written where they are, which is logged.
 */
int doubt_sync(struct env *env, const char *dir, const struct doubt_file *f, bool again);

#endif
