/*
 * options.h - the words after -o: what each means, in one table that parses
 * them and prints the help.
 */
#ifndef MOUNT_OPTIONS_H
#define MOUNT_OPTIONS_H

#include <limits.h>
#include <stdio.h>

#include "../fs/fs.h"
#include "say.h"

struct mount_options {
    struct lsm_options lsm;
    struct fs_options fs;
    unsigned threads;        /* requests handled at once, at most */
    unsigned max_read;       /* bytes of one read request; 0: the kernel's choice */
    double entry_timeout;    /* seconds the kernel may keep a name */
    double attr_timeout;     /* ... attributes */
    double negative_timeout; /* ... that there is no such name */
    bool writeback;          /* the kernel's writeback cache */
    bool nonempty;           /* mount over what is there */
    bool nofail;             /* no store, no error */
    char snapshot[256];      /* mount that instead; "": the store */
    bool verify_given;       /* verify= was */
    char rados_conf[256]; /* of a store on RADOS: the cluster's; "": env_rados.h says */
    char rados_id[64];    /* ... who we are there */
    unsigned rados_lease_s;
    char metrics[64];     /* ADDRESS:PORT to serve them on; "": nowhere */
    char cache[PATH_MAX]; /* directory of a local cache; "": none */
    size_t cache_bytes;   /* that it may take */
    bool remount;         /* it is mounted: only change what the kernel checks */
    bool noacl;           /* the kernel does not check ACLs... */
    bool noxattr;         /* ...nor knows of any attribute; those there are kept */
    bool async_dio;       /* several of a process's O_DIRECT requests at once */
    struct buf kernel;    /* ",a,b": for mount(2), by way of libfuse */
};

void mount_options_init(struct mount_options *o);
void mount_options_release(struct mount_options *o);
/* A comma-separated list; later words win. 0, or -EINVAL or -ENOMEM with why. */
int mount_options_parse(struct mount_options *o, const char *list, struct why *why);
void mount_options_help(FILE *out);
/* Each with its value, a line each, as mount_options_parse would take it. */
void mount_options_print(FILE *out, const struct mount_options *o);

struct mkfs_options {
    struct fs_limits limits;
    unsigned uid, gid; /* who owns the root directory */
    unsigned mode;     /* its permissions */
};

void mkfs_options_init(struct mkfs_options *o);
int mkfs_options_parse(struct mkfs_options *o, const char *list, struct why *why);
void mkfs_options_help(FILE *out);

/* "4096", "50M"; false: no such thing. */
bool size_parse(const char *text, uint64_t *out);
/* "  50.0M" on stdout, 9 wide. */
void size_show(uint64_t bytes);
/* What `siltfs set` changes; a list that names nothing of it changes nothing. */
int limits_parse(struct fs_limits *limits, const char *list, struct why *why);
void limits_help(FILE *out);

#endif
