#!/usr/bin/env bash
# Lint and tests, in the same environment as demo.sh. VENV=DIR uses an existing one. Arguments go to pytest:
# ./test.sh -m "not slow" is what one runs while working, ./test.sh runs all.
set -eu
cd "$(dirname "$0")"
trap 'echo "FAILED: $BASH_COMMAND" >&2' ERR
requirements=requirements-dev.txt
. ./setup_venv.sh
ruff check .
ruff format --check .
export OMP_NUM_THREADS=1 # one thread for each of pytest's workers
# Three workers, as processes of tests wait for one another. A file stays with one of them, so that what its tests share
# is made once; which files begin: tests/conftest.py.
python -m pytest -n "${WORKERS:-3}" --dist loadfile --no-loadscope-reorder "$@"
