#!/bin/bash
# Runs a command of this project on lavapipe, a Vulkan driver for the CPU whose newer versions have matrix units:
#   sudo scripts/lavapipe.sh npm run test:webgpu
# For tests of the webgpu engine's matrix path without a GPU. Needs root, debootstrap and Debian's mirror; keeps a small
# Debian 13 with Mesa from its backports (about 700 MB) in $XBM_LAVAPIPE, /var/cache/xbm-lavapipe unless told.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
root=${XBM_LAVAPIPE:-/var/cache/xbm-lavapipe}
mirror=http://deb.debian.org/debian
[ $# -gt 0 ] || { sed -n '2,5s/^# \?//p' "$0" && exit 2; }
[ "$(id -u)" = 0 ] || { echo "lavapipe.sh: needs root for chroot and mounts: sudo $0 $*" >&2 && exit 3; }
command -v debootstrap >/dev/null || { echo 'lavapipe.sh: needs debootstrap: apt-get install debootstrap' >&2 && exit 3; }

if [ ! -e "$root/ready" ]; then
  debootstrap --variant=minbase trixie "$root" "$mirror"
  echo "deb $mirror trixie-backports main" >"$root/etc/apt/sources.list.d/backports.list"
  chroot "$root" sh -c 'apt-get update -qq &&
    apt-get install -y -qq --no-install-recommends libvulkan1 libatomic1 &&
    apt-get install -y -qq --no-install-recommends -t trixie-backports mesa-vulkan-drivers'
  touch "$root/ready"
fi

# This machine's Node, and the project where it is here: node_modules may link out of it.
install -D "$(readlink -f "$(command -v node)")" "$root/usr/local/bin/node"
npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
mounts=()
trap 'for mounted in "${mounts[@]}"; do umount "$mounted"; done' EXIT
bind() {
  mkdir -p "$root$1"
  mount --bind "$1" "$root$1"
  mounts=("$root$1" "${mounts[@]}")
}
bind "$project"
bind "$(readlink -f "$project/node_modules")"
bind "$npm"
bind /proc
bind /dev
ln -sf "$npm/bin/npm-cli.js" "$root/usr/local/bin/npm"
chroot "$root" env -u NODE_EXTRA_CA_CERTS -C "$project" HOME=/root PATH=/usr/local/bin:/usr/bin:/bin \
  VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/lvp_icd.json "$@"
