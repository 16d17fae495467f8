#!/usr/bin/env bash
# Runs OpenAI's Python SDK against a server. The first run installs it into FOLDER; later runs need no network.
#
# Usage: tests/openai/run.sh FOLDER http://HOST:PORT RECORDING http://HOST:PORT-OF-ONE-THAT-TRANSLATES
set -euo pipefail

folder=${1:?} url=${2:?} recording=${3:?} translator=${4:?}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$folder"
# Two runs at once must not both install.
exec 9>"$folder/lock"
flock 9

python3 -c 'import ensurepip, venv' 2>/dev/null || "$here/../../scripts/need.sh" python3-venv
made_of=$(cat "$here/requirements.txt" <(python3 --version) | sha256sum)
if [ "$(cat "$folder/made_of" 2>/dev/null)" != "$made_of" ]; then
  echo "installing OpenAI's SDK into $folder" >&2
  rm -rf "$folder/venv"
  python3 -m venv "$folder/venv"
  "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input --require-hashes --only-binary :all: \
    --requirement "$here/requirements.txt" >&2
  echo "$made_of" >"$folder/made_of"
fi

"$folder/venv/bin/python" -B "$here/transcribe.py" "$url" "$recording" "$translator"
