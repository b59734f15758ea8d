# Part of mount_rados.sh: stores carried between directories and a cluster, well and badly.

tree() { # STORE : sums of all that is in it
    "$SILTFS" mount -o ro "$1" "$T/mnt2" && (cd "$T/mnt2" && find . -type f -print0 | sort -z | xargs -0 md5sum | md5sum)
    "$SILTFS" umount "$T/mnt2"
}
# flip STORE-NAMESPACE : one byte of its largest object
flip() {
    local o
    o=$(for o in $(rados -p silt -N "$1" ls | grep '\.0'); do echo "$(rados -p silt -N "$1" stat "$o" | sed 's/.* //') $o"; done | sort -n | tail -n 1 | cut -d ' ' -f 2)
    rados -p silt -N "$1" get "$o" "$T/object" && python3 -c "
import sys
b = bytearray(open(sys.argv[1], 'rb').read()); b[len(b) // 2] ^= 1
open(sys.argv[1], 'wb').write(b)" "$T/object" && rados -p silt -N "$1" put "$o" "$T/object"
}

want=$(tree "$S")
ok "from the cluster into a directory" "$SILTFS" backup "$S" "$T/backup" first
ok "from a directory to the cluster" "$SILTFS" restore "$T/backup" rados:silt/back
same "it is the same tree" "$(tree rados:silt/back)" "$want"
ok "from the cluster to a directory" "$SILTFS" restore rados:silt/backup@first "$T/restored"
same "it is the same tree here, too" "$(tree "$T/restored")" "$want"

says "two backups of a name are not made" "has a backup" "$SILTFS" backup "$S" rados:silt/backup first
copied() { sed 's/.*copied \([0-9]*\),.*/\1/' <<<"$1"; }
said=$("$SILTFS" backup "$S" rados:silt/backup second)
ok "a second one shares what is the same" [ "$(copied "$said")" -lt 6 ]

serve rados:silt/back "$MNT"
says "one that is mounted is not restored over" "is there already" "$SILTFS" restore "$T/backup" rados:silt/back
"$SILTFS" snapshot create rados:silt/back one
echo more >"$MNT/more"
"$SILTFS" snapshot create rados:silt/back two
ok "a snapshot is sent from the cluster" sh -c "'$SILTFS' send rados:silt/back@one >'$T/one'"
ok "what another has more is sent alone" sh -c "'$SILTFS' send --from one rados:silt/back@two >'$T/two'"
ok "which is less" [ $(stat -c %s "$T/two") -lt $(stat -c %s "$T/one") ]
"$SILTFS" umount "$MNT"
for to in rados:silt/sent "$T/sent"; do
    receive="exec '$SILTFS' receive '$to' <"
    says "$to: not before what it builds on" 'has no snapshot "one"' sh -c "$receive$T/two"
    head -c 100000 "$T/one" >"$T/cut"
    says "$to: a stream that ends early is refused" "ends too early" sh -c "$receive$T/cut"
    (head -c 90000 "$T/one"; head -c 100 /dev/urandom; tail -c +90101 "$T/one") >"$T/harmed"
    says "$to: a damaged one, too" "damaged" sh -c "$receive$T/harmed"
    same "$to: nothing is there after that" "$("$SILTFS" snapshot list "$to" | grep -c 'one\|two')" 0
    ok "$to: a whole one is received" sh -c "$receive$T/one"
    says "$to: once" "has a snapshot" sh -c "$receive$T/one"
    ok "$to: and then the other" sh -c "$receive$T/two"
    "$SILTFS" mount -o snapshot=two "$to" "$T/mnt2"
    same "$to: it has what was sent" "$(cat "$T/mnt2/more")" more
    "$SILTFS" umount "$T/mnt2"
done
ok "it goes back as it came" sh -c "'$SILTFS' send --from one rados:silt/sent@two >'$T/again'"

# Two at once would write into the same files.
claimed() {
    local n
    for n in $(stores); do
        rados -p silt -N "$n" listomapkeys names | grep -q one-part && rados -p silt -N "$n" lock list names | grep -q 'lock\.' && return
    done
    return 1
}
mkfifo "$T/slow"
"$SILTFS" receive rados:silt/twice <"$T/slow" >"$T/first" 2>&1 &
first=$!
exec 8>"$T/slow" && head -c 100000 "$T/one" >&8
ok "one begins to receive" wait_until 120 claimed
says "another is refused meanwhile" "is being received already" sh -c "exec '$SILTFS' receive rados:silt/twice <'$T/one' 8>&-"
tail -c +100001 "$T/one" >&8
exec 8>&-
wait $first
same "the first one ends well" $? 0
ok "with all of it" sh -c "'$SILTFS' receive rados:silt/twice <'$T/two'"
says "it is there then" "has a snapshot" sh -c "exec '$SILTFS' receive rados:silt/twice <'$T/one'"

# Cut off, and done again.
"$SILTFS" backup "$S" rados:silt/cut >/dev/null 2>&1 &
sleep 0.15
kill -9 $! 2>/dev/null
wait $! 2>/dev/null
ok "a backup that was killed is made again" "$SILTFS" backup "$S" rados:silt/cut again
ok "and can be restored" "$SILTFS" restore rados:silt/cut@again rados:silt/uncut
same "it is the same tree, too" "$(tree rados:silt/uncut)" "$want"
flip "$restored"
not "a byte changed on the cluster is no clean store" "$SILTFS" fsck -c rados:silt/restored
for n in $(stores); do
    [ "$(rados -p silt -N "$n" listomapkeys names | grep -c SUMS)" = 2 ] && flip "$n"
done
says "nor is such a backup restored" "damaged" "$SILTFS" restore rados:silt/backup@first rados:silt/never
