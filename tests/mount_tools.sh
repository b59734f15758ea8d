#!/bin/bash
# Programs that people run: tar, git, sqlite, rsync.
. "$(dirname "$0")/mount_lib.sh"

need git git
need sqlite3 sqlite3
need rsync rsync
fresh || { fail "a fresh store mounts"; finish; }
# Some 2,000 of the files that are there, and their directories: how many there are is the
# machine's.
tree=$T/tree include=/usr/include
mkdir "$tree"
(cd $include && find . ! -type d | LC_ALL=C sort) >"$T/all"
awk -v n=$(($(wc -l <"$T/all") / 2000 + 1)) 'NR % n == 0' "$T/all" |
    tar -C $include -cf - -T - | tar -C "$tree" -xf -
cd "$MNT" || exit 1
export HOME=$T GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b

# ---- tar ----

ok "tar creates" tar -C "$tree" -cf all.tar .
mkdir untar
ok "tar extracts" tar -C untar -xpf all.tar
ok "tar compares" tar -C untar -df all.tar
ok "... with the original too" diff -r --no-dereference "$tree" untar
ok "tar reads back" cmp all.tar <(tar -C "$tree" -cf - .)

# ---- git ----

ok "git init" git init -q repo
cp -r $include/linux repo/linux
cd repo || exit 1
ok "git add" git add .
ok "git commit" git commit -q -m first
same "git status is clean" "$(git status --porcelain)" ""
for i in $(seq 20); do
    echo "$i" >>linux/fuse.h
    echo "$i" >"new$i"
    git add -A && git commit -q -m "change $i" || fail "git commit $i"
done
same "git log" "$(git log --oneline | wc -l)" 21
ok "git gc" git gc -q
ok "git fsck" git fsck --strict
ok "git clone" git clone -q . ../clone
ok "... is the same" diff -r --exclude=.git . ../clone
ok "git checkout of an older state" git checkout -q HEAD~20
same "... has it" "$(ls | grep -c new)" 0
cd ..

# ---- sqlite ----

for mode in delete truncate persist wal; do
    same "sqlite, journal $mode" "$(sqlite3 "db-$mode" "
        pragma journal_mode=$mode; pragma synchronous=full;
        create table t(id integer primary key, v text);
        with recursive n(i) as (select 1 union all select i+1 from n where i < 5000)
            insert into t select i, hex(randomblob(20)) from n;
        begin; delete from t where id % 3 = 0; rollback;
        begin; update t set v = 'x' where id % 2 = 0; commit;
        select count(*), sum(v = 'x') from t; pragma integrity_check;" | xargs)" \
        "$mode 5000|2500 ok"
    for i in 1 2 3 4; do
        sqlite3 -cmd '.timeout 60000' "db-$mode" "
            begin immediate; insert into t(v) values('writer $i'); commit;
            begin immediate; insert into t(v) values('writer $i'); commit;" &
    done
    wait $(jobs -p)
    same "... written by four at once" \
        "$(sqlite3 "db-$mode" "select count(*) from t where v like 'writer%'")" 8
done

# ---- rsync ----

ok "rsync -a" rsync -a "$tree"/ rs/
same "... finds nothing more to do" "$(rsync -ain "$tree"/ rs/)" ""
ok "rsync -a with checksums finds nothing" test -z "$(rsync -ainc "$tree"/ rs/)"
cp -r $include/linux "$T/changed"
for f in "$T"/changed/*.h; do echo >>"$f"; done
ok "rsync of changes" rsync -a --delete "$T/changed/" rs/
same "... finds nothing more to do" "$(rsync -ainc --delete "$T/changed/" rs/)" ""
ok "rsync --inplace" rsync -a --inplace --no-whole-file $include/linux/ rs/
ok "... is the same" diff -r $include/linux rs

# ---- all of it after a remount ----

cd /
ok "remount" remount
cd "$MNT" || exit 1
ok "tar still compares" tar -C untar -df all.tar
ok "git fsck" git -C repo fsck --strict
for mode in delete truncate persist wal; do
    same "sqlite $mode is whole" "$(sqlite3 db-$mode 'pragma integrity_check')" ok
done
cd /
ok "unmount" "$SILTFS" umount "$MNT"
ok "fsck is clean" "$SILTFS" fsck "$STORE"
finish
