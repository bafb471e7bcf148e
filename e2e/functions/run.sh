#!/usr/bin/env bash
# What `make functions` puts together: nothing asks for more than glibc 2.28; the engine's tests pass with the library and
# the C++ library of that folder; fn-server answers examples/digits in a root file system of glibc 2.31 that has no C++
# library, and for arm64 under qemu; the bytes are the same when another user builds them elsewhere, on glibc 2.41 and
# without a C compiler; a handler is compiled in. Needs root. PARTS="symbols old" runs some of it.
source "$(dirname "$0")/../lib.sh"
[ "$(uname -sm)" = 'Linux x86_64' ] && [ "$(id -u)" = 0 ] || { echo "want root on Linux x86_64" >&2 && exit 1; }
parts=" ${PARTS:-symbols tests old qemu same handler} "
cd "$root"
want() { case $parts in *" $1 "*) echo "-- $1" ;; *) return 1 ;; esac; }
make --no-print-directory functions ARCH='amd64 arm64'
go build -o "$work/client" ./e2e/podman
goroot=$(go env GOROOT) modcache=$(go env GOMODCACHE)

# answers FUNCTION COMMAND...: fn-server, started by the command on port 18321 of its own loopback, gives the recorded answers.
answers() {
	local function=$1 log=$work/server.log
	shift
	"$@" >"$log" 2>&1 &
	pids+=($!)
	for _ in $(seq 600); do
		curl -sf -o /dev/null http://127.0.0.1:18321/v2/health/ready && break
		kill -0 "${pids[-1]}" 2>/dev/null || { tail "$log" >&2 && return 1; }
		sleep 0.1
	done
	"$work/client" -function "$function" -ask 127.0.0.1:18321
	kill "${pids[-1]}" && wait "${pids[-1]}" || { tail "$log" >&2 && echo "want exit code 0 after SIGTERM" >&2 && return 1; }
	unset 'pids[-1]'
}

if want symbols; then
	go run ./scripts/functions -check bin/linux-amd64 bin/linux-arm64 >/dev/null
	# A build for this machine's own glibc shows that the check sees one.
	go build -o "$work/own/fn-server" ./cmd/fn-server
	host=$(ldd --version | awk 'NR == 1 {print $NF}')
	if go run ./scripts/functions -check "$work/own" && [ "${host#2.}" -ge 34 ]; then
		echo "want a binary for glibc $host refused" >&2 && exit 1
	fi
fi
if want tests; then
	library=$(echo "$root"/bin/linux-amd64/lib/libonnxruntime.so.*)
	LD_LIBRARY_PATH=$root/bin/linux-amd64/lib GODWIT_ONNXRUNTIME=$library go test -count=1 ./runtime/ort/...
fi
if want old; then
	old=$(old_root bullseye)
	rm -rf "$old/godwit" && cp -r bin/linux-amd64 "$old/godwit" && cp -r examples/digits/. "$old/godwit/"
	chroot "$old" ldd --version | sed -n 1p
	answers examples/digits unshare --mount bash -c 'mount -t proc proc "$1/proc" &&
		exec env -i GODWIT_TARGET=cloudrun PORT=18321 /usr/sbin/chroot "$1" /godwit/fn-server' - "$old"
	rm -rf "$old/godwit"
fi
if want qemu; then
	command -v qemu-aarch64-static >/dev/null || deb qemu-user-static
	[ -d /usr/aarch64-linux-gnu/lib ] || deb libc6-arm64-cross
	# ONNX Runtime reads what the processor can do where Linux says it, and qemu shows it this machine's.
	for cpu in 0 1; do
		printf 'processor\t: %d\nFeatures\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: 0xd0c\nCPU revision\t: 1\n\n' $cpu
	done >"$work/cpuinfo"
	cat >"$work/arm64" <<-'E'
		set -e
		mount --bind "$1/cpuinfo" /proc/cpuinfo
		mount -t tmpfs tmpfs /sys/devices/system/cpu
		for f in possible present online; do echo 0-1 >/sys/devices/system/cpu/$f; done
		export GODWIT_TARGET=cloudrun PORT=18321 GODWIT_FUNCTION=$2 QEMU_LD_PREFIX=/usr/aarch64-linux-gnu
		exec qemu-aarch64-static "$3"
	E
	answers examples/digits unshare --mount bash "$work/arm64" "$work" "$root/examples/digits" "$root/bin/linux-arm64/fn-server"
fi
if want same; then
	new=$(old_root trixie)
	trap 'umount "$new"/modules "$new"/usr/local/go "$new"/proc 2>/dev/null || :; finish' EXIT
	rm -rf "$new/somewhere" && mkdir -p "$new/somewhere/else" "$new/modules" "$new/usr/local/go" "$new/cache/godwit/zig"
	git ls-files -z --cached --others --exclude-standard | xargs -0 cp -P --parents -t "$new/somewhere/else"
	zig=$(scripts/zig.sh)
	[ -d "$new/cache/godwit/zig/$(basename "$(dirname "$zig")")" ] || cp -r "$(dirname "$zig")" "$new/cache/godwit/zig/"
	mount --bind -o ro "$goroot" "$new/usr/local/go"
	mount --bind -o ro "$modcache" "$new/modules"
	mount -t proc proc "$new/proc"
	version=$(git describe --tags --always --dirty)
	cp bin/linux-amd64/lib/* "$new/somewhere/"
	chroot "$new" ldd --version | sed -n 1p
	# Nothing of an earlier build is used but modules as they were published.
	env -i HOME=/nowhere TZ=Asia/Tokyo GOMODCACHE=/modules GOPROXY=off XDG_CACHE_HOME=/cache GOCACHE=/somewhere/cache CGO_ENABLED=0 \
		PATH=/usr/local/go/bin:/usr/bin:/bin /usr/sbin/chroot "$new" /bin/sh -c 'umask 077
		if command -v cc gcc clang; then exit 1; fi
		cd /somewhere/else && exec go run ./scripts/functions -arch amd64 -out /somewhere/out -version "$0" ../lib*' "$version"
	(cd bin/linux-amd64 && find . -type f ! -name godwit -exec sha256sum {} +) | (cd "$new/somewhere/out" && sha256sum -c)
	umount "$new"/modules "$new"/usr/local/go "$new"/proc
	rm -rf "$new/somewhere" "$new/cache/godwit/zig/cache"
fi
if want handler; then
	mkdir -p "$work/a folder/handler"
	cat >"$work/a folder/handler/handler.go" <<-'E'
		package handler

		import (
			"context"

			"godwit.dev/runtime/fault"
			"godwit.dev/runtime/infer"
		)

		// Wrap lets nobody in.
		func Wrap(infer.Handler) infer.Handler {
			return infer.HandlerFunc(func(context.Context, *infer.Request) (*infer.Response, error) {
				return nil, fault.New(fault.Denied, "handler", "", "not on Sundays")
			})
		}
	E
	CGO_ENABLED=0 go run ./scripts/functions -arch amd64 -out "$work/function" -handler "$work/a folder/handler" -programs fn-server bin/linux-amd64/lib/*
	if grep -q -F -e "$work" -e "$root" "$work/function/fn-server"; then echo "want no path of this machine in the binary" >&2 && exit 1; fi
	cp -r examples/digits/. "$work/function/"
	GODWIT_TARGET=cloudrun PORT=18321 "$work/function/fn-server" >"$work/handler.log" 2>&1 &
	pids+=($!)
	for _ in $(seq 300); do curl -sf -o /dev/null http://127.0.0.1:18321/v2/health/ready && break; sleep 0.1; done
	got=$(curl -s --data-binary @examples/digits/requests/digits/1.json http://127.0.0.1:18321/v2/models/digits/infer)
	case $got in *'not on Sundays'*) echo "the handler answers: $got" ;; *) echo "want the handler's answer, got $got" >&2 && exit 1 ;; esac
fi
