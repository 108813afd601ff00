# Sourced by the verbs beside it: makes `python` the one of an environment with the project installed.
#   prepare EXTRA...     such as `prepare test`; no extras for just running
# An active virtual environment is used as it is, else .venv is made. Done again only when what it depends on changes.

prepare() {
  local root extras stamp wanted
  root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
  extras=$(IFS=,; echo "$*")
  if [ -z "${VIRTUAL_ENV:-}" ]; then
    if [ ! -x "$root/.venv/bin/python" ]; then
      local python=${PYTHON:-python3}
      "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "sweep needs Python 3.11 or newer; set PYTHON to one" >&2
        return 2
      }
      echo "making .venv" >&2
      "$python" -m venv "$root/.venv"
    fi
    # shellcheck disable=SC1091
    source "$root/.venv/bin/activate"
  fi
  stamp="$VIRTUAL_ENV/.sweep-installed${extras:+-$extras}"
  wanted="$root $(cat "$root/pyproject.toml" "$root/scripts/constraints.txt" | cksum)"
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    echo "installing sweep into $VIRTUAL_ENV (torch is large: some minutes the first time)" >&2
    python -m pip install --quiet --disable-pip-version-check \
      --constraint "$root/scripts/constraints.txt" --editable "$root${extras:+[$extras]}" >&2
    echo "$wanted" >"$stamp"
  fi
}
