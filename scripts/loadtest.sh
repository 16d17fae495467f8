#!/usr/bin/env bash
# The load tests in their short form, under five minutes, against a server of its own with the loopback engine. Prints the
# tables and writes a page with plots for each run. Fails if a claim did not hold.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v cargo >/dev/null || PATH="$HOME/.cargo/bin:$PATH"
scripts/need.sh cc=build-essential
cargo build --quiet --locked --release --package dalston --package dalston-loadtest
programs=${CARGO_TARGET_DIR:-target}/release
reports=${CARGO_TARGET_DIR:-target}/loadtest
mkdir -p "$reports"

status=0
run() {
  local name=$1
  echo
  "$programs/dalston-loadtest" "$@" --html "$reports/$name.html" \
    --server "$programs/dalston serve --engine loopback --data-dir $reports/data" || status=1
}

run start
run idle --sessions 2000
run pace --sessions 100 --seconds 30
run frames
run churn
# Up to the goal; `dalston-loadtest max` alone looks for the limit.
run max --from 500 --to 2000 --seconds 5 --precision 0.3 --attempts 1
echo
echo "pages with plots: $reports/*.html"
exit $status
