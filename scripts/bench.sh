#!/usr/bin/env bash
# The benchmarks in their short form, under five minutes: time of the thread, so that a busy machine disturbs little.
# Further arguments go to criterion: `scripts/bench.sh chunk` runs the benchmarks with that in their name.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
scripts/need.sh cc=build-essential libpocketsphinx3 pocketsphinx-en-us
cargo bench --locked --package dalston-benches -- "$@"
