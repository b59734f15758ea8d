#!/bin/bash
# The tour of README.md, word for word: each command is run, and says what stands there, but
# for numbers.
. "$(dirname "$0")/mount_lib.sh"

README=$(realpath README.md)
PATH=$T/bin:$PATH

walk "## A five-minute tour" "## When"
ok "there was something to walk" [ $commands -ge 20 ]

finish
