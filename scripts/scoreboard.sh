#!/usr/bin/env bash
# Runs the command of every claim in evals/results again, records the claims anew, and writes the scoreboard.
#
#   scripts/scoreboard.sh [TEXT]      TEXT: only claims whose file name contains it, for example: scripts/scoreboard.sh shop
#
# AGENTREC_DATA   folder of real data sets, for the claims that need it.
# A command that fails stops the script; what was measured is kept, and the next run takes it from there.
set -euo pipefail

if [[ ${1:-} == -h || ${1:-} == --help ]]; then
  sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
  exit 0
fi
cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
bash scripts/install.sh train
bin=$(cd -- "${AGENTREC_VENV:-.venv}/bin" && pwd -P)
export PATH=$bin:$PATH

lines=$(agentrec eval scoreboard --commands --only "${1:-}")
if [[ -z $lines ]]; then
  printf 'scoreboard: no file of evals/results has %s in its name\n' "'${1:-}'" >&2
  exit 1
fi
while IFS= read -r line; do
  printf 'scoreboard: %s\n' "$line" >&2
  bash -euo pipefail -c "$line" </dev/null || {
    printf 'scoreboard: FAILED at %s\n' "$line" >&2
    exit 1
  }
done <<<"$lines"
agentrec eval scoreboard --write
