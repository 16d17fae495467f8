#!/usr/bin/env bash
# From nothing to a spoken transcript and its trace: builds, starts a server on a free port, streams demo/demo.wav at its own
# pace with captions as they come, shows the session's trace, and stops the server. Fails unless words came back.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

echo "building (a few minutes the first time) …"
dalston=$(scripts/build.sh)

log=$(mktemp)
coproc SERVER { exec "$dalston" serve --bind 127.0.0.1:0 --data-dir .dalston --trace-ring 2>"$log"; }
server=$SERVER_PID
# The coprocess's descriptors are closed when it ends; these stay.
exec {book}<&"${SERVER[0]}"

finish() {
  status=$?
  if kill -0 "$server" 2>/dev/null; then
    kill -TERM "$server"
    wait "$server" || status=$?
  fi
  if [ "$status" -ne 0 ]; then
    echo "the demo failed; the server's log:" >&2
    cat "$log" >&2
  fi
  rm -f "$log"
  exit "$status"
}
trap finish EXIT

# The address book is printed when the server is ready; its first URL is the address.
url=
while [ -z "$url" ] && IFS= read -r -t 60 line <&"$book"; do
  echo "$line"
  [[ $line =~ (http://[^[:space:]]+) ]] && url=${BASH_REMATCH[1]}
done
if [ -z "$url" ]; then
  echo "the server did not start" >&2
  exit 1
fi
# The rest of the book.
cat <&"$book" &

echo
echo "streaming demo/demo.wav (its text: demo/demo.txt)"
echo
"$dalston" stream demo/demo.wav --url "$url" --partials --trace --fail-if-empty
