#!/bin/sh
# Checks docs/tests.md: every test that it names as the proof of a requirement
# ran, passed and skipped nothing. Lines with `e2e/…` are proven by `make e2e`.
set -eu
cd "$(dirname "$0")/.."
out=$(mktemp)
trap 'rm -f "$out"' EXIT
proofs=$(sed -n 's/^| *[0-9][0-9]* *|.*| *\(.*\) *|$/\1/p' docs/tests.md | tr ',' '\n' | sed -n 's/^ *`\([^`]*\)` *$/\1/p' | sort -u)
[ -n "$proofs" ] || { echo "docs/tests.md names no test" >&2; exit 1; }
fail=0
for dir in $(printf '%s\n' "$proofs" | grep -v '^e2e/' | sed 's/:.*//' | sort -u); do
	names=$(printf '%s\n' "$proofs" | sed -n "s|^$dir:||p")
	roots=$(printf '%s\n' "$names" | sed 's|/.*||' | sort -u | paste -sd'|' -)
	module=. package=$dir
	case $dir in
	cdk | cdk/*) module=cdk package=${dir#cdk} package=${package#/} ;;
	knative/conformance) module=$dir package= ;;
	esac
	(cd "$module" && go test -count=1 -v -run "^($roots)\$" "./$package") >"$out" 2>&1 || { cat "$out" >&2; fail=1; }
	if grep -q -- '--- SKIP' "$out"; then
		grep -- '--- SKIP' "$out" >&2
		fail=1
	fi
	for name in $names; do
		grep -q -- "--- PASS: $name " "$out" || { echo "docs/tests.md: $dir:$name did not run" >&2; fail=1; }
	done
done
for part in $(printf '%s\n' "$proofs" | sed -n 's|^\(e2e/[a-z0-9]*\).*|\1|p' | sort -u); do
	[ -d "$part" ] || { echo "docs/tests.md: there is no $part" >&2; fail=1; }
done
[ $fail = 0 ] && echo "docs/tests.md: $(printf '%s\n' "$proofs" | wc -l) proofs ran"
exit $fail
