/*
 * around.c - see around.h.
 */
#include "around.h"

#include <stdlib.h>
#include <string.h>

void around_init(struct around *a)
{
    memset(a, 0, sizeof(*a));
    mutex_init(&a->mu, LOCK_FS_STATE);
}

void around_release(struct around *a)
{
    for (unsigned i = 0; i < AROUND_FILES; i++)
        free(a->file[i].fetched);
    mutex_release(&a->mu);
}

/* What is known of the file; when nothing is, the place of the one longest not read. */
static struct around_file *find_locked(struct around *a, uint64_t ino)
{
    struct around_file *oldest = &a->file[0];

    for (unsigned i = 0; i < AROUND_FILES; i++) {
        struct around_file *f = &a->file[i];

        if (f->ino == ino)
            return f;
        if (f->used < oldest->used)
            oldest = f;
    }
    free(oldest->fetched);
    *oldest = (struct around_file){.ino = ino};
    return oldest;
}

/* The first time? Without memory for the answer: no. */
static bool fetch_piece(struct around_file *f, uint64_t size, uint64_t piece)
{
    const uint8_t bit = (uint8_t)(1u << piece % 8);

    if (!f->fetched) {
        f->pieces = (size + AROUND_BYTES - 1) / AROUND_BYTES;
        f->fetched = calloc(1, (size_t)(f->pieces + 7) / 8);
    }
    if (!f->fetched || piece >= f->pieces || f->fetched[piece / 8] & bit)
        return false;
    f->fetched[piece / 8] |= bit;
    return true;
}

bool around_wants(struct around *a, uint64_t ino, uint64_t size, uint64_t off, size_t len)
{
    struct around_file *f;
    bool wants = false;

    if (len > AROUND_SMALL || size <= AROUND_SMALL || size > AROUND_FILE_MAX)
        return false;
    mutex_lock(&a->mu);
    f = find_locked(a, ino);
    f->used = ++a->clock;
    if (off != f->next)
        f->apart++;
    f->next = off + len;
    if (f->apart >= AROUND_AFTER)
        wants = fetch_piece(f, size, off / AROUND_BYTES);
    mutex_unlock(&a->mu);
    return wants;
}
