#!/usr/bin/env bash
# Makes demo.wav out of demo.txt: one utterance a line, spoken by flite's voice `slt`, with pauses that an endpointer
# cannot miss. The same versions of flite and sox give the same bytes, so the recording can be checked.
#
# Needs Debian's `flite` and `sox`. Usage: demo/make.sh [OUTPUT]
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
output=${1:-$here/demo.wav}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

utterances=()
while IFS= read -r sentence; do
  name=$work/$(printf '%02d' "${#utterances[@]}").wav
  flite -voice slt -t "$sentence" -o "$work/spoken.wav"
  # -D: no dither, which would be another noise at every run. 1.2 s of silence part the utterances.
  sox -D "$work/spoken.wav" -r 16000 -c 1 -b 16 "$name" pad 0.2 1.0
  utterances+=("$name")
done <"$here/demo.txt"

sox -D "${utterances[@]}" "$output" pad 0.3 0
echo "$output: $(soxi -D "$output") s, ${#utterances[@]} utterances"
