/*
 * tar.h - a filesystem, or a part of it, as a tar archive, and what is in one into a
 * filesystem: by fs.h, without a mount. The format is libarchive's business: pax, with
 * names, times, extended attributes, ACLs and holes as GNU tar and bsdtar read and write
 * them.
 *
 * Owners are numbers both ways. Sockets, which an archive cannot hold, are left out.
 */
#ifndef MOUNT_TAR_H
#define MOUNT_TAR_H

#include "../fs/fs.h"
#include "say.h"

/* A line about one file, of which the work goes on without it. */
typedef void tar_report_fn(void *arg, const char *line);

struct tar {
    struct fs *fs;    /* to write: nobody changes it meanwhile */
    const char *path; /* the file or directory in it; "": all */
    int fd;           /* borrowed */
    tar_report_fn *report;
    lsm_progress_fn *progress; /* of contents; total 0: nobody knows */
    void *arg;                 /* of both */
    uint64_t total;            /* for progress */
    /* Results. */
    uint64_t files, bytes;
    uint64_t problems; /* what was reported, sockets not counted */
};

/* Into t->fd. What is damaged is zeros there, and reported. Names begin with "./", those
 * below t->path, if that is a directory. */
int tar_export(struct tar *t, struct why *why);
/* Bytes of contents that tar_export will write. Reads names and attributes. */
int tar_measure(struct tar *t, uint64_t *bytes, struct why *why);

/*
 * Out of t->fd, compressed or not, into the directory t->path, which is made if need be.
 * Nothing leads out of it: a name with ".." in it is refused, one that is absolute is
 * taken from there, and symbolic links are not followed, whoever made them. What is there
 * already is replaced, but a directory by something else. Owners are those of the archive
 * for root, else who calls. -EBADMSG: no archive, or one that is cut off or damaged: what
 * came before stays.
 */
int tar_import(struct tar *t, struct why *why);

#endif
