#!/usr/bin/env bash
# Runs a command under strace, with a fresh HOME: watched.sh FOLDER NAME COMMAND...
# The log is FOLDER/NAME. CI in the environment would hide ONNX Runtime's telemetry. With -D the process is the
# command's own, so that it can be stopped.
set -euo pipefail
folder=$1 name=$2
shift 2
mkdir -p "$folder/home" "$folder/tmp"
exec env -u CI -u ORT_DISABLE_TELEMETRY -u XDG_CACHE_HOME HOME="$folder/home" TMPDIR="$folder/tmp" \
	strace -D -f -qq -o "$folder/$name" -e trace=socket,connect,sendto,sendmsg,sendmmsg,openat,creat,mkdir,mkdirat "$@"
