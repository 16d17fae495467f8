#!/bin/sh
# What the image has beyond Debian's slim one and the binary: the packages of `packages`, and a user. Run as root by the Dockerfile.
set -eu

apt-get update
xargs -r apt-get install --yes --no-install-recommends <"$(dirname "$0")/packages"
rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/apt /var/log/dpkg.log
groupadd --gid 10001 dalston
useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/dalston --shell /usr/sbin/nologin dalston
# A volume that is mounted here takes its owner from this folder.
install --directory --owner=dalston --group=dalston --mode=0700 /var/lib/dalston
