#!/usr/bin/env bash
# Fails if an idle Go process has a thread that waits in native code: Go's own wait in the binary, and ONNX Runtime's
# telemetry would wait in the C library.
set -euo pipefail
pid=$1 alien=0 all=0
exe=$(readlink "/proc/$pid/exe")
mapfile -t own < <(awk -v exe="$exe" '$2 ~ /x/ && $6 == exe {print $1}' "/proc/$pid/maps")
for task in /proc/"$pid"/task/*; do
	all=$((all + 1))
	read -ra call <"$task/syscall" || continue
	pc=${call[-1]} inside=0
	[[ $pc == 0x* ]] || continue # it runs
	for range in "${own[@]}"; do
		((pc >= 0x${range%-*} && pc < 0x${range#*-})) && inside=1
	done
	[ $inside = 1 ] || { alien=$((alien + 1)) && echo "thread ${task##*/} waits at $pc: $(cat "$task/comm")" >&2; }
done
[ "$all" -gt 0 ] && [ $alien = 0 ] && echo "$all threads, all of them Go's"
