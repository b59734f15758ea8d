#!/bin/bash
# The tour of README.md, word for word: each command is run, and says what stands there, but
# for numbers.
. "$(dirname "$0")/mount_lib.sh"

README=$(realpath README.md)
mkdir "$T/bin" && ln -s "$SILTFS" "$T/bin/siltfs"
PATH=$T/bin:$PATH
cd "$T" || exit 1

# Numbers, with their units, are N; so are runs of blanks one. Commands name stores by
# their paths, the tour by their names.
alike() { sed -E "s|$T/||g; s/[0-9][0-9.:-]*[KMGB]?/N/g; s/[ \t]+/ /g; s/ $//"; }

commands=0
run_one() {
    [ -n "$command" ] || return
    commands=$((commands + 1))
    out=$(bash -c "$command" 2>&1)
    same "\$ $command" "$(alike <<<"$out")" "$(alike <<<"$want")"
}
command= want=
while IFS= read -r line; do
    case $line in
    '    $ '*) run_one; command=${line#'    $ '} want= ;;
    '    '*) want=$want${want:+$'\n'}${line#'    '} ;;
    *) run_one; command= want= ;;
    esac
done < <(sed -n '/^## A five-minute tour/,/^## When/p' "$README")
run_one
ok "there was something to walk" [ $commands -ge 20 ]

finish
