/*
 * dict_train.h - making a ZSTD dictionary out of samples.
 */
#ifndef LSM_DICT_TRAIN_H
#define LSM_DICT_TRAIN_H

#include "buf.h"

/*
 * A dictionary of at most `bytes` for inputs like the n samples, which lie one after
 * the other in `in` and are len[i] long, into out (replacing it). The same samples
 * give the same dictionary. Leaves out empty when they have too little in common.
 * 0 or -ENOMEM.
 */
int dict_train(struct slice in, const size_t *len, unsigned n, size_t bytes,
               struct buf *out);

#endif
