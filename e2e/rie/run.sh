#!/usr/bin/env bash
# AWS's own Runtime Interface Emulator, which aws-sam-cli's wheel carries, beside ours: the same events reach the
# handler as equal bytes, and the answers are equal; also with several invocations at a time, as Managed Instances have.
source "$(dirname "$0")/../lib.sh"
rie=$(runtime_interface_emulator)
cd "$root"
go build -tags lambda.norpc -o "$work/function" ./e2e/rie
"$work/function" -rie "$rie" -fn "${FN_LAMBDA:-$root/bin/fn-lambda}" -folder "$root/examples/digits" -work "$work"
