/*
 * command.h - the subcommands. Each gets argv with its own name first, and
 * returns the exit code.
 */
#ifndef MOUNT_COMMAND_H
#define MOUNT_COMMAND_H

int cmd_mkfs(int argc, char **argv);
int cmd_mount(int argc, char **argv);
int cmd_umount(int argc, char **argv);
int cmd_set(int argc, char **argv);
int cmd_quota(int argc, char **argv);
int cmd_du(int argc, char **argv);
int cmd_stats(int argc, char **argv);
int cmd_fsck(int argc, char **argv);
int cmd_scrub(int argc, char **argv);
int cmd_snapshot(int argc, char **argv);
int cmd_clone(int argc, char **argv);
int cmd_backup(int argc, char **argv);
int cmd_restore(int argc, char **argv);
int cmd_send(int argc, char **argv);
int cmd_receive(int argc, char **argv);
int cmd_export(int argc, char **argv);
int cmd_import(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_accesslog(int argc, char **argv);
int cmd_compact(int argc, char **argv);
int cmd_info(int argc, char **argv);
int cmd_upgrade(int argc, char **argv);
int cmd_verify(int argc, char **argv);
int cmd_kv(int argc, char **argv);

/* "usage: siltfs NAME ARGUMENTS" on stderr; returns 1. */
int usage(const char *name);

#endif
