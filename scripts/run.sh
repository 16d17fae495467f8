#!/usr/bin/env bash
# Builds the server and runs it until ctrl-c. Arguments go to `dalston serve`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

echo "building (a few minutes the first time) …" >&2
dalston=$(scripts/build.sh)
exec "$dalston" serve --data-dir .dalston --trace-ring "$@"
