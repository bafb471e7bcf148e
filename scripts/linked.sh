#!/bin/sh
# Keeps the list of packages that each binary links: cmd/NAME/linked.txt.
#   linked.sh          rewrites the lists
#   linked.sh --check  fails when a list is not what the binary links
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
exit $fail
