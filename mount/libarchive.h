/*
 * libarchive.h - libarchive's functions, loaded when `siltfs export` or `import` first
 * wants them.
 *
 * Linked as others are it would bring libxml2 and ICU into each start of siltfs, daemons
 * included: 2 ms and 160 pages more, twice what a start takes.
 */
#ifndef MOUNT_LIBARCHIVE_H
#define MOUNT_LIBARCHIVE_H

#ifdef HAVE_LIBARCHIVE

#include <archive.h>
#include <archive_entry.h>

#include "say.h"

/* clang-format off */
#define LIBARCHIVE_CALLS(X)                                                              \
    X(archive_entry_acl_add_entry) X(archive_entry_acl_next) X(archive_entry_acl_reset)  \
    X(archive_entry_acl_count)                                                           \
    X(archive_entry_clear) X(archive_entry_copy_stat) X(archive_entry_copy_pathname)     \
    X(archive_entry_copy_symlink) X(archive_entry_new) X(archive_entry_free)             \
    X(archive_entry_set_size) X(archive_entry_unset_ctime)                                                            \
    X(archive_entry_filetype) X(archive_entry_hardlink) X(archive_entry_pathname)        \
    X(archive_entry_symlink) X(archive_entry_size) X(archive_entry_size_is_set)          \
    X(archive_entry_stat)                                          \
    X(archive_entry_atime_is_set) X(archive_entry_mtime_is_set)                          \
    X(archive_entry_sparse_add_entry)                                                    \
    X(archive_entry_xattr_add_entry) X(archive_entry_xattr_next)                         \
    X(archive_entry_xattr_reset)                                                         \
    X(archive_entry_linkresolver_new) X(archive_entry_linkresolver_free)                 \
    X(archive_entry_linkresolver_set_strategy) X(archive_entry_linkify)                  \
    X(archive_errno) X(archive_error_string) X(archive_filter_bytes)                     \
    X(archive_read_new) X(archive_read_free) X(archive_read_support_format_tar)          \
    X(archive_read_support_filter_gzip) X(archive_read_support_filter_bzip2)             \
    X(archive_read_support_filter_xz) X(archive_read_support_filter_zstd)                \
    X(archive_read_support_filter_lz4) X(archive_read_open_fd)                           \
    X(archive_read_next_header) X(archive_read_data_block)                               \
    X(archive_read_header_position)                                                      \
    X(archive_write_new) X(archive_write_free) X(archive_write_close)                    \
    X(archive_write_set_format_pax) X(archive_write_set_option)                          \
    X(archive_write_set_bytes_per_block) X(archive_write_set_bytes_in_last_block)        \
    X(archive_write_open_fd) X(archive_write_header) X(archive_write_data)               \
    X(archive_write_finish_entry) X(archive_write_fail)
/* clang-format on */

#define LIBARCHIVE_FIELD(name) __typeof__(name) *name;
extern struct libarchive {
    LIBARCHIVE_CALLS(LIBARCHIVE_FIELD)
} libarchive;

/* Fill libarchive. -ENOENT: it is not installed. Makes names be bytes, too: UTF-8 where
 * they are that. */
int libarchive_load(struct why *why);

#endif
#endif
