#!/usr/bin/env bash
# Plays Lambda's sandbox to the unpacked package TASK: in namespaces of its own the root file system ROOT, read-only, with
# TASK at /var/task, /tmp alone to write to and loopback alone to reach; a user and no capability; the memory of the
# control group GROUP. AWS's emulator RIE starts bootstrap in it, and CLIENT asks for the recorded answers of FUNCTION.
#   unshare --mount --net --pid --fork --kill-child sandbox.sh ROOT TASK RIE GROUP CLIENT FUNCTION WORK
set -euo pipefail
root=$1 task=$2 rie=$3 group=$4 client=$5 function=$6 at=$7/sandbox log=$7/sandbox.log
ip link set lo up
mkdir -p "$at"
mount --bind "$root" "$at" && mount -o remount,ro,bind "$at"
mount -t tmpfs -o mode=755 tmpfs "$at/var"
mkdir "$at/var/task" "$at/var/rapid" && touch "$at/var/rapid/rie"
mount --bind "$task" "$at/var/task" && mount -o remount,ro,bind,nosuid,nodev "$at/var/task"
mount --bind "$rie" "$at/var/rapid/rie" && mount -o remount,ro,bind "$at/var/rapid/rie"
mount -o remount,ro "$at/var"
mount -t tmpfs -o mode=755 tmpfs "$at/dev"
for device in null zero random urandom; do touch "$at/dev/$device" && mount --bind "/dev/$device" "$at/dev/$device"; done
mount -o remount,ro "$at/dev"
mount -t proc -o ro,nosuid,nodev,noexec proc "$at/proc"
mount -t tmpfs -o mode=1777,size=512m,nosuid,nodev tmpfs "$at/tmp"

(
	echo 0 >"$group/cgroup.procs"
	ulimit -n 1024 -u 1024
	exec chroot "$at" setpriv --reuid=993 --regid=990 --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \
		env -i -C /var/task PATH=/usr/bin:/bin LANG=en_US.UTF-8 TZ=:UTC AWS_REGION=eu-west-1 AWS_LAMBDA_FUNCTION_NAME=function \
		AWS_LAMBDA_FUNCTION_MEMORY_SIZE=128 AWS_LAMBDA_FUNCTION_TIMEOUT=30 LAMBDA_TASK_ROOT=/var/task \
		/var/rapid/rie --runtime-interface-emulator-address 127.0.0.1:8080 --runtime-api-address 127.0.0.1:9001 /var/task/bootstrap
) >"$log" 2>&1 &
emulator=$!
fail() { tail -n 30 "$log" >&2 && echo "$@" >&2 && exit 1; }
answers=$("$client" -function "$function" -rie 127.0.0.1:8080 2>&1) || fail "$(basename "$task") under AWS's emulator: $answers"
pid=
for process in "$at"/proc/[0-9]*; do
	case $(readlink "$process/exe") in */var/task/bootstrap) pid=$process ;; esac
done
[ -n "$pid" ] || fail "want bootstrap running, got nothing of it"
is=$(awk '/^Uid:/ {u = $2 $3 $4} /^Groups:/ {g = NF} /^NoNewPrivs:/ {n = $2} /^Cap(Inh|Prm|Eff|Bnd|Amb):/ {gsub(/0/, "", $2); c = c $2} END {print u, g, n, "[" c "]"}' "$pid/status")
[ "$is" = "993993993 1 1 []" ] || fail "want user 993 without groups, new privileges or capabilities, got $is"
writable=$(awk '$2 !~ "^/dev/" && $4 ~ /^rw/ {print $2}' "$pid/mounts")
[ "$writable" = /tmp ] || fail "want /tmp alone writable, got" $writable
reach=$(ip -brief link | awk '{print $1}')
[ "$reach" = lo ] || fail "want loopback only, got" $reach
for library in libonnxruntime libstdc++ libgcc_s; do
	grep -q "/var/task/lib/$library" "$pid/maps" || fail "want the package's own $library, got" "$(awk '/\.so/ {print $6}' "$pid/maps" | sort -u)"
done
peak=$(cat "$group/memory.max_usage_in_bytes" "$group/memory.peak" 2>/dev/null || :)
[ "${peak:-1}" != 0 ] || fail "want its memory counted, got none in $group"
grep -q ' oom_kill [1-9]\|^oom_kill [1-9]' "$group"/memory.events "$group"/memory.oom_control 2>/dev/null && fail "want no kill for want of memory"
libc=$(chroot "$at" ldd --version | awk 'NR == 1 {print $NF}')
echo "$(basename "$task") under AWS's emulator, glibc $libc: $answers; at most $(awk '/^VmHWM:/ {print $2}' "$pid/status") kB of its own and $((${peak:-0} >> 10)) kB of both counted"
kill "$emulator" && wait "$emulator" || :
