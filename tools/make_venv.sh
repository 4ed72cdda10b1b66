#!/bin/sh
# Create a virtual environment with one version of Flink and this project, or update it.
#   make_venv.sh FOLDER FLINK_VERSION EXTRA [INTERPRETER]
set -eu
folder=$1 flink=$2 extra=$3 interpreter=${4:-}

if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
  python=$(sh "$(dirname "$0")/find_python.sh" $interpreter)
  echo "creating $folder with $("$python" --version)"
  rm -rf "$folder"
  "$python" -m venv "$folder"
fi
echo "installing apache-flink $flink and other packages into $folder (some minutes the first time)"
rm -f "$folder"/.ready-*
set -- -e ".[$extra]" "apache-flink==$flink"
# uv takes seconds, pip a minute or more; pip is for machines where only pip has an index set up.
[ "$folder" != .venv ] || .venv/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.4" || true
if ! .venv/bin/python -m uv pip install --quiet --python "$folder/bin/python" "$@"; then
  if ! "$folder/bin/python" -m pip install --quiet --disable-pip-version-check "$@"; then
    echo "pip could not install into $folder: is this machine online, or pip set up for a mirror?" >&2
    exit 1
  fi
fi
