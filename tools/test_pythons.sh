#!/bin/sh
# Run the fast tests on each of these Pythons, each in its own environment; skip those that this machine does not have.
#   test_pythons.sh FLINK_VERSION "PYTHON_VERSIONS" PYTEST_ARGUMENTS...
# Pythons are searched on PATH and among pyenv's versions.
set -eu
flink=$1 versions=$2
shift 2
ours=$(.venv/bin/python -c 'import sys; print("%d.%d" % sys.version_info[:2])')

find_python() {
  for candidate in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/"$1".*/bin/python; do
    found=$(command -v "$candidate" 2>/dev/null) || continue
    if [ "$("$found" -c 'import sys, venv, ensurepip; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)" = "$1" ]; then
      echo "$found"
      return
    fi
  done
}

skipped=
for version in $versions; do
  [ "$version" != "$ours" ] || continue # .venv's, on which `make test-fast` runs
  python=$(find_python "$version")
  if [ -z "$python" ]; then
    skipped="$skipped $version"
    continue
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
  "$folder/bin/python" -m pytest --quiet "$@"
done
[ -z "$skipped" ] || echo "SKIPPED: the fast tests on Python$skipped, which this machine does not have"
