#!/usr/bin/env bash
# Makes the mistakes of scripts/mutate/seeded, ten in each gate adapter, one at
# a time, and fails when an adapter's tests stay green. It needs nothing but Go
# and takes one to three minutes.
set -euo pipefail
cd "$(dirname "$0")/../.."
exec nice -n 5 go run ./scripts/mutate -seeded scripts/mutate/seeded/*.txt
