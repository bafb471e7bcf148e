#!/usr/bin/env bash
# h2spec (HTTP/2 and HPACK conformance) against the server as shipped and behind
# a proxy: at least what an empty net/http server passes, which is 139 or 140 of
# 145, as one case races with the server's answer. It runs too, to compare.
source "$(dirname "$0")/../lib.sh"

(cd "$here/h2spec" && go build -o "$work/" tool ./stock)

# passed ADDRESS: how many cases pass; what fails is printed.
passed() {
	"$work/h2spec" -h "${1%:*}" -p "${1##*:}" -P /v2 -o 2 >"$work/report" || : # it fails with any case
	sed -n '/^Failures/,$p' "$work/report" | grep '×' | sed 's/^ */  fails /' >&2 || :
	sed -n 's/^\([0-9]*\) tests, \([0-9]*\) passed.*/\2/p' "$work/report"
}

"$work/stock" >"$work/stock.address" &
pids+=($!)
for _ in $(seq 100); do [ -s "$work/stock.address" ] && break || sleep 0.1; done
stock=$(passed "$(cat "$work/stock.address")")
echo "net/http alone: $stock cases"
binary=${GODWIT:-$root/bin/godwit}
for flags in '' --behind-proxy; do
	GODWIT=$work/godwit # the binary with the flag
	printf '#!/bin/sh\nexec "%s" "$@" %s\n' "$binary" "$flags" >"$GODWIT" && chmod +x "$GODWIT"
	serve "$root/examples/digits"
	ours=$(passed "$address")
	echo "godwit serve $flags: $ours cases"
	[ "$ours" -ge 139 ] || { echo "want at least 139" >&2 && exit 1; }
done
