#!/usr/bin/env bash
# Installs what is missing, saying what. Each argument is a Debian package, or `command=package` where any provider of the
# command will do. Where nothing is missing, neither root nor a network is needed.
#
# Usage: scripts/need.sh PACKAGE|COMMAND=PACKAGE...
set -euo pipefail

missing=()
for need in "$@"; do
  case $need in
    *=*) command -v "${need%%=*}" >/dev/null || missing+=("${need#*=}") ;;
    *) dpkg-query -W -f '${db:Status-Status}' "$need" 2>/dev/null | grep -qx installed || missing+=("$need") ;;
  esac
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo >/dev/null; then
    echo "missing: ${missing[*]}. Install as root: apt-get install ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
if ! command -v apt-get >/dev/null; then
  echo "missing: ${missing[*]}, as Debian names them. This system has no apt-get; install them its way." >&2
  exit 1
fi

echo "installing with apt-get: ${missing[*]}" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
  "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
}
# Hundreds of lines that say nothing, unless it fails.
if ! install >"$log" 2>&1; then
  cat "$log" >&2
  exit 1
fi
