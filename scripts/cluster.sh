#!/usr/bin/env bash
# Every part of the product as a process of its own on this machine, over real servers; a session and a job through them, and
# the trace of each. `--keep` waits for ctrl-c before it ends.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
scripts/need.sh cc=build-essential libpocketsphinx3 pocketsphinx-en-us postgresql redis-server=redis-server
echo "building (a few minutes the first time) …"
cargo build --quiet --locked --package dalston
exec cargo run --quiet --locked --package dalston-tests --example cluster -- "$@"
