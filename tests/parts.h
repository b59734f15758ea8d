/*
 * parts.h - fuzz inputs that are lists of parts, so that a mutation hits one of
 * them and leaves the others what they were.
 *
 * A part is u8 kind, le16 length, bytes; the last one may be cut short. Whatever has
 * to fit together (checksums, sizes, indexes) is not in the input: the fuzzer that takes
 * the parts computes it.
 */
#ifndef TEST_PARTS_H
#define TEST_PARTS_H

#include "lsm/coding.h"

enum { PART_HEAD = 3, PART_MAX = UINT16_MAX };

struct part {
    uint8_t kind;
    struct slice bytes;
};

/* The next part of in, which is moved behind it. False at the end. */
bool part_next(struct slice *in, struct part *p);
/* Cuts bytes at PART_MAX. */
void part_put(struct buf *to, uint8_t kind, struct slice bytes);

/*
 * What LLVMFuzzerCustomMutator does: change, remove, double, move or insert one part of
 * data, whose kinds are those of the string. Returns the new size.
 */
size_t parts_mutate(uint8_t *data, size_t size, size_t max_size, unsigned seed,
                    const char *kinds);

/* LLVMFuzzerCustomCrossOver: parts of both. */
size_t parts_cross(struct slice a, struct slice b, uint8_t *to, size_t max_size,
                   unsigned seed);

/*
 * A fuzzer may make the inputs to begin with: it calls emit for each, with a name.
 * `build/tests/fuzz_X --seeds DIR` writes them (replay.c).
 */
typedef void fuzz_emit_fn(const char *name, struct slice input);
void fuzz_seeds(fuzz_emit_fn *emit) __attribute__((weak));

#endif
