/*
 * parts.c - see parts.h.
 */
#include "tests/parts.h"

#include "tests/test.h"

/* libFuzzer's; absent where no fuzzer is linked. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size)
    __attribute__((weak));

enum { PARTS_MAX_N = 4096 };

bool part_next(struct slice *in, struct part *p)
{
    size_t len;

    if (in->len < PART_HEAD)
        return false;
    p->kind = in->data[0];
    len = load_le16(in->data + 1);
    if (len > in->len - PART_HEAD)
        len = in->len - PART_HEAD;
    p->bytes = slice_of(in->data + PART_HEAD, len);
    in->data += PART_HEAD + len;
    in->len -= PART_HEAD + len;
    return true;
}

void part_put(struct buf *to, uint8_t kind, struct slice bytes)
{
    uint8_t len[2];

    if (bytes.len > PART_MAX)
        bytes.len = PART_MAX;
    store_le16(len, (uint16_t)bytes.len);
    put_u8(to, kind);
    buf_append(to, len, 2);
    buf_append_slice(to, bytes);
}

struct list {
    struct part part[PARTS_MAX_N];
    size_t n;
};

static void list_of(struct slice in, struct list *l)
{
    l->n = 0;
    while (l->n < PARTS_MAX_N && part_next(&in, &l->part[l->n]))
        l->n++;
}

static void insert(struct list *l, size_t at, struct part p)
{
    if (l->n == PARTS_MAX_N)
        return;
    memmove(l->part + at + 1, l->part + at, (l->n - at) * sizeof(p));
    l->part[at] = p;
    l->n++;
}

static struct part take_out(struct list *l, size_t at)
{
    struct part p = l->part[at];

    l->n--;
    memmove(l->part + at, l->part + at + 1, (l->n - at) * sizeof(p));
    return p;
}

/* Numbers at which something ends, in place of some bytes. */
static void interesting(uint8_t *p, size_t len, uint64_t *rng)
{
    static const uint64_t values[] = {0,          1,
                                      2,          0x7f,
                                      0x80,       0xff,
                                      0xffff,     INT32_MAX,
                                      UINT32_MAX, INT64_MAX,
                                      UINT64_MAX, 1ull << 30,
                                      1ull << 56, (1ull << 56) - 1};
    uint64_t v = values[test_below(rng, sizeof(values) / sizeof(values[0]))];
    uint8_t bytes[VARINT_MAX];
    size_t n = 8, at = (size_t)test_below(rng, len);

    if (test_below(rng, 2))
        n = store_varint(bytes, v);
    else
        store_le64(bytes, v);
    memcpy(p + at, bytes, n < len - at ? n : len - at);
}

static struct slice changed(struct slice s, struct buf *room, uint64_t *rng)
{
    size_t max = s.len + 64 < PART_MAX ? s.len + 64 : PART_MAX;
    uint8_t *p = buf_reserve(room, max);

    if (s.len)
        memcpy(p, s.data, s.len);
    if (s.len && test_below(rng, 4) == 0)
        interesting(p, s.len, rng);
    else if (LLVMFuzzerMutate)
        s.len = LLVMFuzzerMutate(p, s.len, max);
    room->len = s.len;
    return buf_slice(room);
}

static void mutate(struct list *l, struct buf *room, const char *kinds, uint64_t *rng)
{
    size_t at = (size_t)test_below(rng, l->n);
    struct part p = {.kind = (uint8_t)kinds[test_below(rng, strlen(kinds))]};

    switch (l->n ? test_below(rng, 16) : 15) {
    case 0:
        take_out(l, at);
        break;
    case 1:
        insert(l, (size_t)test_below(rng, l->n + 1), l->part[at]);
        break;
    case 2:
        p = take_out(l, at);
        insert(l, (size_t)test_below(rng, l->n + 1), p);
        break;
    case 3:
        l->part[at].kind = p.kind;
        break;
    case 15:
        p.bytes = changed(l->n ? l->part[at].bytes : slice_of(NULL, 0), room, rng);
        insert(l, (size_t)test_below(rng, l->n + 1), p);
        break;
    default:
        l->part[at].bytes = changed(l->part[at].bytes, room, rng);
    }
}

static size_t join(const struct list *l, uint8_t *to, size_t max_size)
{
    struct buf all = {0};
    size_t i, n;

    for (i = 0; i < l->n && all.len + PART_HEAD + l->part[i].bytes.len <= max_size; i++)
        part_put(&all, l->part[i].kind, l->part[i].bytes);
    n = all.len;
    if (n)
        memcpy(to, all.data, n);
    buf_release(&all);
    return n;
}

size_t parts_mutate(uint8_t *data, size_t size, size_t max_size, unsigned seed,
                    const char *kinds)
{
    static struct list l;
    uint64_t rng = seed * 0x9E3779B97F4A7C15ull | 1;
    struct buf room = {0};

    list_of(slice_of(data, size), &l);
    mutate(&l, &room, kinds, &rng);
    size = join(&l, data, max_size);
    buf_release(&room);
    return size;
}

size_t parts_cross(struct slice a, struct slice b, uint8_t *to, size_t max_size,
                   unsigned seed)
{
    static struct list x, y;
    uint64_t rng = seed * 0x9E3779B97F4A7C15ull | 1;
    size_t from, n;

    list_of(a, &x);
    list_of(b, &y);
    from = (size_t)test_below(&rng, y.n);
    for (n = 1 + (size_t)test_below(&rng, 8); n && from < y.n; n--)
        insert(&x, (size_t)test_below(&rng, x.n + 1), y.part[from++]);
    return join(&x, to, max_size);
}
