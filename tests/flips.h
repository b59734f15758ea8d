/*
 * flips.h - small stores in memory whose content is known, and every way in which
 * bytes may change behind the engine's back.
 *
 * A *victim* is a store at rest (closed, after the process's death, a checkpoint). It
 * is damaged, looked at, and mended again, so that the next damage finds it whole. To
 * look is to open it read-only, to read all there is in every way, to have every byte
 * verified. What is read must be what was written, or an error.
 *
 * A store that died may come back as of an earlier *moment*: of the last frames of a log
 * nobody can tell whether they were ever synced. So what is read must all fit one moment,
 * and that not before the last sync that later frames tell of; if those are gone, too, as
 * when the log was cut, not before the manifest's last edit.
 */
#ifndef FLIPS_H
#define FLIPS_H

#include "lsm/names.h"
#include "tests/env_mem.h"
#include "tests/test.h"

enum damage_kind {
    DAMAGE_FLIP,   /* bits of one byte */
    DAMAGE_ZERO,   /* a sector reads as zeros */
    DAMAGE_CUT,    /* the file ends at `off` */
    DAMAGE_MOVED,  /* what belongs elsewhere: bytes from another place or file */
    DAMAGE_OLDER,  /* the file as it was once: the writes since were lost */
    DAMAGE_REMOVE, /* the file is gone */
    DAMAGES,
};

struct damage {
    enum damage_kind kind;
    int file; /* of the victim */
    uint64_t off, len;
    uint8_t mask;
    int from; /* MOVED: file; OLDER: version */
    uint64_t from_off;
};

enum verdict {
    FOUND_AT_OPEN,
    FOUND_AT_READ,  /* and by verifying */
    FOUND_BY_SCRUB, /* alone: nothing that readers see depends on it */
    AN_EARLIER_MOMENT,
    HARMLESS, /* all is as it was, and nobody complains */
    VERDICTS,
};

enum { SECTOR = 512, FLIP_FILES = 64, FLIP_OLDER = 200 };

struct victim_file {
    char name[NAME_BYTES];
    enum file_kind kind;
    struct buf bytes;
    uint64_t end; /* of a log: of its last frame */
};

struct victim {
    const char *name;
    struct env *env;
    const char *dir;
    struct victim_file file[FLIP_FILES];
    int n_files;
    struct victim_file older[FLIP_OLDER]; /* versions that files had once */
    int n_older;
    /* Look at the store, damaged or not, in env; false when something else was read
     * than was written (then it is told what). */
    bool (*look)(struct victim *v, struct env *env, enum damage_kind kind, bool write,
                 enum verdict *out);
    void *truth; /* of look */
    void (*free_truth)(void *truth);
    uint64_t count[FILE_TEMP + 1][DAMAGES][VERDICTS];
    uint64_t tried, written;
};

/* Note the files as they are now: as older versions, or as those to be damaged. */
void victim_note_older(struct victim *v, struct env *env);
void victim_note_files(struct victim *v);
void victim_release(struct victim *v);

/* All damages of a kind, one after the other: false after the last one. *d: zeroed at
 * first, but for the kind. */
bool damage_next(const struct victim *v, struct damage *d);
/* One at random, of any kind. */
void damage_draw(const struct victim *v, struct damage *d, uint64_t *rng);

/* Damage, look, mend. With `write` the store is opened for writing, in a copy, is
 * compacted and reopened: damage must not be laundered. Fails the test when it is not
 * as it must be. */
void victim_try(struct victim *v, const struct damage *d, bool write);

/* What became of all those tried: a table. */
void victims_print(struct victim *const *v, int n);

/* ---- the stores ---- */

enum store_state {
    STORE_CLOSED,
    STORE_DIED,
    STORE_RECOVERED, /* opened after its death, and died again before a flush */
    STORE_CHECKPOINT,
    STORE_STATES
};

/* Small everything, so that little content makes many files. */
void flips_options(struct lsm_options *o, struct env *env);

/* Tables on three levels with filters, dictionaries, both compressions, range deletes;
 * values in segments, whole and in parts. */
struct victim *victim_engine(enum store_state state, uint64_t seed);
/* A tree with files of all kinds, closed. */
struct victim *victim_tree(uint64_t seed);

/* The lines logged since the last call, at most; forgets them. */
unsigned flips_logged(void);
/* Collect lines instead of printing them; call once. */
void flips_log(void);
const char *flips_last_line(void);

#endif
