#!/bin/sh
# Run the fast tests on another Python, in an environment of its own; skip them if this machine does not have it.
#   test_python.sh FLINK_VERSION PYTHON_VERSION PYTEST_ARGUMENTS...
# It is searched on PATH and among pyenv's versions.
set -eu
flink=$1 version=$2
shift 2

version_of() {
  "$1" -c 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])' 2>/dev/null
}

find_python() {
  for candidate in "python$version" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$version".*/bin/python; do
    found=$(command -v "$candidate" 2>/dev/null) || continue
    if [ "$(version_of "$found")" = "$version" ]; then
      echo "$found"
      return
    fi
  done
}

[ "$version" != "$(version_of .venv/bin/python)" ] || exit 0 # on which `make test-fast` runs
python=$(find_python)
if [ -z "$python" ]; then
  echo "SKIPPED: the fast tests on Python $version, which this machine does not have"
  exit 0
fi
folder=.venv-python$version
if [ ! -e "$folder/.ready-$flink" ] || [ pyproject.toml -nt "$folder/.ready-$flink" ]; then
  echo "installing apache-flink $flink and the tests' dependencies into $folder"
  [ -x "$folder/bin/python" ] || "$python" -m venv "$folder"
  rm -f "$folder"/.ready-*
  # uv takes seconds, pip a minute; pip is for machines where only pip has an index set up.
  .venv/bin/python -m uv pip install --quiet --python "$folder/bin/python" -e ".[test]" "apache-flink==$flink" ||
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check -e ".[test]" "apache-flink==$flink"
  touch "$folder/.ready-$flink"
fi
echo "Python $version:"
exec "$folder/bin/python" -m pytest --quiet "$@"
