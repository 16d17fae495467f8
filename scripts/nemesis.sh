#!/usr/bin/env bash
# Everything fails, from a seed, under live sessions and jobs of a whole cluster on this machine, and whether what comes of it is
# what docs/promises.md says. Arguments go to the program: `--seconds 600 --seed 7`, `--measure`, `--output json`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
scripts/need.sh cc=build-essential libpocketsphinx3 pocketsphinx-en-us postgresql redis-server=redis-server
echo "building (a few minutes the first time) …" >&2
cargo build --quiet --locked --release --package dalston
exec cargo run --quiet --locked --release --package dalston-tests --example nemesis -- "$@"
