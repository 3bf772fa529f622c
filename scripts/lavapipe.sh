#!/bin/bash
# Runs a command of this project with Mesa's newest Vulkan drivers, which can do without a GPU:
#   sudo scripts/lavapipe.sh npm run test:webgpu                      # on lavapipe, a CPU that has matrix units
#   sudo XBM_FAKE_GPU=navi31 scripts/lavapipe.sh npm run bench:kernels  # compiled for an AMD GPU that is not there
# For the webgpu engine's matrix path. Needs root, debootstrap and Debian's mirror; keeps a small Debian 13 with Mesa from
# its backports (about 700 MB) in $XBM_LAVAPIPE, /var/cache/xbm-lavapipe unless told.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)
root=${XBM_LAVAPIPE:-/var/cache/xbm-lavapipe}
mirror=http://deb.debian.org/debian
[ $# -gt 0 ] || { sed -n '2,6s/^# \?//p' "$0" && exit 2; }
[ "$(id -u)" = 0 ] || { echo "lavapipe.sh: needs root for chroot and mounts: sudo $0 $*" >&2 && exit 3; }
command -v debootstrap >/dev/null || { echo 'lavapipe.sh: needs debootstrap: apt-get install debootstrap' >&2 && exit 3; }

install_mesa() {
  chroot "$root" sh -c "apt-get update -qq &&
    apt-get install -y -qq --no-install-recommends libvulkan1 libatomic1 &&
    apt-get install -y -qq --no-install-recommends -t trixie-backports mesa-vulkan-drivers mesa-drm-shim"
}
if [ ! -e "$root/ready" ]; then
  debootstrap --variant=minbase trixie "$root" "$mirror"
  echo "deb $mirror trixie-backports main" >"$root/etc/apt/sources.list.d/backports.list"
  install_mesa
  touch "$root/ready"
fi

vulkan=(VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/lvp_icd.json)
if [ -n "${XBM_FAKE_GPU:-}" ]; then
  shim=/usr/lib/$(uname -m)-linux-gnu/libamdgpu_noop_drm_shim.so
  [ -e "$root$shim" ] || install_mesa # a root made before there were fake GPUs
  vulkan=(VK_ICD_FILENAMES=/usr/share/vulkan/icd.d/radeon_icd.json "LD_PRELOAD=$shim" "AMDGPU_GPU_ID=$XBM_FAKE_GPU"
    MESA_SHADER_CACHE_DISABLE=true)
fi

# This machine's Node, and the project where it is here: node_modules may link out of it.
node=$(readlink -f "$(command -v node)")
cmp -s "$node" "$root/usr/local/bin/node" || install -D "$node" "$root/usr/local/bin/node"
npm=$(dirname "$(dirname "$(readlink -f "$(command -v npm)")")")
ln -sf "$npm/bin/npm-cli.js" "$root/usr/local/bin/npm"
# The mounts are this process's own and end with it.
exec unshare --mount --propagation private bash -euc '
  root=$1 project=$2; shift 2
  while [ "$1" != -- ]; do
    mkdir -p "$root$1"
    mount --bind "$1" "$root$1"
    shift
  done
  shift
  exec chroot "$root" env -u NODE_EXTRA_CA_CERTS -C "$project" HOME=/root PATH=/usr/local/bin:/usr/bin:/bin "$@"
' _ "$root" "$project" "$project" "$(readlink -f "$project/node_modules")" "$npm" /proc /dev -- "${vulkan[@]}" "$@"
