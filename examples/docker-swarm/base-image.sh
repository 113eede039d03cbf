#!/bin/sh
# Makes a base image for the Dockerfile where no image can be pulled: Debian's smallest system (debootstrap), a node binary and npm of
# this machine, the certificates and npm settings that this machine trusts, and a user 1000 as in the public Node images.
#
#   examples/docker-swarm/base-image.sh [tag] [node binary] [npm folder]      as root; needs debootstrap and a docker engine
set -eu

tag=${1:-swarm-base:local}
node=${2:-$(command -v node)}
npm=${3:-$(dirname "$(readlink -f "$(command -v npm)")")/..}
suite=bookworm
# The mirror that this machine's apt uses; `deb.debian.org` where it has none.
mirror=$(sed -n 's/^URIs: *\(http[^ ]*\).*/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
root=$(mktemp -d "${TMPDIR:-/tmp}/swarm-base.XXXXXX")
trap 'rm -rf "$root"' EXIT INT TERM HUP

debootstrap --variant=minbase --include=ca-certificates,libatomic1 "$suite" "$root" "${mirror:-http://deb.debian.org/debian}" >&2

install -m 755 "$(readlink -f "$node")" "$root/usr/local/bin/node"
mkdir -p "$root/usr/local/lib/node_modules"
cp -a "$npm" "$root/usr/local/lib/node_modules/npm"
ln -s ../lib/node_modules/npm/bin/npm-cli.js "$root/usr/local/bin/npm"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
mkdir -p "$root/usr/local/etc"
printf 'registry=%s\ncafile=/etc/ssl/certs/ca-certificates.crt\n' "$(npm config get registry)" >"$root/usr/local/etc/npmrc"
echo 'node:x:1000:' >>"$root/etc/group"
echo 'node:x:1000:1000::/home/node:/bin/sh' >>"$root/etc/passwd"
install -d -o 1000 -g 1000 "$root/home/node"
# What an image never reads.
rm -rf "$root/var/cache/apt" "$root/var/lib/apt/lists" "$root/usr/share/doc" "$root/usr/share/man" "$root/usr/share/locale" "$root/var/log"/*
mkdir -p "$root/var/cache/apt/archives/partial" "$root/var/lib/apt/lists/partial"

tar -C "$root" -c . | docker import --change 'CMD ["node"]' --change 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' - "$tag" >&2
echo "$tag"
