/*
 * settings.h - options that a store keeps, for all its mounts: STORE/OPTIONS, a line of
 * words as those after -o, which go before them. `siltfs set` writes it.
 *
 * Some of them change in a mount that is there, at once; the others with the next one.
 */
#ifndef MOUNT_SETTINGS_H
#define MOUNT_SETTINGS_H

#include "ops.h"

enum { SETTINGS_MAX = 1024 };

/* Is word, "NAME=VALUE" or a name, of an option that a store keeps? */
bool settings_has(const char *word);

/* What is kept, "" for nothing. -EINVAL: it makes no sense. Of a store on RADOS it asks
 * the cluster, so not before a fork. */
int settings_read(const char *store, char list[SETTINGS_MAX], struct why *why);
/* Of a store at rest: what it keeps into o. */
int settings_lsm(const char *store, struct lsm_options *o, struct why *why);

/*
 * Keep words, separated by spaces or commas, from now on; "NAME=default" keeps none of
 * that name. Lasting when it returns 0. Only the one who has the store may.
 */
int settings_keep(const char *store, const char *words, struct why *why);

/* What `from` keeps, the store in `to` shall keep, which is new and nobody uses: as
 * settings_keep, unread. 0 or -errno. */
int settings_carry(const char *from, const char *to);

/* The same in a mount, and use at once what can be. tell: a line for each that cannot. */
int settings_change(struct ops *o, const char *words,
                    void (*tell)(void *arg, const char *line), void *arg,
                    struct why *why);
/* The engine's options as they are by now. */
void settings_now(struct ops *o, struct lsm_options *lsm);

#endif
