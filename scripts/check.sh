#!/usr/bin/env bash
# Checks format, style, types and the import contracts; stops at the first that fails. CI calls it too.
#
#   scripts/check.sh
set -euo pipefail

cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
bash scripts/install.sh train text http serve ui agents engine dev
bin=${AGENTREC_VENV:-.venv}/bin

step() {
  local name=$1
  shift
  printf 'check: %s\n' "$name"
  "$@" || {
    printf 'check: FAILED at %s; command: %s\n' "$name" "$*" >&2
    exit 1
  }
}

for script in scripts/*.sh .ci/run; do
  step "syntax of $script" bash -n "$script"
done
step 'format (ruff format . mends it)' "$bin/ruff" format --check .
step 'style' "$bin/ruff" check .
step 'import contracts' "$bin/lint-imports" --no-logo
step 'types' "$bin/mypy"
printf 'check: all passed\n'
