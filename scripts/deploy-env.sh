#!/usr/bin/env bash
# Writes .env for docker-compose.yml: .env.example with a random secret behind each name that has nothing behind its equals sign.
#
# Usage: scripts/deploy-env.sh [FILE]
set -euo pipefail
file=$(realpath -m "${1:-$(dirname "${BASH_SOURCE[0]}")/../.env}")
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Others must not read it. Nor may it be written over: new secrets would lock everybody out of what the old ones guard.
umask 077
set -o noclobber
if ! : >"$file"; then
  echo "$file is there already; its secrets are kept" >&2
  exit 1
fi
while IFS= read -r line; do
  # Hex stands in a URL as it is.
  [[ $line =~ ^[A-Z_]+=$ ]] && line+=$(od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n')
  printf '%s\n' "$line"
done <.env.example >>"$file"
echo "wrote $file" >&2
