/*
 * search.h - binary search among ascending numbers.
 */
#ifndef LSM_SEARCH_H
#define LSM_SEARCH_H

#include "slice.h"

/*
 * Index of the first of n records that is at or above want; n if none is. Each is
 * stride bytes long and begins with its number, a uint64_t.
 */
static inline size_t search_records(const void *first, size_t n, size_t stride,
                                    uint64_t want)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const void *at = (const char *)first + mid * stride;

        if (*(const uint64_t *)at < want)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

static inline size_t search_numbers(const uint64_t *list, size_t n, uint64_t want)
{
    return search_records(list, n, sizeof(*list), want);
}

#endif
