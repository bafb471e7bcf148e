#!/bin/sh
# Compares ONNX Runtime libraries: scripts/measure-onnxruntime/measure.sh [-n ROUNDS] [-m MODEL] LIB...
# Each round runs every library once, in turn forwards and backwards (A B B A), so that the machine's other work falls
# on all alike. Times are in µs; ratio is the median over the rounds of the library's figure by the first library's.
# Wants gcc, binutils, go, GNU dd.
set -eu

rounds=20 model=''
while getopts n:m: flag; do
	case $flag in n) rounds=$OPTARG ;; m) model=$OPTARG ;; *) exit 64 ;; esac
done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { echo "usage: $0 [-n ROUNDS] [-m MODEL] LIB..." >&2; exit 64; }

here=$(cd "$(dirname "$0")" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
header=$(cd "$here" && go list -m -f '{{.Dir}}' github.com/yalue/onnxruntime_go)
gcc -O2 -Wall -I"$header" -o "$tmp/measure" "$here/measure.c" -ldl

export HOME="$tmp" TMPDIR="$tmp" # telemetry writes there
for lib; do
	echo "$lib"
	echo "  $(wc -c <"$lib") bytes, gzip -9 $(gzip -9c "$lib" | wc -c), needs$(objdump -T "$lib" |
		grep -oE '(GLIBC|GLIBCXX)_[0-9.]+' | sort -uV | awk -F_ '{ top[$1] = $0 } END { for (k in top) printf " %s", top[k] }')"
	echo "  $(ORT_DISABLE_TELEMETRY=1 "$tmp/measure" info "$lib")"
done

backwards=''
for lib; do backwards="$lib
$backwards"; done
forwards=$(printf '%s\n' "$@")
round=0
while [ $round -lt "$rounds" ]; do
	if [ $((round % 2)) = 0 ]; then order=$forwards; else order=$backwards; fi
	echo "$order" | while IFS= read -r lib; do
		[ -n "$lib" ] || continue
		set -- "$lib" ${model:+"$model"}
		off=$(ORT_DISABLE_TELEMETRY=1 "$tmp/measure" start "$@" && ORT_DISABLE_TELEMETRY=1 "$tmp/measure" exec "$@")
		on=$(env -u CI -u ORT_DISABLE_TELEMETRY "$tmp/measure" exec "$@")
		dd if="$lib" iflag=nocache count=0 2>/dev/null # the next start reads the library from the disk
		cold=$(ORT_DISABLE_TELEMETRY=1 "$tmp/measure" exec "$@")
		run=$(ORT_DISABLE_TELEMETRY=1 "$tmp/measure" run "$@")
		echo "$round|$lib|$off $on $cold $run" | tr '\n' ' ' && echo
	done >>"$tmp/times"
	round=$((round + 1))
done
awk -F'|' -v first="$1" '
	function median(list, n,   i, j, t) {
		for (i = 2; i <= n; i++) for (j = i; j > 1 && list[j] < list[j - 1]; j--) { t = list[j]; list[j] = list[j - 1]; list[j - 1] = t }
		return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
	}
	{ n = split($3, f, " "); for (i = 1; i <= n; i++) got[$2, $1, i] = f[i]; if (!($2 in seen)) { seen[$2]; order[++libs] = $2 } if ($1 + 1 > rounds) rounds = $1 + 1 }
	END {
		columns = split("dlopen CreateEnv session first-answer in-process peak-KiB exec exec-telemetry exec-uncached Run-ns Run-ns-best", names, " ")
		for (l = 1; l <= libs; l++) {
			print order[l]
			for (i = 1; i <= columns; i++) {
				for (r = 0; r < rounds; r++) { v[r + 1] = got[order[l], r, i]; q[r + 1] = got[order[l], r, i] / (got[first, r, i] + 1e-9) }
				m = median(v, rounds); printf "  %-14s median %6.0f  best %6.0f  ratio %.3f\n", names[i], m, v[1], median(q, rounds)
			}
		}
	}' "$tmp/times"
