# Sourced by demo.sh and test.sh: a virtual environment with requirements.txt in it.
# VENV=DIR uses (or makes) another one than .venv.
VENV="${VENV:-.venv}"
stamp="$VENV/.requirements"
if ! cmp -s requirements.txt "$stamp"; then
  echo "== Setting up $VENV (PyTorch is large: a few minutes and about 6 GB the first time)"
  if [ ! -x "$VENV/bin/python" ]; then
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed" >&2; exit 1; }
    python3 -m venv "$VENV" || { echo "python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
  fi
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r requirements.txt
  cp requirements.txt "$stamp"
fi
case "$VENV" in /*) ;; *) VENV="$PWD/$VENV" ;; esac
export PATH="$VENV/bin:$PATH"
