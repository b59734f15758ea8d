/*
 * wire.h - what the kernel and we have to say to each other that libfuse does
 * not pass on: INIT flags that 3.14 does not know, and flags of single requests.
 */
#ifndef MOUNT_WIRE_H
#define MOUNT_WIRE_H

#include <fuse_lowlevel.h>
#include <stdbool.h>

#include "../fs/fs.h"

/*
 * Ask the kernel, where it offers them, for: parallel lookups in a directory;
 * leaving the clearing of suid and sgid to us (else it asks for an attribute at
 * every write); mmap of files open with O_DIRECT. Call the first right after
 * fuse_session_mount, the second in the init operation. One session a process.
 */
int wire_attach(struct fuse_session *se);
void wire_init(struct fuse_conn_info *conn);

/*
 * Does this request ask us to clear suid and sgid? `request` is what was read
 * from the kernel, a WRITE, or a SETATTR that truncates. NULL: it came by another
 * way; then for anybody but root.
 */
bool wire_write_kills(const void *request, const struct fuse_ctx *ctx);
bool wire_truncate_kills(const void *request, const struct fuse_ctx *ctx);

/*
 * Which thread sent this request (0: the kernel on its own), and are its data so many
 * that the client and we can work on them at the same time?
 */
uint32_t wire_client(const void *request);
bool wire_is_bulky(const void *request);

/*
 * Answers this thread's request when it is statx(2)'s, which asks for the time of birth
 * as well; false: it is an ordinary GETATTR. libfuse 3.14 does not know that request
 * either, so it comes as the other.
 */
bool wire_reply_statx(fuse_req_t req, const struct fs_attr *attr, double timeout);

/*
 * open(2)'s O_TMPFILE comes as a CREATE of a name that no file can have, since libfuse
 * 3.14 does not know the request.
 */
bool wire_is_tmpfile(const char *name);

#endif
