#!/bin/sh
# Keeps the list of packages that each binary links, cmd/NAME/linked.txt, and
# for function binaries how many bytes they may have, cmd/fn-NAME/size.txt.
#   linked.sh          rewrites them; sizes with up to 256 KiB to spare
#   linked.sh --check  fails when a list is not what the binary links, or a binary is larger
set -eu
cd "$(dirname "$0")/.."
fail=0
for dir in cmd/*/; do
	list=${dir}linked.txt
	now=$(CGO_ENABLED=1 GOOS=linux GOARCH=amd64 go list -deps -f '{{if not .Standard}}{{.ImportPath}}{{end}}' "./$dir" | sort)
	if [ "${1:-}" != --check ]; then
		printf '%s\n' "$now" >"$list"
	elif ! printf '%s\n' "$now" | diff -u "$list" - >&2; then
		echo "$list: the binary links other packages; if that is wanted, run scripts/linked.sh" >&2
		fail=1
	fi
done
built=$(mktemp -d)
trap 'rm -rf "$built"' EXIT
for dir in cmd/fn-*/; do
	most=${dir}size.txt
	CGO_ENABLED=1 go build -trimpath -tags lambda.norpc -ldflags '-s -w' -o "$built/fn" "./$dir"
	bytes=$(($(wc -c <"$built/fn")))
	if [ "${1:-}" != --check ]; then
		echo $(((bytes / 262144 + 1) * 262144)) >"$most"
	elif [ "$bytes" -gt "$(cat "$most")" ]; then
		echo "$most: want at most $(cat "$most") bytes, got $bytes; if that is wanted, run scripts/linked.sh" >&2
		fail=1
	fi
done
exit $fail
