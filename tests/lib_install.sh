#!/bin/bash
# The library as others get it: installed into a tree, what it exports, its headers by
# themselves, the example of lsm/README.md against it, and uninstalled again.
set -u
cd "$(dirname "$0")/.." || exit 1
B=${B:-build}
T=$(mktemp -d) || exit 1
trap 'rm -rf "$T"' EXIT
passed=0 failed=0

# ok MESSAGE COMMAND... : the command succeeds.
ok() {
    local message=$1 out
    shift
    if out=$("$@" 2>&1); then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $message"
        echo "$out" | head -n 30 | sed 's/^/    /'
        return 1
    fi
}

# same MESSAGE GOT WANT
same() { ok "$1" test "$2" = "$3" || printf '    got:  %s\n    want: %s\n' "$2" "$3"; }

make_it() { ${MAKE:-make} --no-print-directory B="$B" DESTDIR="$T/root" PREFIX=/opt "$@"; }
pc() { PKG_CONFIG_PATH=$T/root/opt/lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$T/root pkg-config "$@"; }

ok "make install" make_it install
lib=$T/root/opt/lib inc=$T/root/opt/include

# ---- what was installed ----

same "the program runs" "$("$T/root/opt/bin/siltfs" --version | cut -d' ' -f1)" siltfs
ln -s "$T/root/opt/bin/siltfs" "$T/mkfs.siltfs" # the installed link leads out of the tree
ok "mkfs.siltfs makes a filesystem" "$T/mkfs.siltfs" "$T/fs"
ok "... that siltfs knows" "$T/root/opt/bin/siltfs" fsck "$T/fs"
same "the link to it is there" "$(readlink "$T/root/opt/sbin/mkfs.siltfs")" /opt/bin/siltfs
ok "the soname is liblsm.so.0" grep -q 'SONAME.*\[liblsm\.so\.0\]' <(readelf -d "$lib/liblsm.so")
ok "the links end at the library" test -f "$lib/liblsm.so" -a -L "$lib/liblsm.so.0"

# Every name is declared in a header that was installed, in both libraries.
undeclared() {
    nm "$@" | awk 'NF >= 3 { print $NF }' | sort -u | while read -r name; do
        grep -qE "\b$name\(" "$inc"/lsm/*.h || echo "$name"
    done
}
same "the shared library exports nothing else" \
    "$(undeclared -D --defined-only "$lib/liblsm.so")" ""
same "the static library exports nothing else" \
    "$(undeclared -g --defined-only "$lib/liblsm.a")" ""
calls() { grep -v '^typedef' "$inc/lsm/lsm.h" | grep -oE '^[a-z].*\blsm_[a-z_]+\(' | grep -oE 'lsm_[a-z_]+\('; }
same "and all of the calls" \
    "$(nm -D --defined-only "$lib/liblsm.so" | grep -oE 'lsm_[a-z_]+$' | sort)" \
    "$(calls | tr -d '(' | sort)"

for h in "$inc"/lsm/*.h; do
    name=$(basename "$h")
    ok "$name is C11 by itself" \
        "${CC:-gcc}" -std=c11 -pedantic -Wall -Wextra -Werror -fsyntax-only -x c "$h"
    if command -v g++ >/dev/null; then
        echo "#include <lsm/$name>" >"$T/one.cc"
        ok "$name is C++11 by itself" \
            g++ -std=c++11 -pedantic -Wall -Wextra -Werror -fsyntax-only -I"$inc" "$T/one.cc"
    fi
done

# ---- the example ----

awk '/^```c$/ { on = 1; next } /^```$/ { on = 0 } on' lsm/README.md >"$T/example.c"
awk '/^```text$/ { on = 1; next } /^```$/ { on = 0 } on' lsm/README.md >"$T/want"
ok "there is an example" test -s "$T/example.c" -a -s "$T/want"
cflags="-std=c11 -Wall -Wextra -Werror ${SAN:-}"

# shellcheck disable=SC2046,SC2086 # flags are words
ok "it compiles against the shared library" "${CC:-gcc}" $cflags -o "$T/shared" "$T/example.c" \
    $(pc --cflags --libs lsm)
ok "... and needs it" grep -q 'NEEDED.*liblsm.so.0' <(readelf -d "$T/shared")
# shellcheck disable=SC2046,SC2086
ok "it compiles against the static library" "${CC:-gcc}" $cflags -o "$T/static" "$T/example.c" \
    $(pc --cflags lsm) -Wl,-Bstatic -llsm -L"$lib" -Wl,-Bdynamic \
    $(pkg-config --libs libxxhash liblz4 libzstd) -pthread
ok "... and needs no other" grep -qv liblsm <(readelf -d "$T/static" | grep NEEDED)

for kind in shared static; do
    LD_LIBRARY_PATH=$lib "$T/$kind" "$T/store-$kind" >"$T/got" 2>"$T/err"
    same "the $kind one ends well, and quietly" "$? $(cat "$T/err")" "0 "
    same "the $kind one prints what the README says" \
        "$(head -n "$(wc -l <"$T/want")" "$T/got")" "$(cat "$T/want")"
done

# A table of ours and one of zlib's have functions of the same name; so may a program.
cat >"$T/clash.c" <<'END'
#include <lsm/lsm.h>
int compress(void);
int table_open(void);
int compress(void) { return 7; }
int table_open(void) { return 8; }
int main(void)
{
    struct lsm_options o;
    lsm_options_init(&o);
    return compress() + table_open() + (lsm_open("/nonexistent/x", &o, 0) == -ENOENT) - 16;
}
END
# shellcheck disable=SC2046,SC2086
ok "names of ours are free for programs" "${CC:-gcc}" $cflags -o "$T/clash" "$T/clash.c" \
    $(pc --cflags lsm) -Wl,-Bstatic -llsm -L"$lib" -Wl,-Bdynamic \
    $(pkg-config --libs libxxhash liblz4 libzstd) -pthread
ok "... and theirs are called" "$T/clash"

# ---- every option is in the table ----

ok "each option of lsm.h has its line in README.md" awk '
    FNR == NR { if (match($0, /^\| `[a-z0-9_]+/)) told[substr($0, 4, RLENGTH - 3)] = 1; next }
    /^struct lsm_options \{/ { on = 1; next }
    on && /^};/ { exit bad }
    on && /^    [a-z]/ && match($0, /[a-z0-9_]+(\[LSM_LEVELS\])?;/) {
        name = substr($0, RSTART, RLENGTH - 1); sub(/\[.*/, "", name)
        if (!(name in told)) { print "not told: " name; bad = 1 }
    }' lsm/README.md lsm/lsm.h

ok "make uninstall" make_it uninstall
same "nothing stays" "$(find "$T/root" ! -type d)" ""

echo "COUNT $passed passed, $failed failed"
[ $failed -eq 0 ]
