#!/usr/bin/env bash
# Installs agentrec where needed, then trains, evaluates and uses a recommender from your data (or a simulated shop).
#
#   scripts/quickstart.sh [--interactions FILE] [--items FILE] [--out FOLDER] [other options of `agentrec run`]
#
#   --interactions FILE   who interacted with what, and when; without it a simulated shop is used
#   --items FILE          titles and other texts of the items
#   --out FOLDER          where results go; default: runs/quickstart in the current folder
#
# Paths are taken from the folder you are in. The environment is .venv beside pyproject.toml (see scripts/install.sh).
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)

for argument in "$@"; do
  if [[ $argument == -h || $argument == --help ]]; then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
    exit 0
  fi
done

bash "$root/scripts/install.sh" train
export TOKENIZERS_PARALLELISM=${TOKENIZERS_PARALLELISM:-false}
# -P: a file of the current folder that happens to be named like a library must not be imported.
exec "${AGENTREC_VENV:-$root/.venv}/bin/python" -P -m agentrec run quickstart "$@"
