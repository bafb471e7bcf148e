#!/usr/bin/env bash
# Runs every end-to-end part, e2e/PART/run.sh, and prints how each went. Each installs what it needs into
# ${GODWIT_E2E_CACHE:-~/.cache/godwit/e2e}. With arguments only those parts run:
#   e2e/run.sh [PART...]
set -uo pipefail
cd "$(dirname "$0")" || exit
logs=$(mktemp -d "${TMPDIR:-/tmp}/godwit-e2e-logs.XXXXXX")
parts=("$@")
[ $# -gt 0 ] || for script in */run.sh; do parts+=("${script%/run.sh}"); done
failed=0
for part in "${parts[@]}"; do
	echo "== $part"
	start=$SECONDS
	if "./$part/run.sh" </dev/null > >(tee "$logs/$part.log") 2>&1; then result=ok; else result=FAILED failed=1; fi
	rows+=("$(printf '%-16s %5d s  %s' "$part" $((SECONDS - start)) "$result")")
done
printf '\n' && printf '%s\n' "${rows[@]}"
[ $failed = 0 ] || echo "logs: $logs"
[ $failed = 1 ] || rm -rf "$logs"
exit $failed
