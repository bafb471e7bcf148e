#!/bin/bash
# Runs systemd as process 1 of namespaces of its own: boot.sh DIR, with DIR/units, DIR/opt (for /opt) and room for
# /var/lib in memory. Nothing that it does reaches the machine: mounts, processes, cgroups and the network are its own.
set -euo pipefail
dir=$1
mount --make-rprivate /
mount -t proc proc /proc
mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys
mount -t tmpfs -o mode=755,size=64m tmpfs /run
mount -t tmpfs -o mode=755,size=32m tmpfs /var/lib
mount --bind "$dir/opt" /opt
mkdir -p /run/etc/up /run/etc/work # what is written to /etc stays here
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc/up,workdir=/run/etc/work overlay /etc
mkdir -p /etc/systemd/system
if [ -d /sys/fs/cgroup/systemd ]; then # hybrid
	mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
	mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
	mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
	mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
else
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
fi
: >"$dir/console" && mount --bind "$dir/console" /dev/console # where it logs
ip link set lo up
exec env -i container=godwit PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH="$dir/units:/etc/systemd/system" \
	/lib/systemd/systemd --system --unit=e2e.target --log-target=console --show-status=no
