/*
 * fs_damages.h - each kind of damage to the tree of fs_tree.h, with what fs_check says
 * about it and what a repair leaves.
 */
#ifndef FS_DAMAGES_H
#define FS_DAMAGES_H

#include "fs_harm.h"

enum { DAMAGE_LINES = 6 };

struct damage {
    const char *name;
    void (*harm)(struct harm *h);
    const char *says[DAMAGE_LINES]; /* all of it, in any order */
    const char *touched;            /* " /a /b": paths that may be others, or gone */
    const char *made; /* " /a /b": paths that are new; lost+found goes without */
};

/* They end with one without a name. */
extern const struct damage damages_of_names[], damages_of_inodes[];

#endif
