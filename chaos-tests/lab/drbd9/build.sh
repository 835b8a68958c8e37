#!/bin/bash
# Builds what the lab needs to run its nodes with DRBD 9, of which Debian 12 has no
# package: a User-Mode Linux of Debian's kernel source, with little more than the lab uses,
# and DRBD's modules for it.
#
#   build.sh DRBD HEADERS TO
#
# DRBD is a clone of github.com/LINBIT/drbd with the tag drbd-9.2.14 (another 9.2 with
# DRBD9_TAG), HEADERS one of github.com/LINBIT/drbd-headers, its submodule. TO gets
# "linux" and "modules": name it in SBARBITER_LAB_KERNEL. The work is done in TO/build,
# which may be removed afterwards; what is there is not built again.
set -euo pipefail
drbd=$1 headers=$2 to=$3
tag=${DRBD9_TAG:-drbd-9.2.14} jobs=${JOBS:-$(nproc)}
source=/usr/src/linux-source-6.1.tar.xz
packages='linux-source-6.1 coccinelle build-essential flex bison bc kmod git'

# What the lab's nodes load, by the names of the kernel's configuration. The kernel's own
# DRBD is among it because LRU_CACHE comes with that alone.
modules='OVERLAY_FS AUTOFS_FS CRC_CCITT IPV6 BLK_DEV_DRBD SOFT_WATCHDOG NETFILTER_NETLINK NF_TABLES
	BLK_DEV_LOOP FUSE_FS CUSE NET_SCH_NETEM BLK_DEV_DM DM_SNAPSHOT DM_THIN_PROVISIONING
	DM_DELAY DM_DUST DM_FLAKEY DM_LOG_WRITES'
# And what they have in the kernel beside UML's own choice: for systemd, DRBD and the tests.
builtin='BLK_DEV_INITRD RD_GZIP UML_NET_VECTOR UNIX IP_MULTICAST NETFILTER IP_ADVANCED_ROUTER IP_MULTIPLE_TABLES NET_SCHED WATCHDOG WATCHDOG_CORE UML_WATCHDOG
	MD XFS_FS
	EXT4_FS_POSIX_ACL EXT4_FS_SECURITY TMPFS_XATTR TMPFS_POSIX_ACL FANOTIFY MEMCG BLK_CGROUP CGROUP_PIDS
	BPF_SYSCALL CGROUP_BPF PID_NS USER_NS LIBCRC32C CRYPTO_MD5 CRYPTO_SHA1 CRYPTO_SHA256 DEBUG_INFO_NONE'
without='DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT REISERFS_FS SOUND WLAN'

for file in "$source" /usr/bin/spatch /usr/bin/flex /usr/bin/bison; do
	[ -e "$file" ] || { echo "$file is missing: apt-get install --no-install-recommends -y $packages" >&2; exit 1; }
done
mkdir -p "$to/build"
to=$(cd "$to" && pwd) drbd=$(cd "$drbd" && pwd) headers=$(cd "$headers" && pwd)
cd "$to/build"

configure() {
	make -s ARCH=um defconfig
	for name in $builtin; do scripts/config --enable "$name"; done
	for name in $without; do scripts/config --disable "$name"; done
	for name in $modules; do scripts/config --module "$name"; done
	make -s ARCH=um olddefconfig
	for name in $modules; do
		grep -qE "^CONFIG_$name=[my]" .config || { echo "the kernel cannot be configured with $name" >&2; exit 1; }
	done
}

if [ ! -e linux-source-6.1/linux ]; then
	[ -d linux-source-6.1 ] || tar xf "$source"
	(cd linux-source-6.1 && configure && make -s ARCH=um -j"$jobs" linux modules)
fi

# DRBD's own build asks git what belongs to it where there is a clone: it gets none.
if [ ! -e "$tag/drbd/build-current/drbd.ko" ]; then
	rm -rf "$tag" && mkdir "$tag"
	git -C "$drbd" archive "$tag" | tar x -C "$tag"
	commit=$(git -C "$drbd" ls-tree "$tag" drbd/drbd-headers | awk '{print $3}')
	git -C "$headers" archive "$commit" | tar x -C "$tag/drbd/drbd-headers"
	echo "GIT-hash: $(git -C "$drbd" rev-parse "$tag^{commit}")" >"$tag/drbd/.drbd_git_revision"
	make -C "$tag" -s -j"$jobs" KDIR="$PWD/linux-source-6.1" ARCH=um SPAAS=false module
fi

release=$(make -s -C linux-source-6.1 ARCH=um kernelrelease)
rm -rf "$to/modules" installed
make -s -C linux-source-6.1 ARCH=um INSTALL_MOD_PATH="$to/build/installed" modules_install
mkdir -p "$to/modules"
cp -a "installed/lib/modules/$release" "$to/modules/"
rm -f "$to/modules/$release/build" "$to/modules/$release/source"
cp "$tag"/drbd/build-current/drbd.ko "$tag"/drbd/build-current/drbd_transport_tcp.ko "$to/modules/$release/kernel/drivers/block/drbd/"
rm -rf installed
mkdir -p installed/lib/modules
ln -s "$to/modules/$release" "installed/lib/modules/$release"
depmod -b installed "$release"
cp linux-source-6.1/linux "$to/linux"
echo "SBARBITER_LAB_KERNEL=$to: $("$to/linux" --version 2>/dev/null || echo "$release") with $(modinfo -F version "$to/modules/$release/kernel/drivers/block/drbd/drbd.ko")"
