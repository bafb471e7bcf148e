#!/usr/bin/env bash
# h2spec (HTTP/2 and HPACK conformance) against the server as shipped and behind a proxy: every case, by its name, that
# an empty net/http server passes here and now. Some cases race with a server's answer, so net/http must pass a case
# three times out of three for it to count, and ours once out of three.
source "$(dirname "$0")/../lib.sh"

(cd "$here/h2spec" && go build -o "$work/" tool ./stock)

# passed ADDRESS NAME: the cases that pass into $work/NAME, one a line; prints those that fail.
passed() {
	"$work/h2spec" -h "${1%:*}" -p "${1##*:}" -P /v2 -o 2 -j "$work/$2.xml" >/dev/null || : # it fails with any case
	sed -n 's#.*<testcase package="\([^"]*\)" classname="\([^"]*\)"[^>]*></testcase>.*#\1 \2#p' "$work/$2.xml" | sort >"$work/$2"
	sed -n 's#.*<testcase package="\([^"]*\)" classname="\([^"]*\)"[^>]*>$#  fails \1 \2#p' "$work/$2.xml"
}

"$work/stock" >"$work/stock.address" &
pids+=($!)
for _ in $(seq 100); do [ -s "$work/stock.address" ] && break || sleep 0.1; done
for n in 1 2 3; do passed "$(cat "$work/stock.address")" "stock.$n"; done | sort | uniq -c
comm -12 "$work/stock.1" "$work/stock.2" | comm -12 - "$work/stock.3" >"$work/always"
echo "net/http alone: $(wc -l <"$work/always") cases pass every time"
[ "$(wc -l <"$work/always")" -ge 130 ] || { echo 'want nearly all of the 145: h2spec did not run as it should' >&2 && exit 1; }
binary=${GODWIT:-$root/bin/godwit}
for flags in '' --behind-proxy; do
	GODWIT=$work/godwit # the binary with the flag
	printf '#!/bin/sh\nexec "%s" "$@" %s\n' "$binary" "$flags" >"$GODWIT" && chmod +x "$GODWIT"
	serve "$root/examples/digits"
	cp "$work/always" "$work/missing"
	for _ in 1 2 3; do
		passed "$address" ours
		comm -23 "$work/missing" "$work/ours" >"$work/still" && mv "$work/still" "$work/missing"
		[ -s "$work/missing" ] || break
	done
	echo "godwit serve $flags: $(wc -l <"$work/ours") cases"
	[ ! -s "$work/missing" ] || { echo 'net/http passes, and we fail:' && cat "$work/missing"; } >&2
	[ ! -s "$work/missing" ] || exit 1
done
