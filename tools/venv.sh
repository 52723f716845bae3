#!/usr/bin/env bash
# Sets up .venv from the locked requirements. Called by `make venv`.
set -euo pipefail

die() {
  echo "make venv: $*" >&2
  exit 1
}

for python in python3.11 python3 none; do
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break
done
[ "$python" != none ] || die "Python 3.11 or newer is missing. Install it, on Debian: apt-get install python3 python3-venv"
"$python" -c 'import ensurepip' 2>/dev/null ||
  die "$python has no module ensurepip. Install it, on Debian: apt-get install python3-venv"

echo "Setting up .venv with $("$python" --version)"
# An environment whose interpreter is gone, or is another one's, is of no use.
.venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || rm -rf .venv
[ -x .venv/bin/pip ] || "$python" -m venv --clear .venv

.venv/bin/python -m pip install --quiet --disable-pip-version-check \
  --require-hashes --requirement requirements/bootstrap.txt
export VIRTUAL_ENV="$PWD/.venv"
# Bytecode is written now: where PYTHONDONTWRITEBYTECODE is set, every start would compile 500 modules anew.
.venv/bin/uv pip sync --quiet --compile-bytecode --require-hashes requirements/dev.txt
.venv/bin/uv pip install --quiet --offline --no-deps --no-build-isolation --editable .
.venv/bin/python -m compileall -q src
