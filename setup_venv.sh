# Sourced by demo.sh and test.sh, and by hand (README): a virtual environment that holds $requirements.
# VENV=DIR uses (or makes) another one than .venv.
VENV="${VENV:-.venv}"
requirements="${requirements:-requirements.txt}"
stamp="$VENV/.$requirements" # what was installed last
if ! cat requirements.txt "$requirements" | cmp -s - "$stamp"; then
  if [ ! -x "$VENV/bin/python" ]; then
    echo "== Setting up $VENV (PyTorch is large: a few minutes and about 6 GB)"
    python3 -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { echo "Python 3.10 or newer is needed" >&2; return 1; }
    python3 -m venv "$VENV" || { echo "python3 -m venv failed; on Debian and Ubuntu: apt-get install python3-venv" >&2; return 1; }
  fi
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements" || return 1
  cat requirements.txt "$requirements" >"$stamp" 2>/dev/null || true # an environment that others own: looked at again
fi
case "$VENV" in /*) ;; *) VENV="$PWD/$VENV" ;; esac
export PATH="$VENV/bin:$PATH"
