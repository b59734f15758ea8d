/*
 * info.c - how an inode is kept: fs_info.
 */
#include "extent.h"
#include "fs_impl.h"
#include "xattr.h"

static void note_segment(struct fs_info *out, uint64_t segment)
{
    unsigned i;

    for (i = 0; i < out->segments_told; i++)
        if (out->segment[i] == segment)
            return;
    if (out->segments_told < FS_INFO_SEGMENTS)
        out->segment[out->segments_told++] = segment;
    else
        out->segments_more++;
}

static void note_extent(struct fs_info *out, const struct extent_scan *s)
{
    uint64_t len = s->end - s->start;
    struct lsm_place place;

    if (!lsm_iter_place(s->it, &place)) {
        out->inline_extents++;
        out->inline_bytes += len;
        return;
    }
    out->separated_bytes += len;
    out->stored_bytes += place.stored;
    out->raw_bytes += place.raw;
    note_segment(out, place.segment);
}

static int file_info(struct fs *fs, const struct inode *in, struct fs_info *out)
{
    const struct record *rec = &in->rec;
    struct extent_scan s;
    int rc;

    out->size = rec->file.size;
    out->extents = rec->file.extents;
    out->bytes = rec->file.bytes;
    out->unwritten = rec->file.unwritten;
    if (!rec->file.size)
        return 0;
    rc = extent_scan_open(fs, &s, in->ino, rec->file.size, 0, rec->file.size);
    while (!rc && s.valid) {
        note_extent(out, &s);
        rc = extent_scan_next(&s);
    }
    extent_scan_release(&s);
    return rc;
}

static int info_locked(struct fs *fs, const struct inode *in, struct fs_info *out)
{
    const struct record *rec = &in->rec;

    *out = (struct fs_info){
        .ino = in->ino,
        .mode = rec->mode,
        .embedded = in->home.parent != 0,
        .xattrs = rec->flags & REC_XATTR,
        .compression = xattr_compression(rec),
    };
    if (record_is_dir(rec)) {
        out->entries = rec->dir.entries;
        out->subdirs = rec->dir.subdirs;
    }
    return record_is_file(rec) ? file_info(fs, in, out) : 0;
}

int fs_info(struct fs *fs, uint64_t ino, struct fs_info *out)
{
    struct inode *in;
    int rc = inode_get(fs, ino, &in);

    if (rc)
        return rc;
    rwlock_read(&in->lock);
    rc = info_locked(fs, in, out);
    rwlock_unlock(&in->lock);
    inode_put(fs, in);
    return rc;
}
