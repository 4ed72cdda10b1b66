#!/bin/sh
# Print a Python interpreter that this project runs on (3.10 to 3.12) and that can make a virtual environment.
#   find_python.sh [INTERPRETER]     checks only this one, if given
# Candidates are checked by running them: version managers leave commands on PATH that do not run.
usable='import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))'

for candidate in "${@:-}" python3.11 python3.12 python3.10 python3; do
  [ -n "$candidate" ] || continue
  found=$(command -v "$candidate" 2>/dev/null) || found=
  if [ -n "$found" ] && "$found" -c "$usable" >/dev/null 2>&1; then
    echo "$found"
    exit 0
  fi
  [ "$#" -eq 0 ] || [ "$candidate" != "$1" ] || break
done

cat >&2 <<EOF
No usable Python ${1:+at "$1"}: PyFlink runs on Python 3.10 to 3.12, and \`venv\` must work in it.
Install one (Debian and Ubuntu: apt install python3 python3-venv; macOS: brew install python@3.11),
or name one: make PYTHON=/path/to/python3.11 ...
EOF
exit 1
