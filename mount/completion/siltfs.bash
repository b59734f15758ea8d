# Bash completion for siltfs: its words are those of `siltfs help`, so it knows what the
# installed program knows.

_siltfs_help() { "${siltfs:-siltfs}" help "$@" 2>/dev/null; }

# Words of -o, each with = if it takes a value.
_siltfs_options() {
    _siltfs_help "$1" | sed -n '/^Options (/,$ s/^  \([a-z_]*=\{0,1\}\).*/\1/p'
}

# What begins with a dash in what help says: options of the command.
_siltfs_dashes() {
    _siltfs_help "$1" | sed '/^Options (/,$d' |
        grep -oE '(^|[][ |])--?[a-z][-a-z]*=?' | grep -oE -- '--?[a-z].*' |
        awk '{ is[$0] } END { for (x in is) if (!((x "=") in is)) print x }'
}

_siltfs_snapshots() { "${siltfs:-siltfs}" snapshot list "$1" 2>/dev/null | sed -n '1!s/^.\{38\}  *//p'; }

# The last word of a list behind -o.
_siltfs_after_o() {
    local list=$2 before=
    [[ $list == *,* ]] && before=${list%,*},
    compopt -o nospace
    mapfile -t COMPREPLY < <(compgen -P "$before" -W "$(_siltfs_options "$1")" -- "${list##*,}")
}

_siltfs_directories() {
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -d -- "$1")
}

_siltfs() {
    local siltfs=$1 cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command kinds i
    # What =, : and @ broke apart is one word for us; what stands before is there already.
    local line=${COMP_LINE:0:COMP_POINT} cut
    cur=${line##*[[:space:]]}
    cut=${cur%"${COMP_WORDS[COMP_CWORD]##[=:]}"}
    cut=${cut%@}
    COMPREPLY=()
    case ${siltfs##*/} in
    mount.siltfs | mkfs.siltfs | fsck.siltfs)
        command=${siltfs##*/}
        command=${command%.siltfs} siltfs=siltfs
        ;;
    *)
        if [ "$COMP_CWORD" = 1 ]; then
            mapfile -t COMPREPLY < <(compgen -W "$(_siltfs_help | sed -n 's/^  \([a-z]*\)  .*/\1/p')" -- "$cur")
            return
        fi
        command=${COMP_WORDS[1]}
        ;;
    esac
    [ "$command" = help ] && {
        mapfile -t COMPREPLY < <(compgen -W "$(_siltfs_help | sed -n 's/^  \([a-z]*\)  .*/\1/p')" -- "$cur")
        return
    }
    if [ "$prev" = -o ] || [[ ${line%"$cur"} =~ -o[[:space:]]*$ ]]; then
        _siltfs_after_o "$command" "$cur"
    elif [[ $cur == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_siltfs_dashes "$command")" -- "$cur")
        [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace
    elif [ "$command" = snapshot ] && [ "$COMP_CWORD" = 2 ]; then
        kinds=$(_siltfs_help snapshot | sed -n '1s/^siltfs snapshot \([a-z|]*\) .*/\1/p')
        mapfile -t COMPREPLY < <(compgen -W "${kinds//|/ }" -- "$cur")
    elif [ "$command" = snapshot ] && [ "$COMP_CWORD" = 4 ] && [[ ${COMP_WORDS[2]} =~ ^(delete|rollback)$ ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(_siltfs_snapshots "${COMP_WORDS[3]/#\~/$HOME}")" -- "$cur")
    elif [[ $cur == *@* && $command =~ ^(clone|backup|send|restore|export)$ ]]; then
        i=${cur%@*}
        mapfile -t COMPREPLY < <(compgen -P "$i@" -W "$(_siltfs_snapshots "${i/#\~/$HOME}")" -- "${cur##*@}")
    elif [ "$command" = quota ] && [ "$COMP_CWORD" = 2 ]; then
        mapfile -t COMPREPLY < <(compgen -W "set show clear list" -- "$cur")
    elif { [ "$command" = set ] && [ "$COMP_CWORD" -gt 2 ]; } || { [ "$command" = quota ] && [ "$COMP_CWORD" -gt 3 ]; }; then
        compopt -o nospace
        mapfile -t COMPREPLY < <(compgen -W "$(_siltfs_options "$command")" -- "$cur")
    else
        _siltfs_directories "$cur"
    fi
    # Readline puts what we say in place of what it thinks the last word is.
    [ -z "$cut" ] || COMPREPLY=("${COMPREPLY[@]#"$cut"}")
}

complete -F _siltfs siltfs mount.siltfs mkfs.siltfs fsck.siltfs
