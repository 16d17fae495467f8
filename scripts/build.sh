#!/usr/bin/env bash
# Builds the server, installing what building and running it need, and prints the path of the binary.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# rustup puts cargo where a login shell finds it; make is not always run from one.
command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
if ! command -v cargo >/dev/null; then
  echo "cargo is missing; install Rust from https://rustup.rs" >&2
  exit 1
fi

scripts/need.sh cc=build-essential libpocketsphinx3 pocketsphinx-en-us
cargo build --quiet --locked --release --package dalston >&2
echo "${CARGO_TARGET_DIR:-target}/release/dalston"
