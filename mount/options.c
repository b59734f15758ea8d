/*
 * options.c - see options.h: the tables, and what sets and prints the options that are
 * more than a number. What a table is: option_table.h.
 */
#include "option_table.h"

#include <fuse_lowlevel.h>
#include <unistd.h>

enum {
    DAY_SECONDS = 24 * 60 * 60,
    THREADS = 16,
    LEASE_S = 30,
    THREADS_MAX = 1024,
};

#define CACHE_BYTES ((size_t)10 << 30)
#define AFTER_O     "-o, separated by commas"
#define COMPRESSION_WORDS                                                                \
    "option compression=%s: give none, lz4 or zstd, or two with a colon between: the "   \
    "second is for the last level"

/* ---- setting ---- */

static int set_verify(void *into, const char *value, struct why *why)
{
    struct mount_options *o = into;

    o->verify_given = true;
    if (strcmp(value, "all") == 0)
        o->lsm.verify_bytes = UINT64_MAX;
    else if (strcmp(value, "none") == 0)
        o->lsm.verify_bytes = 0;
    else if (!size_parse(value, &o->lsm.verify_bytes))
        return why_set(why, -EINVAL, "option verify=%s: give a size, all or none", value);
    return 0;
}

static bool parse_compression(const char *word, size_t len, enum lsm_compression *out)
{
    static const char *const names[] = {"none", "lz4", "zstd"}; /* as in lsm.h */

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strlen(names[i]) == len && memcmp(names[i], word, len) == 0) {
            *out = (enum lsm_compression)i;
            return true;
        }
    }
    return false;
}

/* KIND, or KIND:LAST. */
static int set_compression(void *into, const char *value, struct why *why)
{
    struct lsm_options *lsm = &((struct mount_options *)into)->lsm;
    const char *colon = strchr(value, ':');
    enum lsm_compression kind, last;
    unsigned level;

    if (!parse_compression(value, colon ? (size_t)(colon - value) : strlen(value), &kind))
        return why_set(why, -EINVAL, COMPRESSION_WORDS, value);
    last = kind;
    if (colon && !parse_compression(colon + 1, strlen(colon + 1), &last))
        return why_set(why, -EINVAL, COMPRESSION_WORDS, value);
    for (level = 0; level < LSM_LEVELS; level++)
        lsm->compression[level] = level < LSM_LEVELS - 1 ? kind : last;
    lsm->vlog = kind;
    return 0;
}

static int set_strategy(void *into, const char *value, struct why *why)
{
    static const char *const names[] = {"leveled", "tiered", "hybrid"}; /* as in lsm.h */
    struct mount_options *o = into;

    for (unsigned i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strcmp(names[i], value) == 0) {
            o->lsm.strategy = (enum lsm_strategy)i;
            return 0;
        }
    }
    return why_set(why, -EINVAL,
                   "option strategy=%s: there are leveled, tiered and hybrid", value);
}

static int set_read_only(void *into, const char *value, struct why *why)
{
    struct mount_options *o = into;

    o->lsm.read_only = o->fs.read_only = true;
    return option_tell_kernel(o, "ro");
}

static int set_snapshot(void *into, const char *value, struct why *why)
{
    struct mount_options *o = into;

    if (!*value || strlen(value) >= sizeof(o->snapshot))
        return why_set(why, -EINVAL, "option snapshot=%s: no name of a snapshot", value);
    strcpy(o->snapshot, value);
    return set_read_only(o, NULL, why);
}

static int set_metrics(void *into, const char *value, struct why *why)
{
    struct mount_options *o = into;

    if (!strchr(value, ':') || strlen(value) >= sizeof(o->metrics))
        return why_set(why, -EINVAL, "metrics=%s: give ADDRESS:PORT, as 127.0.0.1:9090",
                       value);
    strcpy(o->metrics, value);
    return 0;
}

static int set_cache(void *into, const char *value, struct why *why)
{
    struct mount_options *o = into;

    if (!*value || strlen(value) >= sizeof(o->cache))
        return why_set(why, -EINVAL, "option cache=%s: no name of a directory", value);
    strcpy(o->cache, value);
    return 0;
}

static int set_cache_size(void *into, const char *value, struct why *why)
{
    uint64_t size;

    if (!size_parse(value, &size) || size < ENV_CACHE_LEAST || size > INT64_MAX)
        return why_set(why, -EINVAL, "option cache_size=%s: give a size, 1M at least",
                       value);
    ((struct mount_options *)into)->cache_bytes = (size_t)size;
    return 0;
}

static int set_word(char *into, size_t cap, const char *name, const char *value,
                    struct why *why)
{
    if (!*value || strlen(value) >= cap)
        return why_set(why, -EINVAL, "option %s=%s: not a possible value", name, value);
    strcpy(into, value);
    return 0;
}

static int set_rados_conf(void *into, const char *value, struct why *why)
{
    struct mount_options *o = into;

    return set_word(o->rados_conf, sizeof(o->rados_conf), "rados_conf", value, why);
}

static int set_rados_id(void *into, const char *value, struct why *why)
{
    struct mount_options *o = into;

    return set_word(o->rados_id, sizeof(o->rados_id), "rados_id", value, why);
}

static int set_read_write(void *into, const char *value, struct why *why)
{
    struct mount_options *o = into;

    o->lsm.read_only = o->fs.read_only = false;
    return option_tell_kernel(o, "rw");
}

static int set_noatime(void *into, const char *value, struct why *why)
{
    struct mount_options *o = into;

    o->fs.atime = FS_NOATIME;
    return option_tell_kernel(o, "noatime");
}

static int set_relatime(void *into, const char *value, struct why *why)
{
    struct mount_options *o = into;

    o->fs.atime = FS_RELATIME;
    return option_tell_kernel(o, "atime");
}

/* The kernel leaves times of access to us, and libfuse has no word for its flag. */
static int set_strictatime(void *into, const char *value, struct why *why)
{
    struct mount_options *o = into;

    o->fs.atime = FS_STRICTATIME;
    return option_tell_kernel(o, "atime");
}

/* ---- printing ---- */

static void print_read_only(FILE *out, const struct mount_options *o)
{
    fprintf(out, "%s\n", o->fs.read_only ? "ro" : "rw");
}

static void print_atime(FILE *out, const struct mount_options *o)
{
    static const char *const words[] = {[FS_RELATIME] = "relatime",
                                        [FS_NOATIME] = "noatime",
                                        [FS_STRICTATIME] = "strictatime"};

    fprintf(out, "%s\n", words[o->fs.atime]);
}

static void print_compression(FILE *out, const struct mount_options *o)
{
    static const char *const words[] = {
        [0] = "none", [LSM_LZ4] = "lz4", [LSM_ZSTD] = "zstd"};

    fprintf(out, "compression=%s:%s\n", words[o->lsm.compression[0]],
            words[o->lsm.compression[LSM_LEVELS - 1]]);
}

static void print_strategy(FILE *out, const struct mount_options *o)
{
    static const char *const words[] = {
        [LSM_LEVELED] = "leveled", [LSM_TIERED] = "tiered", [LSM_HYBRID] = "hybrid"};

    fprintf(out, "strategy=%s\n", words[o->lsm.strategy]);
}

static void print_cache(FILE *out, const struct mount_options *o)
{
    if (o->cache[0])
        fprintf(out, "cache=%s\n", o->cache);
}

static void print_cache_size(FILE *out, const struct mount_options *o)
{
    if (o->cache[0])
        fprintf(out, "cache_size=%zu\n", o->cache_bytes);
}

/* ---- the tables ---- */

/* clang-format off */

#define IN(field)       offsetof(struct mount_options, field)
#define TO_KERNEL(word) {.name = word, .kind = KERNEL}
#define SKIPPED(word)   {.name = word, .kind = IGNORED}

static const struct option mount_table[] = {
    {.name = "ro", .kind = SPECIAL, .set = set_read_only, .print = print_read_only,
     .help = "read only; nothing in STORE is changed"},
    {.name = "rw", .kind = SPECIAL, .set = set_read_write},
    {.name = "snapshot", .kind = SPECIAL, .set = set_snapshot, .value_name = "NAME",
     .help = "read only: what STORE was when that snapshot was made"},
    {.name = "noatime", .kind = SPECIAL, .set = set_noatime,
     .help = "keep no access times (default: relatime)"},
    {.name = "nodiratime", .kind = YES, .offset = IN(fs.nodiratime),
     .help = "... of directories"},
    {.name = "relatime", .kind = SPECIAL, .set = set_relatime, .print = print_atime},
    {.name = "atime", .kind = SPECIAL, .set = set_relatime},
    {.name = "strictatime", .kind = SPECIAL, .set = set_strictatime,
     .help = "set them at each read that the kernel does not answer itself"},
    {.name = "remount", .kind = YES, .offset = IN(remount),
     .help = "of a mount, change ro, rw, [no]suid, [no]dev, [no]exec, [no]atime"},
    {.name = "allow_other", .kind = KERNEL,
     .help = "let other users in, as the permissions say"},
    {.name = "allow_root", .kind = KERNEL, .help = "let root in"},
    {.name = "nonempty", .kind = YES, .offset = IN(nonempty),
     .help = "mount over a directory with something in it"},
    {.name = "nofail", .kind = YES, .offset = IN(nofail),
     .help = "when there is no STORE, do nothing, without a word (for fstab)"},
    {.name = "memory", .kind = SIZE, .offset = IN(lsm.memory_bytes), .value_name = "SIZE",
     .help = "memory for writes that wait, blocks and indexes, in all"},
    {.name = "memtable", .kind = SIZE, .offset = IN(lsm.memtable_bytes),
     .value_name = "SIZE", .help = "of it, for one memtable"},
    {.name = "cache", .kind = SPECIAL, .set = set_cache, .print = print_cache,
     .value_name = "DIR", .help = "keep what was read of STORE there, on a quicker disk"},
    {.name = "cache_size", .kind = SPECIAL, .set = set_cache_size,
     .print = print_cache_size, .value_name = "SIZE",
     .help = "so much of it at most (default: 10G)"},
    {.name = "sync_interval", .kind = MILLIS, .offset = IN(lsm.sync_interval_ms),
     .value_name = "SECONDS", .help = "sync what nobody synced this often; 0: never"},
    {.name = "compression", .kind = SPECIAL, .set = set_compression,
     .print = print_compression,
     .value_name = "KIND[:LAST]",
     .help = "none, lz4, zstd; LAST: of the last level (default: lz4:zstd)"},
    {.name = "strategy", .kind = SPECIAL, .set = set_strategy, .print = print_strategy,
     .value_name = "NAME",
     .help = "leveled (default: least space), tiered (least written), hybrid"},
    {.name = "background_rate", .kind = SIZE, .offset = IN(lsm.background_bytes_per_s),
     .value_name = "SIZE", .help = "compact no faster, a second (default: as needed)"},
    {.name = "verify", .kind = SPECIAL, .set = set_verify, .value_name = "SIZE",
     .help = "check every byte first, of a store up to SIZE; all; none"},
    {.name = "rados_conf", .kind = SPECIAL, .set = set_rados_conf, .value_name = "FILE",
     .help = "of the cluster of a STORE on RADOS (default: $CEPH_CONF, else /etc/ceph/ceph.conf)"},
    {.name = "rados_id", .kind = SPECIAL, .set = set_rados_id, .value_name = "USER",
     .help = "who we are there (default: admin)"},
    {.name = "rados_lease", .kind = COUNT, .offset = IN(rados_lease_s), .value_name = "SECONDS",
     .least = 3, .most = 3600, .help = "not heard of so long, another may take over (30)"},
    {.name = "ack_early", .kind = YES, .offset = IN(lsm.ack_early),
     .help = "on RADOS: calls return before what they did is stored there; fsync stores it"},
    {.name = "writeback", .kind = YES, .offset = IN(writeback),
     .help = "let the kernel gather writes; errors are told at fsync"},
    {.name = "noacl", .kind = YES, .offset = IN(noacl),
     .help = "keep ACLs, but check the mode only: quicker for all but owners"},
    {.name = "noxattr", .kind = YES, .offset = IN(noxattr),
     .help = "no extended attributes, no ACLs: making files is quicker"},
    {.name = "async_dio", .kind = YES, .offset = IN(async_dio),
     .help = "asynchronous O_DIRECT requests run at once: not beside buffered readers"},
    {.name = "metrics", .kind = SPECIAL, .set = set_metrics, .value_name = "ADDRESS:PORT",
     .help = "serve statistics there: / for browsers, /metrics for Prometheus"},
    {.name = "threads", .kind = COUNT, .offset = IN(threads), .value_name = "N",
     .least = 1, .most = THREADS_MAX, .help = "requests handled at once, at most"},
    {.name = "entry_timeout", .kind = SECONDS, .offset = IN(entry_timeout),
     .value_name = "SECONDS", .help = "how long the kernel keeps a name"},
    {.name = "attr_timeout", .kind = SECONDS, .offset = IN(attr_timeout),
     .value_name = "SECONDS", .help = "how long it keeps attributes"},
    {.name = "negative_timeout", .kind = SECONDS, .offset = IN(negative_timeout),
     .value_name = "SECONDS", .help = "how long it keeps that there is no such name"},
    {.name = "max_read", .kind = SIZE32, .offset = IN(max_read), .value_name = "SIZE",
     .help = "bytes of one read request"},
#if FUSE_VERSION >= 318
    {.name = "io_uring", .kind = KERNEL,
     .help = "talk to the kernel over io_uring, where it can"},
#endif
    TO_KERNEL("suid"), TO_KERNEL("nosuid"), TO_KERNEL("dev"), TO_KERNEL("nodev"),
    TO_KERNEL("exec"), TO_KERNEL("noexec"), TO_KERNEL("sync"), TO_KERNEL("async"),
    TO_KERNEL("dirsync"),
    SKIPPED("acl"), SKIPPED("user_xattr"), SKIPPED("defaults"), SKIPPED("default_permissions"), /* the latter is always on */
    SKIPPED("diratime"), SKIPPED("lazytime"), SKIPPED("auto"), SKIPPED("noauto"),
    SKIPPED("_netdev"), SKIPPED("user"), SKIPPED("nouser"), SKIPPED("users"),
    SKIPPED("owner"), SKIPPED("group"),
    {.name = NULL},
};

#undef IN
#define IN(field) offsetof(struct mkfs_options, field)
#define IN_LIMITS(field) offsetof(struct mkfs_options, limits.field)

#define LIMITS(in)                                                                      \
    {.name = "size", .kind = LIMIT, .offset = in(bytes), .value_name = "SIZE",           \
     .help = "what files may hold in all, or none: no limit but the disk's"},            \
    {.name = "inodes", .kind = LIMIT, .offset = in(inodes), .value_name = "N",           \
     .help = "how many there may be, or none"}

static const struct option mkfs_table[] = {
    LIMITS(IN_LIMITS),
    {.name = "uid", .kind = COUNT, .offset = IN(uid), .value_name = "N",
     .most = UINT32_MAX - 1, .help = "owner of the root directory (default: you)"},
    {.name = "gid", .kind = COUNT, .offset = IN(gid), .value_name = "N",
     .most = UINT32_MAX - 1, .help = "its group (default: yours)"},
    {.name = "mode", .kind = OCTAL, .offset = IN(mode), .value_name = "OCTAL",
     .most = 07777, .help = "its permissions (default: 755)"},
    {.name = NULL},
};

#undef IN
#define IN(field) offsetof(struct fs_limits, field)

static const struct option limits_table[] = {
    LIMITS(IN),
    {.name = NULL},
};

#undef IN

/* clang-format on */

/* ---- the commands that take options ---- */

void mount_options_init(struct mount_options *o)
{
    memset(o, 0, sizeof(*o));
    lsm_options_init(&o->lsm);
    o->lsm.format = FS_FORMAT;
    fs_options_init(&o->fs);
    o->fs.told_later = true;
    o->rados_lease_s = LEASE_S;
    o->threads = THREADS;
    o->cache_bytes = CACHE_BYTES;
    /* Nothing changes behind the kernel's back: we are the only writer. */
    o->entry_timeout = o->attr_timeout = o->negative_timeout = DAY_SECONDS;
}

void mount_options_release(struct mount_options *o)
{
    buf_release(&o->kernel);
}

int mount_options_parse(struct mount_options *o, const char *list, struct why *why)
{
    return options_parse(mount_table, o, "mount", list, why);
}

void mount_options_help(FILE *out)
{
    options_help(mount_table, AFTER_O, out);
    fprintf(out, "Words that only mount(8) reads (defaults, noauto, x-...) are skipped; "
                 "[no]suid,\n[no]dev, [no]exec, [a]sync go to the kernel.\n");
}

void mkfs_options_init(struct mkfs_options *o)
{
    o->uid = geteuid();
    o->gid = getegid();
    o->mode = 0755;
}

int mkfs_options_parse(struct mkfs_options *o, const char *list, struct why *why)
{
    return options_parse(mkfs_table, o, "mkfs", list, why);
}

void mkfs_options_help(FILE *out)
{
    options_help(mkfs_table, AFTER_O, out);
}

int limits_parse(struct fs_limits *limits, const char *list, struct why *why)
{
    return options_parse(limits_table, limits, "set", list, why);
}

void limits_help(FILE *out)
{
    options_help(limits_table, "words of their own", out);
}

void mount_options_print(FILE *out, const struct mount_options *o)
{
    const struct option *opt;

    for (opt = mount_table; opt->name; opt++) {
        if (opt->print) {
            opt->print(out, o);
        } else {
            option_print(out, opt, (const char *)o + opt->offset);
        }
    }
}
