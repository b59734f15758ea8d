/*
 * say.h - what the commands tell their user: one line on stderr a matter,
 * "siltfs: what is wrong; what to do".
 */
#ifndef MOUNT_SAY_H
#define MOUNT_SAY_H

#include <stddef.h>

/* Print the line; returns 1, the exit code of failure: return fail(...). */
int fail(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Print a line about something that went on all the same. */
void note(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Why something failed, for a caller that knows where the user listens: a
 * terminal, or a shell at the other end of a pipe. No newline in it.
 */
struct why {
    char text[2048];
};

/* Fill w; returns err, for return why_set(w, -ENOENT, ...). */
int why_set(struct why *w, int err, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
