/*
 * check_tree.c - does every directory lead up to the root? In memory: by now it is
 * known of each in which directory its name is.
 *
 * Each way is followed until it meets the root or one that was good before, so all of
 * them together take as many steps as there are directories.
 */
#include "mend.h"

/* The next one up; NULL: dir has no name, or its directory is gone. */
static struct known *way_up(struct check *c, const struct known *dir)
{
    struct known *up =
        dir->bits & KNOWN_PLACED ? known_find(&c->inodes, dir->parent) : NULL;

    return known_is_dir(up) ? up : NULL;
}

/* Mark the way up from dir. Returns where it ends wrongly: a directory without a name,
 * or one that was met before on the same way. NULL: it is good. */
static struct known *follow(struct check *c, struct known *dir)
{
    while (!(dir->bits & KNOWN_REACHED)) {
        struct known *up;

        if (dir->bits & KNOWN_ON_WAY)
            return dir;
        dir->bits |= KNOWN_ON_WAY;
        up = way_up(c, dir);
        if (!up)
            return dir;
        dir = up;
    }
    return NULL;
}

/* All on the way are reached, now that its end is in order. */
static void settle(struct check *c, struct known *dir)
{
    while (dir && !(dir->bits & KNOWN_REACHED)) {
        dir->bits = (dir->bits & ~(uint32_t)KNOWN_ON_WAY) | KNOWN_REACHED;
        dir = way_up(c, dir);
    }
}

/* Of a circle the one with the least number is cut, wherever it was entered. */
static struct known *least_of(struct check *c, struct known *circle)
{
    struct known *least = circle, *k;

    for (k = way_up(c, circle); k != circle; k = way_up(c, k)) {
        if (k->ino < least->ino)
            least = k;
    }
    return least;
}

static int check_way(struct check *c, struct known *dir)
{
    struct known *end = follow(c, dir);
    uint64_t ino, old_dir = 0;
    struct text t;

    if (end && way_up(c, end)) {
        end = least_of(c, end);
        old_dir = end->parent;
        problem(c, "moved to /lost+found, with what is below it",
                "directory %" PRIu64 ": lies below itself, in directory %" PRIu64,
                end->ino, old_dir);
    } else if (end) {
        problem(c, "moved to /lost+found, with what is below it",
                "%s: a directory without a name", text_inode(c, end->ino, &t));
    }
    ino = end ? end->ino : 0;
    settle(c, dir);
    return ino ? mend_lost(c, ino, old_dir) : 0;
}

int check_tree(struct check *c)
{
    uint64_t i = 0, slots = c->inodes.slots;
    int rc = 0;

    while (i < slots && !rc) {
        struct known *k = &c->inodes.slot[i++];

        if (!known_is_dir(k) || (k->bits & KNOWN_REACHED))
            continue;
        rc = check_way(c, k);
        if (c->inodes.slots != slots) { /* lost+found made the table grow */
            slots = c->inodes.slots;
            i = 0;
        }
    }
    return rc;
}
