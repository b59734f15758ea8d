# Calls of other users, quickly: what as_users.py does, as functions. Source it after
# mount_lib.sh.
need python3 python3
coproc AS { exec python3 tests/as_users.py 2>&1; }
exec 7>&"${AS[1]}" 8<&"${AS[0]}" # for subshells too; clean_up closes them

ask() { # ask WORD ARGUMENT...
    local IFS=$'\037' line
    printf '%s\n' "$*" >&7
    while IFS= read -r line <&8 && [ "$line" != $'\004' ]; do echo "$line"; done
}

# as UID[:GROUP,...] PYTHON : run by that user, who is also a member of these groups;
# prints what it prints, then ok or the errno of the call that failed.
as() { ask "$PWD" "$1" run "$2"; }

# x set|get|list|rm PATH [NAME [VALUE [FLAGS]]] : see as_users.py. USER_IS= and SIZE= may
# say who asks, and the length of the buffer.
x() {
    local op=$1
    shift
    ask "$PWD" "${USER_IS:-0}" "$op" "${SIZE:-65536}" "$@"
}
