#!/usr/bin/env bash
# Everything that must hold, in the order in which it fails fastest. Installs what the tests need.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
scripts/need.sh cc=build-essential libpocketsphinx3 pocketsphinx-en-us pocketsphinx-testdata flite=flite sox=sox ffmpeg=ffmpeg \
  postgresql redis-server=redis-server redis-cli=redis-tools python3=python3 shellcheck=shellcheck valgrind=valgrind \
  docker-compose=docker-compose systemd-analyze=systemd python3-yaml
command -v cargo-deny >/dev/null || { echo "installing cargo-deny" >&2; cargo install --quiet --locked cargo-deny; }

step() {
  echo
  echo "== $*"
  "$@"
}

step cargo fmt --all --check
step shellcheck scripts/*.sh demo/*.sh .ci/run
step cargo deny --log-level error check bans licenses sources
step cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
# All of it, so that a run tells everything that is broken.
step cargo test --quiet --locked --workspace --no-fail-fast
# Links to private items are for those who read them in the code.
RUSTDOCFLAGS="-D warnings -A rustdoc::private-intra-doc-links" step cargo doc --quiet --locked --workspace --no-deps
