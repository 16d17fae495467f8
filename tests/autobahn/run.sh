#!/usr/bin/env bash
# Runs Autobahn's WebSocket test suite against an echo server and compares the outcomes with expected.json.
#
# The suite is Python 2, which Debian no longer has. The first run installs it into FOLDER, with what it needs, and
# translates it (translate.py). Later runs need no network.
#
# Usage: tests/autobahn/run.sh FOLDER ws://HOST:PORT/
set -euo pipefail

folder=${1:?} url=${2:?}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$folder"
# Two runs at once must not both install.
exec 9>"$folder/lock"
flock 9

python3 -c 'import ensurepip, venv' 2>/dev/null || "$here/../../scripts/need.sh" python3-venv
if ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "Autobahn's test suite is run by Python 3.11 or later; $(command -v python3) is $(python3 --version)" >&2
  exit 1
fi
made_of=$(cat "$here"/{build,requirements}.txt "$here/translate.py" <(python3 --version) | sha256sum)
if [ "$(cat "$folder/made_of" 2>/dev/null)" != "$made_of" ]; then
  echo "installing Autobahn's test suite into $folder" >&2
  rm -rf "$folder/venv" "$folder/translated"
  python3 -m venv "$folder/venv"
  pip() { "$folder/venv/bin/python" -m pip --quiet --disable-pip-version-check --no-input "$@" >&2; }
  pip install --require-hashes --only-binary :all: --requirement "$here/build.txt"
  pip install --require-hashes --no-deps --no-build-isolation --no-compile --requirement "$here/requirements.txt"
  suite=$("$folder/venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/autobahntestsuite
  "$folder/venv/bin/python" "$here/translate.py" "$suite" "$folder/translated/autobahntestsuite"
  echo "$made_of" >"$folder/made_of"
fi

# The translation stands before the installed suite of the same name. Warnings are about how Python was written in 2012.
PYTHONPATH="$folder/translated:$here" PYTHONDONTWRITEBYTECODE=1 PYTHONWARNINGS=ignore \
  "$folder/venv/bin/python" "$here/fuzz.py" "$url" "$here/expected.json" "$folder"
