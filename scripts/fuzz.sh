#!/bin/sh
# Runs every fuzz target in turn: fuzz.sh DURATION (as go test -fuzztime takes it).
# What a target finds it writes below the package's testdata/fuzz; commit that.
set -eu
cd "$(dirname "$0")/.."
time=${1:?want a duration, such as 10m}
grep -rl --include='*_test.go' '^func Fuzz' . | sort | while read -r file; do
	dir=$(dirname "$file")
	sed -n 's/^func \(Fuzz[A-Za-z0-9]*\)(.*/\1/p' "$file" | while read -r name; do
		echo "fuzz: $dir $name for $time"
		go test -run '^$' -fuzz "^$name\$" -fuzztime "$time" "$dir" </dev/null
	done
done
