/*
 * pick_tiered.c - see pick_impl.h: size-tiered compaction, and the tiers of hybrid.
 *
 * A *run* is sorted and holds a key once: neighbouring L0 tables that are disjoint, or a
 * whole level below. Runs have an order of age, and every sequence number of a newer
 * one is above all of an older one; so any neighbours can be merged into one run in
 * their place (RocksDB's universal compaction; O'Neil et al. 1996 for the idea). For
 * that, the pieces of a merged run are kept together: tables whose numbers interleave
 * are a *generation*, and a run is made of whole ones. The result goes as far down as no
 * older run is in the way; into L0, cut in pieces, when the next older run is in L0 or
 * L1.
 */
#include "pick_impl.h"

#include <stdlib.h>

enum {
    SIZE_RATIO_PERCENT = 20, /* a run this much larger than those before joins them */
    SPACE_PERCENT = 200,     /* all other runs over the last one, at most */
};

struct run {
    unsigned level;
    size_t first, end; /* in the level */
    uint64_t bytes;
    bool busy, left_out;
    bool tombstones; /* many in some table, or range deletes */
};

struct runs {
    struct run *run; /* newest first */
    size_t n;
};

/* ---- what there is ---- */

/* Where the generation of L0 that begins at first ends: a table that follows has lower
 * numbers only. (Equal ones are a range delete's that was cut over two pieces.) */
static size_t generation_end(const struct version *v, size_t first)
{
    uint64_t least = v->file[0][first]->meta.seq_min;
    size_t i = first + 1;

    for (; i < v->n[0] && v->file[0][i]->meta.seq_max >= least; i++)
        if (v->file[0][i]->meta.seq_min < least)
            least = v->file[0][i]->meta.seq_min;
    return i;
}

/* Do tables [i, end) share no key with [first, i)? */
static bool is_disjoint(const struct version *v, size_t first, size_t i, size_t end)
{
    size_t k;

    for (; i < end; i++)
        for (k = first; k < i; k++)
            if (table_ranges_overlap(&v->file[0][k]->meta, &v->file[0][i]->meta))
                return false;
    return true;
}

/* Where the run of L0 that begins at first ends. */
static size_t l0_run_end(const struct version *v, size_t first)
{
    size_t i = generation_end(v, first), end;

    for (; i < v->n[0]; i = end) {
        end = generation_end(v, i);
        if (!is_disjoint(v, first, i, end))
            break;
    }
    return i;
}

/*
 * Runs are counted as far as merging can do something about their number: those that are
 * left out cannot be merged, nor can those before one with those behind. So a row between
 * such counts one less than it has, but for the first row.
 */
struct count {
    size_t n;
    bool any, parted; /* one counted, and then one left out */
};

static void count_run(struct count *c, bool left_out)
{
    if (!left_out)
        c->n += !c->parted;
    c->any |= !left_out;
    c->parted = left_out && c->any;
}

static bool any_left_out(const struct version *v, unsigned level, size_t i, size_t end)
{
    for (; i < end; i++)
        if (atomic_load(&v->file[level][i]->left_out))
            return true;
    return false;
}

static void count_l0_runs(const struct version *v, struct count *c)
{
    size_t at, end;

    for (at = 0; at < v->n[0]; at = end) {
        end = l0_run_end(v, at);
        count_run(c, any_left_out(v, 0, at, end));
    }
}

size_t pick_count_l0_runs(const struct version *v)
{
    struct count c = {0};

    count_l0_runs(v, &c);
    return c.n;
}

size_t pick_count_runs(const struct version *v)
{
    struct count c = {0};
    unsigned level;

    count_l0_runs(v, &c);
    for (level = 1; level < LSM_LEVELS; level++)
        if (v->n[level])
            count_run(&c, any_left_out(v, level, 0, v->n[level]));
    return c.n;
}

static void add_run(struct runs *rs, const struct version *v, unsigned level,
                    size_t first, size_t end)
{
    struct run r = {.level = level, .first = first, .end = end};
    size_t i;

    r.left_out = any_left_out(v, level, first, end);

    for (i = first; i < end; i++) {
        const struct tfile *f = v->file[level][i];

        r.bytes += f->meta.size;
        r.busy |= tfile_is_busy(f);
        r.tombstones |= f->meta.range_deletes || pick_mostly_tombstones(&f->meta);
    }
    rs->run[rs->n++] = r;
}

/* Of L0, and with `all` of the levels below too. -ENOMEM. */
static int list_runs(const struct version *v, bool all, struct runs *rs)
{
    unsigned level;
    size_t at, end;

    rs->n = 0;
    rs->run = malloc((v->n[0] + LSM_LEVELS) * sizeof(*rs->run));
    if (!rs->run)
        return -ENOMEM;
    for (at = 0; at < v->n[0]; at = end) {
        end = l0_run_end(v, at);
        add_run(rs, v, 0, at, end);
    }
    for (level = 1; level < LSM_LEVELS && all; level++)
        if (v->n[level])
            add_run(rs, v, level, 0, v->n[level]);
    return 0;
}

/* ---- what to merge ---- */

static bool any_busy(const struct runs *rs, size_t from, size_t end)
{
    size_t i;

    for (i = from; i < end; i++)
        if (rs->run[i].busy)
            return true;
    return false;
}

/* Runs [from, end) into one. The level above the next older run is free: were there
 * anything in it, that would be the next older run. */
static int merge_runs(const struct version *v, const struct runs *rs, size_t from,
                      size_t end, enum pick_reason reason, struct compaction *c)
{
    unsigned next = end < rs->n ? rs->run[end].level : LSM_LEVELS;
    size_t i, k;
    int rc = 0;

    c->reason = reason;
    c->level = rs->run[from].level;
    c->output_level = next ? next - 1 : 0;
    for (i = from; i < end && !rc; i++)
        for (k = rs->run[i].first; k < rs->run[i].end && !rc; k++)
            rc = compaction_add(c, rs->run[i].level, v->file[rs->run[i].level][k]);
    return rc;
}

/* All but the last take more than they may beside it: everything into one run. */
static bool takes_too_much(const struct runs *rs)
{
    uint64_t upper = 0;
    size_t i;

    for (i = 0; i + 1 < rs->n; i++)
        upper += rs->run[i].bytes;
    return rs->n > 1 && upper * 100 >= rs->run[rs->n - 1].bytes * SPACE_PERCENT;
}

/* The newest neighbours of like size, `least` of them or more. */
static bool find_alike(const struct runs *rs, size_t least, size_t *from, size_t *end)
{
    size_t i, e;

    for (i = 0; i + least <= rs->n; i++) {
        uint64_t sum = rs->run[i].bytes;

        if (rs->run[i].busy)
            continue;
        for (e = i + 1; e < rs->n && !rs->run[e].busy; e++) {
            if (rs->run[e].bytes * 100 > sum * (100 + SIZE_RATIO_PERCENT))
                break;
            sum += rs->run[e].bytes;
        }
        if (e - i >= least) {
            *from = i;
            *end = e;
            return true;
        }
    }
    return false;
}

/* The newest neighbours that nothing happens to, as many as are too many. */
static bool find_surplus(const struct runs *rs, size_t allowed, size_t *from, size_t *end)
{
    struct count c = {0};
    size_t width, least, i;

    for (i = 0; i < rs->n; i++)
        count_run(&c, rs->run[i].left_out);
    if (c.n <= allowed || c.n < 2)
        return false;
    width = c.n - allowed + 1;
    least = c.n < rs->n ? 2 : width; /* where they are parted, as many as there are */
    for (; width >= least; width--) {
        for (i = 0; i + width <= rs->n; i++) {
            if (any_busy(rs, i, i + width))
                continue;
            *from = i;
            *end = i + width;
            return true;
        }
    }
    return false;
}

/* Tombstones meet what they delete in the next older run; where there is none they
 * go by being rewritten at the bottom. */
static bool find_tombstones(const struct runs *rs, size_t *from, size_t *end)
{
    size_t i;

    for (i = 0; i < rs->n; i++) {
        size_t e = i + 2 < rs->n ? i + 2 : rs->n;

        if (!rs->run[i].tombstones || rs->run[i].level == LSM_LEVELS - 1 ||
            any_busy(rs, i, e))
            continue;
        *from = i;
        *end = e;
        return true;
    }
    return false;
}

int pick_tiered(const struct version *v, const struct pick_options *o,
                struct compaction *c)
{
    struct runs rs;
    size_t from = 0, end = 0;
    int rc = list_runs(v, true, &rs);

    if (rc)
        return rc;
    if (rs.n > 1 && rs.n >= o->l0_trigger && takes_too_much(&rs) &&
        !any_busy(&rs, 0, rs.n))
        rc = merge_runs(v, &rs, 0, rs.n, PICK_SIZE, c);
    else if (rs.n >= o->l0_trigger && find_alike(&rs, 2, &from, &end))
        rc = merge_runs(v, &rs, from, end, PICK_RUNS, c);
    else if (find_surplus(&rs, o->l0_trigger, &from, &end))
        rc = merge_runs(v, &rs, from, end, PICK_RUNS, c);
    else if (find_tombstones(&rs, &from, &end))
        rc = merge_runs(v, &rs, from, end, PICK_TOMBSTONES, c);
    free(rs.run);
    return rc;
}

/* ---- L0 alone ---- */

int pick_l0_runs(const struct version *v, const struct pick_options *o,
                 struct compaction *c)
{
    size_t from, end;
    struct runs rs;
    int rc = list_runs(v, false, &rs);

    if (!rc && (find_alike(&rs, 2, &from, &end) ||
                find_surplus(&rs, o->l0_trigger, &from, &end))) {
        rc = merge_runs(v, &rs, from, end, PICK_RUNS, c);
        c->output_level = 0; /* what is below is not a run of the tiers */
    }
    free(rs.run);
    return rc;
}

/* Does a table of the run point to a segment of the set? */
static bool points_to(const struct version *v, const struct run *r,
                      const struct segment_set *set)
{
    size_t i;

    for (i = r->first; i < r->end; i++)
        if (segment_set_bytes(set, &v->file[r->level][i]->meta))
            return true;
    return false;
}

int pick_blocked_l0(const struct version *v, const struct pick_options *o,
                    const struct segment_set *victims, struct compaction *c)
{
    struct level_targets t;
    size_t from, end;
    bool wanted;
    struct runs rs;
    int rc;

    pick_targets(v, o, &t);
    if (!pick_l0_is_blocked(v, o, &t))
        return 0;
    rc = list_runs(v, false, &rs);
    for (from = 0; !rc && from < rs.n && !c->reason; from = end + 1) {
        wanted = false;
        for (end = from; end < rs.n && !rs.run[end].busy; end++)
            wanted |= points_to(v, &rs.run[end], victims);
        if (wanted)
            rc = merge_runs(v, &rs, from, end, PICK_GARBAGE, c);
    }
    c->output_level = 0;
    free(rs.run);
    return rc;
}

/* ---- hybrid ---- */

/* L0 goes down when it holds enough; until then runs of like size are merged in it. */
int pick_hybrid(const struct version *v, const struct pick_options *o,
                const struct level_targets *t, struct compaction *c)
{
    size_t least = o->l0_trigger > 2 ? o->l0_trigger : 2, from, end;
    struct runs rs;
    int rc;

    if (pick_score(v, o, t, 0) >= 1.0) {
        rc = pick_l0(v, o, t, PICK_L0, c);
        if (rc || c->reason)
            return rc;
    }
    rc = list_runs(v, false, &rs);
    if (!rc && find_alike(&rs, least, &from, &end)) {
        rc = merge_runs(v, &rs, from, end, PICK_RUNS, c);
        c->output_level = 0; /* what is below is not a run of the tiers */
    }
    free(rs.run);
    return rc;
}
