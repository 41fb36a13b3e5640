#!/usr/bin/env bash
# Runs the tests: all that are quick, or with --all the slow ones too.
#
#   scripts/test.sh [--all] [pytest arguments]      for example: scripts/test.sh tests/data -k split
#
# AGENTREC_DATA   folder of real data sets; tests that need it are skipped without it.
# Tests run on two processes with one thread each; `-n 0` runs them in one process, for a debugger.
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
bash scripts/install.sh train text http serve ui agents engine dev
python=${AGENTREC_VENV:-.venv}/bin/python

markers='not slow and not gpu'
if [[ ${1:-} == --all ]]; then
  markers='not gpu'
  shift
fi
export OMP_NUM_THREADS=1 # two processes that each start a thread per core are slower than one
exec "$python" -m pytest -m "$markers" -n 2 --dist loadfile "$@"
