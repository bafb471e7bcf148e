# shellcheck shell=bash
# What the parts share; each part's run.sh sources it.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(dirname "$here")
cache=${GODWIT_E2E_CACHE:-$HOME/.cache/godwit/e2e}
mkdir -p "$cache"
work=$(mktemp -d "${TMPDIR:-/tmp}/godwit-e2e.XXXXXX")
pids=()
finish() {
	local pid
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null && wait "$pid" || :; done
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' HUP INT TERM

# npm_install NAME@VERSION...: npm packages into $cache/npm/node_modules, without their install scripts.
npm_install() {
	mkdir -p "$cache/npm" # and saved in its package.json: npm removes what is not
	npm install --prefix "$cache/npm" --save-exact --ignore-scripts --no-audit --no-fund --no-update-notifier --loglevel=error "$@" >/dev/null
}

# venv NAME REQUIREMENTS: a virtual environment in $cache/NAME with just these packages; prints its python.
venv() {
	local dir=$cache/$1 python=
	if ! cmp -s "$2" "$dir/installed"; then
		for python in python3.11 python3; do command -v "$python" >/dev/null && break; done
		rm -rf "$dir"
		"$python" -m venv "$dir" >&2 || { deb python3-venv && "$python" -m venv "$dir" >&2; }
		"$dir/bin/pip" install --quiet --disable-pip-version-check -r "$2" >&2
		cp "$2" "$dir/installed"
	fi
	echo "$dir/bin/python"
}

# deb PACKAGE...: Debian packages; only root can.
deb() {
	[ "$(id -u)" = 0 ] || { echo "want $*: run as root, or install it" >&2 && return 1; }
	apt-get install -qq -y --no-install-recommends "$@" >&2 || { apt-get update -qq >&2 && apt-get install -qq -y --no-install-recommends "$@" >&2; }
}

# old_root SUITE: a root file system of that Debian without a C++ library, in the cache; prints its folder. Only root can.
old_root() {
	local dir=$cache/root-$1
	if [ ! -f "$dir/.ready" ]; then
		command -v debootstrap >/dev/null || deb debootstrap
		rm -rf "$dir"
		debootstrap --variant=minbase "$1" "$dir" >"$work/debootstrap.log" 2>&1 || { tail "$work/debootstrap.log" >&2 && return 1; }
		rm -f "$dir"/usr/lib/*/libstdc++.so.6* # packages have their own
		touch "$dir/.ready"
	fi
	echo "$dir"
}

# runtime_interface_emulator: AWS's own, which aws-sam-cli's wheel carries, in the cache; prints its path.
runtime_interface_emulator() {
	local version=1.170.0 arch python rie
	arch=$(uname -m | sed 's/aarch64/arm64/')
	rie=$cache/rie-$version/aws-lambda-rie
	if [ ! -x "$rie" ]; then
		python=$(venv rie "$here/rie/requirements.txt")
		"$python" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$work/wheel" "aws-sam-cli==$version" >&2
		"$python" -m zipfile -e "$work"/wheel/*.whl "$work/sam"
		mkdir -p "$(dirname "$rie")"
		install -m 755 "$work/sam/samcli/local/rapid/aws-lambda-rie-$arch" "$rie"
	fi
	echo "$rie"
}

# memory_group BYTES: a new control group with that much memory and no swap; prints its folder, which its user removes. Only root can.
memory_group() {
	local group=/sys/fs/cgroup limit=memory.max swap
	[ ! -d "$group/memory" ] || group=$group/memory limit=memory.limit_in_bytes
	group=$(mktemp -d "$group/godwit-e2e.XXXXXX") || { echo "want to make a control group in /sys/fs/cgroup: run as root" >&2 && return 1; }
	echo "$1" >"$group/$limit"
	for swap in memory.swap.max:0 "memory.memsw.limit_in_bytes:$1"; do # what is swapped out would hide how much there is
		[ ! -w "$group/${swap%%:*}" ] || echo "${swap#*:}" >"$group/${swap%%:*}" || :
	done
	echo "$group"
}

# serve DIR [COMMAND...]: starts bin/godwit (or GODWIT) on a free port, by COMMAND if given; sets $address and $server (its pid).
serve() {
	local dir=$1 log=$work/serve.$#.$RANDOM
	shift
	: >"$log.out"
	"$@" "${GODWIT:-$root/bin/godwit}" serve "$dir" --listen 127.0.0.1:0 --json >"$log.out" 2>"$log.err" &
	server=$! && pids+=("$server")
	for _ in $(seq 600); do
		address=$(sed -n 's#.*"url": "http://\([^"]*\)".*#\1#p' "$log.out")
		[ -z "$address" ] || return 0
		kill -0 "$server" 2>/dev/null || break
		sleep 0.1
	done
	cat "$log.err" >&2
	echo "the server for $dir is not ready after 60 s" >&2
	return 1
}

# with_podman: the array podman, with storage and state in $work: the machine's images and settings stay out of it, and
# so does what podman does for others meanwhile. Its containers end with the script.
with_podman() {
	local own=(podman --root "$work/storage" --runroot "$work/state" --tmpdir "$work/libpod" --runtime runc --cgroup-manager cgroupfs)
	podman=("${own[@]}")
	if ! "${podman[@]}" info >/dev/null 2>"$work/podman.err"; then
		cat "$work/podman.err" >&2
		unmount_podman
		rm -rf "$work/storage" "$work/state" "$work/libpod"
		podman=("${own[@]}" --storage-driver vfs) # slow, and works on every file system
	fi
	trap '"${podman[@]}" rm --all --force --time 0 >/dev/null 2>&1 || :; unmount_podman; finish' EXIT
}
unmount_podman() { umount "$work/storage/overlay" 2>/dev/null || :; }
