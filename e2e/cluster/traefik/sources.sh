#!/usr/bin/env bash
# sources.sh DIR: Traefik's module in DIR, to build `tool` of. Traefik itself is as it is published; what it uses is cut
# down to what a test needs: see stubs.
set -euo pipefail
from=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1" && cd "$1"
copy() {
	cp -r "$(cd / && go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",*$/\1/p')" "$2"
	chmod -R u+w "$2"
}
copy github.com/go-acme/lego/v5@v5.4.1 lego
rm -rf lego/providers/dns/* && cp "$from/stubs/lego/dns.go" lego/providers/dns/
copy github.com/abbot/go-http-auth@v0.4.1-0.20220112235402-e1cee1c72f2f auth
find auth -name '*_test.go' -delete && cp "$from/stubs/auth/stale.go" auth/
cp -r "$from/stubs/ext" ext
cp "$from"/go.* .
