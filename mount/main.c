/*
 * main.c - the siltfs program: a table of commands, and help on them.
 *
 * mount/man/pages makes the manual pages of what help prints, and mount/completion/ reads
 * it: a line of two spaces, a word, two spaces or more and a text is an item of a list,
 * one that is indented deeper goes on with its text, all other lines are paragraphs.
 */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "command.h"
#include "options.h"

#define SILTFS_VERSION "0.1"

struct command {
    const char *name;
    const char *arguments;
    const char *summary;
    const char *details;
    int (*run)(int argc, char **argv);
    void (*options_help)(FILE *out); /* NULL: it takes none */
};

static const struct command commands[] = {
    {"mkfs", "STORE [--size=SIZE] [--inodes=N] [-o OPTIONS]",
     "make an empty filesystem in the directory STORE",
     "STORE is made, or must be an empty directory. Everything lives in it: to copy it\n"
     "(unmounted) is to copy the filesystem, to remove it, to remove the filesystem.\n",
     cmd_mkfs, mkfs_options_help},
    {"mount", "STORE MNT [-f] [--metrics=ADDRESS:PORT] [-o OPTIONS]",
     "mount the filesystem in STORE on MNT",
     "Returns when MNT answers; a daemon goes on serving it and logs to syslog. With\n"
     "-f it stays in the foreground and logs to stderr. SIGTERM, SIGINT and SIGHUP\n"
     "unmount. What returned from fsync survives power loss; what merely returned\n"
     "survives the death of the daemon, and after sync_interval power loss too.\n",
     cmd_mount, mount_options_help},
    {"umount", "MNT [-l]", "unmount MNT, and wait until its store is safely closed",
     "With -l, detach it now though it is in use, and return at once; the store is\n"
     "closed when the last user is gone.\n",
     cmd_umount, NULL},
    {"set", "STORE|MNT [NAME=VALUE...]",
     "show or change the limits and options that a store keeps",
     "Without a word it shows them. size and inodes change while it is unmounted: what "
     "is\n"
     "used is counted anew, which takes as long as listing all files; a limit may be "
     "less\n"
     "than is used: then nothing can be added until enough was deleted. All other words\n"
     "are options of mount, kept for every mount to come; its own -o goes before them.\n"
     "sync_interval, compression and background_rate change at once in one that is "
     "there;\n"
     "memory, memtable, strategy and verify with the next. NAME=default keeps none.\n",
     cmd_set, limits_help},
    {"quota", "set|show|clear DIR [size=SIZE] [inodes=N], or list STORE|MNT",
     "limit what a directory and all that is in it may use",
     "  set DIR [size=SIZE] [inodes=N]  what is not said stays as it is; none: no "
     "limit.\n"
     "                                  What is there is counted first, which takes as\n"
     "                                  long as listing it; it goes on when interrupted\n"
     "  show DIR                        that which holds for DIR, and what is used of "
     "it\n"
     "  clear DIR                       take it away\n"
     "  list STORE|MNT                  all of them\n"
     "DIR is a directory of a mount, or STORE:/PATH of a store at rest. At a quota "
     "writing\n"
     "fails with EDQUOT, and df shows it, in DIR and below. Quotas may be within "
     "others;\n"
     "then all hold. Used are the bytes that du counts, and 256 for each name. Files can "
     "be\n"
     "renamed from one such tree into another, directories cannot (mv copies them "
     "then),\n"
     "and no file can have names in two. On a mount for root and whoever mounted.\n",
     cmd_quota, limits_help},
    {"stats", "STORE|MNT [--json|--prometheus]", "what the engine holds and does",
     "Of a mount, the live figures; of a store at rest, what opening it shows, without\n"
     "changing it. With --json or --prometheus (the text format that its servers read)\n"
     "for programs. A mount also has them as files: MNT/.siltfs/stats, stats.json and\n"
     "stats.prom. Counters begin when the store is opened.\n",
     cmd_stats, NULL},
    {"top", "MNT [-d SECONDS] [-n TIMES]", "watch what a mount does, live",
     "Requests a second by kind and what they take, levels, garbage, caches, stalls, "
     "each\n"
     "second or as -d says. q ends it. Into a pipe it writes one such page after the\n"
     "other; with -n only so many.\n",
     cmd_top, NULL},
    {"accesslog", "MNT", "print each request that a mount serves, with its duration",
     "When it ended, who asked, what of which inode, how it went, seconds it took; "
     "until\n"
     "Ctrl-C. Costs nothing while nobody does it.\n",
     cmd_accesslog, NULL},
    {"fsck", "[-n|--repair] [-c] STORE", "check the filesystem in STORE, unmounted",
     "Prints a line for each problem, and changes nothing. A crash leaves none.\n"
     "  --repair, -y    mend them: what has no name goes to /lost+found, what makes no\n"
     "                  sense is given up; each line says what was done. When the store\n"
     "                  below is damaged so that it cannot be read, first makes a store\n"
     "                  of what is readable of it, and tells what is lost. May be\n"
     "                  interrupted and run again. -a and -p, which fsck(8) passes, are\n"
     "                  the same.\n"
     "  --dry-run, -n   only look, also with --repair\n"
     "  --contents, -c  read the contents of all files, too, and tell which are "
     "damaged.\n"
     "                  They are left so, and reading them goes on to fail; but what\n"
     "                  keeps a small store from opening is given up by --repair, and\n"
     "                  reads as zeros\n"
     "Exit code 0: no problems, 1: all were mended, 4: there are some left, 8: the "
     "check\n"
     "could not be made.\n",
     cmd_fsck, NULL},
    {"info", "PATH...", "how files and directories of a mount are kept",
     "The inode, its extents, where they are (in tables, or in which segments of the "
     "value\n"
     "log), and what they take there. How what is written next is compressed is the "
     "store's\n"
     "(mount -o compression=), or for a file, and what will be made below a directory, "
     "set\n"
     "by the attribute user.siltfs.compression: none, lz4 or zstd.\n",
     cmd_info, NULL},
    {"du", "[-s] [-b] [PATH...]", "what directories hold, and take in the store",
     "PATH is of a mount, or STORE:/PATH of a store at rest; the directory one is in, "
     "without\n"
     "one. A line for each directory in it, of all that is below, as du(1) has it.\n"
     "Scans names and looks at no contents: quicker than asking for each file. BYTES\n"
     "are those that du(1) counts. STORED is what they take: compressed where they are "
     "in the\n"
     "value log, and as they are where they are in tables, among names and attributes; "
     "what\n"
     "copies share counts for each. FILES are all kinds of inodes, each once.\n"
     "  -s  only the sum of each PATH\n"
     "  -b  bytes, not rounded\n"
     "On a mount for root and whoever mounted.\n",
     cmd_du, NULL},
    {"compact", "STORE|MNT", "make the store as small and quick to read as it gets, now",
     "What is deleted and overwritten goes, and each name has one place: what is done "
     "in\n"
     "the background anyhow, bit by bit. Reads and writes all names and small contents\n"
     "once; a mount goes on meanwhile.\n",
     cmd_compact, NULL},
    {"scrub", "STORE|MNT [--rate=50M] [--resume]",
     "read and check every byte, also while it is mounted and in use",
     "Tells what is damaged by the files concerned, a line each. Exit code 0: none, 1:\n"
     "some, 8: the check could not be made. With --rate it reads no more than so many\n"
     "bytes a second. Interrupted, it notes in the file SCRUB of the store where it is,\n"
     "and --resume goes on from there. What is damaged can be deleted or overwritten as\n"
     "ever; the rest can be read.\n",
     cmd_scrub, NULL},
    {"snapshot", "create|list|delete|diff|rollback STORE|MNT [NAME [NAME]]",
     "keep the filesystem as it is now; show, drop, go back to what was kept",
     "  create STORE|MNT NAME    takes an instant and no room at any size: what changes\n"
     "                           later does, as long as the snapshot is there\n"
     "  list STORE|MNT           when each was made, the size of its files, and what of "
     "it\n"
     "                           deleting it would free\n"
     "  delete STORE|MNT NAME    also while it is mounted\n"
     "  diff STORE|MNT NAME [NEW]  what is different now, or in NEW, a line each: + "
     "came, -\n"
     "                           went, M contents or attributes changed, R renamed\n"
     "  rollback STORE NAME      unmounted: makes STORE what it was. What it is now "
     "stays\n"
     "                           as the snapshot before-rollback-N: go back to that to\n"
     "                           undo it\n"
     "MNT/.siltfs/snapshots/NAME shows one to root and whoever mounted, and\n"
     "`siltfs mount -o snapshot=NAME STORE MNT` to all whom it allows. Both read only;\n"
     "`siltfs clone` makes a store of it that can be written to.\n",
     cmd_snapshot, NULL},
    {"clone", "STORE|MNT[@NAME] NEW",
     "make a store of its own, in NEW, of a store or snapshot",
     "Of a mount it is what it holds at one moment. On the same filesystem it takes an\n"
     "instant and no room but for what changes later in either, else it is a copy.\n",
     cmd_clone, NULL},
    {"backup", "STORE|MNT[@SNAPSHOT] DEST [NAME]",
     "keep a copy in DEST, of what DEST has not got yet",
     "Of a mount too: what it holds at one moment. DEST may hold any number of backups,\n"
     "of several stores: they share the files that are the same. Each byte written is\n"
     "read back. Interrupted, run it again: what came over stays. Each backup is\n"
     "a snapshot of DEST: `siltfs snapshot list|delete DEST`, `siltfs mount -o\n"
     "snapshot=NAME DEST MNT`. NAME is the snapshot's, or the time.\n",
     cmd_backup, NULL},
    {"restore", "DEST[@NAME] STORE", "make a store of a backup, the newest or NAME",
     "STORE must not be there yet. Every byte is compared with what was backed up.\n"
     "Interrupted, run it again: what came over stays.\n",
     cmd_restore, NULL},
    {"send", "[--from=SNAPSHOT] STORE|MNT@SNAPSHOT",
     "write a snapshot to standard output",
     "For `siltfs receive`, through a pipe, ssh or a file; every byte is under a sum. "
     "With\n"
     "--from, only what that snapshot, which the receiver has, has not got.\n",
     cmd_send, NULL},
    {"receive", "STORE", "make a snapshot of STORE of what `siltfs send` writes",
     "Reads standard input. STORE is made if it is not there, a place for snapshots "
     "alone;\n"
     "it may be mounted. The snapshot is there when it is whole, or not at all; `siltfs\n"
     "clone STORE@NAME NEW` makes a store of it that can be written to.\n",
     cmd_receive, NULL},
    {"export", "STORE|MNT[@SNAPSHOT] [PATH]",
     "write the files as a tar archive to standard output",
     "Of a mount too: what it holds at one moment. All files, or those below PATH, which "
     "is\n"
     "a path in the filesystem. tar, bsdtar and `siltfs import` read it, with times, "
     "owners\n"
     "(by number), links, devices, holes, extended attributes and ACLs. Compress it by "
     "a\n"
     "pipe: `siltfs export STORE | zstd > x.tar.zst`. Exit code 1: something is missing; "
     "a\n"
     "line says what.\n",
     cmd_export, NULL},
    {"import", "STORE [PATH]", "put the files of a tar archive into STORE, unmounted",
     "Reads standard input: any tar archive, also compressed (gzip, bzip2, xz, zstd, "
     "lz4).\n"
     "PATH is a directory in the filesystem, made if need be. Files of the same name "
     "are\n"
     "replaced, directories kept. Nothing is written elsewhere: names with .. in them "
     "and\n"
     "those behind symbolic links are left out, and / is PATH. For root, owners are "
     "those "
     "of\n"
     "the archive; else all belongs to who imports. Interrupted, it can be run again. "
     "Into\n"
     "a mount tar itself can put files.\n",
     cmd_import, NULL},
    {"verify", "STORE", "read and check every byte of STORE, unmounted",
     "As scrub, at full speed. Changes nothing. Exit code 0: all bytes are as written,\n"
     "1: some are not, 8: the check could not be made.\n",
     cmd_verify, NULL},
    {"upgrade", "STORE", "tell the format of STORE, unmounted, and bring it up to date",
     "There is nothing to do up to now, and nothing is changed: all formats that there\n"
     "are can be used as they are. A store that is newer than the program is refused.\n"
     "siltfs(5) has what makes a store unusable for older programs.\n",
     cmd_upgrade, NULL},
    {"kv", "STORE COMMAND ...", "use STORE as a plain key-value store",
     "  put KEY VALUE     store a value, with - the one on stdin; makes STORE if\n"
     "                    need be\n"
     "  get KEY           print the value and a newline; exit code 1 when there is none\n"
     "  delete KEY\n"
     "  scan [FROM [TO]]  print the pairs with FROM <= key < TO, tab between\n"
     "  load              store the pairs on stdin: a line each, tab between\n"
     "A store that holds a filesystem can be read so, not written.\n",
     cmd_kv, NULL},
};

enum { COMMANDS = sizeof(commands) / sizeof(commands[0]) };

static const struct command *find(const char *name)
{
    for (int i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    }
    return NULL;
}

int usage(const char *name)
{
    return fail("usage: siltfs %s %s (`siltfs help %s` says more)", name,
                find(name)->arguments, name);
}

static void help_all(FILE *out)
{
    fprintf(out, "siltfs %s: a filesystem in a directory\n\n", SILTFS_VERSION);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-9s  %s\n", commands[i].name, commands[i].summary);
    fprintf(out, "  %-9s  this\n\n`siltfs help COMMAND` says what it takes and more.\n",
            "help");
}

static int help_on(const struct command *c)
{
    printf("siltfs %s %s\n\n%s\n\n%s", c->name, c->arguments, c->summary, c->details);
    if (c->options_help)
        c->options_help(stdout);
    return 0;
}

static int help(int argc, char **argv)
{
    const struct command *c;

    if (argc < 2) {
        help_all(stdout);
        return 0;
    }
    c = find(argv[1]);
    if (!c)
        return fail("no such command: %s; `siltfs help` lists them", argv[1]);
    return help_on(c);
}

static bool asks_for_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* The engine keeps its tables open, and the default of 1024 would not do. */
static void raise_file_limit(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

static int run(const struct command *c, int argc, char **argv)
{
    if (argc == 2 && asks_for_help(argv[1]))
        return help_on(c);
    raise_file_limit();
    return c->run(argc, argv);
}

/* Called as mkfs.siltfs or mount.siltfs, as mkfs(8) and mount(8) do; mount.fuse.siltfs
 * for what is mounted, of which the kernel tells the type fuse.siltfs. */
static const struct command *find_by_own_name(const char *argv0)
{
    static const char suffix[] = ".siltfs";
    const char *base = strrchr(argv0, '/'), *dot;
    char name[32];

    base = base ? base + 1 : argv0;
    dot = strrchr(base, '.');
    if (!dot || strcmp(dot, suffix) != 0 || dot - base >= (ptrdiff_t)sizeof(name))
        return NULL;
    memcpy(name, base, (size_t)(dot - base));
    name[dot - base] = '\0';
    return find(strcmp(name, "mount.fuse") == 0 ? "mount" : name);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : NULL;
    const struct command *c = argc > 0 ? find_by_own_name(argv[0]) : NULL;

    if (c)
        return run(c, argc, argv);
    if (!name) {
        help_all(stderr);
        return 1;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "version") == 0) {
        printf("siltfs %s\n", SILTFS_VERSION);
        return 0;
    }
    if (strcmp(name, "help") == 0 || asks_for_help(name))
        return help(argc - 1, argv + 1);
    c = find(name);
    if (!c)
        return fail("no such command: %s; `siltfs help` lists them", name);
    return run(c, argc - 1, argv + 1);
}
