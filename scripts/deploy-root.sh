#!/usr/bin/env bash
# Runs a command where it sees what it would see in the image: the binary, the files of the packages in deploy/image/packages and
# of what they depend on, /proc, /dev/null, a writable /tmp and data folder, and nothing else; the root is read-only and the user is
# nobody in particular. For machines without a container engine. Needs Debian with those packages, and user namespaces.
#
# Usage: scripts/deploy-root.sh ROOT BINARY COMMAND... (ROOT is made if it is not there)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${1:?} binary=${2:?}
shift 2

# All that a package pulls in, of what is installed: of alternatives, what is there.
closure() {
  local seen=" " queue=("$@") package
  while [ ${#queue[@]} -gt 0 ]; do
    package=${queue[0]}
    queue=("${queue[@]:1}")
    [[ $seen == *" $package "* ]] && continue
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || continue
    seen+="$package "
    mapfile -t -O ${#queue[@]} queue < <(dpkg-query -W -f '${Depends},${Pre-Depends}\n' "$package" |
      tr ',' '\n' | tr '|' '\n' | sed -E 's/^ *([^ :(]*).*/\1/' | grep -v '^$' || true)
  done
  # shellcheck disable=SC2086 # names of packages
  printf '%s\n' $seen
}

# What a package's scripts do at its installation: links to the one that is there of several.
alternatives() {
  local link
  find /usr/lib /usr/bin -lname '/etc/alternatives/*' | while IFS= read -r link; do
    [ ! -e "$root$(realpath -m "$link")" ] || printf '%s\n' "$link" "$(readlink "$link")"
  done
}

copy() {
  # The first slash goes, which tar tells on standard error.
  tar --create --directory / --files-from=- 2>/dev/null | tar --extract --directory "$root"
}

mkdir -p "$root"
# Two runs at once must not both make it.
exec 9>"$root.lock"
flock 9
made_of=$(cat "${BASH_SOURCE[0]}" "$here/../deploy/image/packages" | sha256sum)
if [ "$(cat "$root/made_of" 2>/dev/null)" != "$made_of" ]; then
  rm -rf "$root"
  mkdir -p "$root"/{proc,dev,tmp,etc,usr/{bin,sbin,lib,lib64,local/bin},var/lib/dalston}
  # dpkg knows files in both places; Debian has one.
  for merged in bin sbin lib lib64; do ln -sfn "usr/$merged" "$root/$merged"; done
  mapfile -t wanted <"$here/../deploy/image/packages"
  mapfile -t packages < <(closure libc6 "${wanted[@]}")
  dpkg -L "${packages[@]}" | grep -vE '^/usr/share/(doc|man|locale)/' | sed -E 's,^/(bin|sbin|lib|lib64)/,/usr/\1/,' | sort -u |
    while IFS= read -r file; do if [ -L "$file" ] || [ -f "$file" ]; then printf '%s\n' "$file"; fi; done | copy
  alternatives | copy
  touch "$root/dev/null" "$root/usr/local/bin/dalston"
  echo "$made_of" >"$root/made_of"
fi
exec 9>&-

export root binary
# First as root of a namespace, to mount; then as 10001, as the image says, and locked into what was mounted.
# shellcheck disable=SC2016 # what is quoted is for the inner shell
exec unshare --user --map-root-user --mount bash -c '
  set -euo pipefail
  mount --bind "$root" "$root"
  mount --bind "$binary" "$root/usr/local/bin/dalston"
  mount --rbind /proc "$root/proc"
  mount --bind /dev/null "$root/dev/null"
  mount -t tmpfs -o mode=1777 tmp "$root/tmp"
  mount -t tmpfs -o mode=0777 data "$root/var/lib/dalston"
  mount -o remount,bind,ro "$root"
  exec env --ignore-environment PATH=/usr/local/bin:/usr/bin LOG_FORMAT=json DALSTON_DATA_DIR=/var/lib/dalston \
    unshare --user --map-user=10001 --map-group=10001 --root="$root" --wd=/ "$@"
' "$0" "$@"
