#!/bin/sh
# Makes the folders speech/ and music/ for `vad_table` out of Debian's packages: people reading, giving orders and saying single
# digits and letters, with pauses; and a minute each of 28 pieces of music without singing. Needs sox.
# usage: material.sh FOLDER
set -eu
mkdir -p "$1/speech" "$1/music" "$1/packages"
cd "$1"
(cd packages && apt-get download asterisk-core-sounds-en-wav pocketsphinx-testdata drascula-music)
for package in packages/*.deb; do dpkg -x "$package" unpacked; done

sox -n -r 8000 -c 1 -b 16 pause.wav trim 0 1
# say NAME: the prompts on standard input, a second apart.
say() {
    pieces=pause.wav
    while read -r prompt; do pieces="$pieces $prompt pause.wav"; done
    # shellcheck disable=SC2086
    sox $pieces -r 16000 -c 1 -b 16 "speech/$1.wav"
}
prompts=$(find unpacked -path '*sounds*' -name '*.wav' -size +40k | grep -viE 'beep|music|monkey|/tt-|ring|dial' | LC_ALL=C sort)
echo "$prompts" | awk 'NR % 6 == 0' | say prompts
find unpacked -path '*sounds*' \( -path '*digits*' -o -path '*letters*' \) -name '*.wav' | LC_ALL=C sort |
    awk 'NR % 4 == 0' | head -30 | say words
find unpacked -path '*pocketsphinx*' -name '*.wav' | while read -r recording; do
    sox "$recording" -r 16000 -c 1 -b 16 "speech/$(basename "$recording")" pad 0.8 0.8
done
find unpacked -name 'track*.ogg' -size +300k | while read -r track; do
    sox "$track" -r 16000 -c 1 -b 16 "music/$(basename "$track" .ogg).wav" trim 10 60
done
