/*
 * quiet_store.h - a store without threads and collection of its own: what happens in it,
 * and when, is known.
 */
#ifndef TEST_QUIET_STORE_H
#define TEST_QUIET_STORE_H

#include "lsm/lsm.h"

/* Nothing compressed either. */
struct lsm_options quiet_options(void);
/* In test_dir(); the same one each time. */
struct lsm *quiet_open(const struct lsm_options *o);

/* "key000123"; until this thread's next one. */
struct slice quiet_key(unsigned i);
/* Keys [0, n), with values of len random bytes. */
void quiet_put(struct lsm *db, unsigned n, size_t len);
/* Keys [from, from + n): each is `want`, 0 or -ENOENT. */
void quiet_get(struct lsm *db, unsigned from, unsigned n, int want);

#endif
