/*
 * option_table.h - what a table of options is, and what can be done with one: parse a
 * list by it, print the help, print what was set. The tables are in options.c.
 */
#ifndef MOUNT_OPTION_TABLE_H
#define MOUNT_OPTION_TABLE_H

#include "options.h"

enum option_kind {
    IGNORED, /* a word of mount(8) that says nothing to us */
    KERNEL,  /* handed to the kernel as it is */
    YES,     /* bool */
    SIZE,    /* size_t, with K, M, G or T */
    SIZE32,  /* unsigned, likewise */
    LIMIT,   /* uint64_t, likewise, not 0; or none, which is 0 */
    COUNT,   /* unsigned, from least to most */
    OCTAL,   /* unsigned, likewise */
    MILLIS,  /* unsigned, given in seconds */
    SECONDS, /* double */
    SPECIAL, /* set() knows */
};

struct option {
    const char *name;
    enum option_kind kind;
    size_t offset;          /* into the struct that is filled */
    const char *help;       /* NULL: not worth a line */
    const char *value_name; /* in the help; and: does it take a value? */
    int (*set)(void *into, const char *value, struct why *why);
    void (*print)(FILE *out, const struct mount_options *o); /* of a SPECIAL: its line */
    unsigned least, most;
};

/*
 * Fill `into`, the struct that table's offsets are of, from a comma-separated list; later
 * words win. command names it to the user. 0, or -EINVAL or -ENOMEM with why.
 */
int options_parse(const struct option *table, void *into, const char *command,
                  const char *list, struct why *why);
/* how: where the words are given. */
void options_help(const struct option *table, const char *how, FILE *out);
/* A line with the value at `at`, as options_parse would take it; none of a KERNEL or a
 * SPECIAL option, nor of a YES that is not. */
void option_print(FILE *out, const struct option *opt, const void *at);
/* Add a word to those that mount(2) is given. 0 or -ENOMEM. */
int option_tell_kernel(struct mount_options *o, const char *word);

#endif
