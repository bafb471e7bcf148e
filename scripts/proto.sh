#!/bin/sh
# Generates adapters/httpserve/oippb from its .proto. Needs Go and Python 3;
# protoc comes with PyPI's grpcio-tools, in a throw-away environment.
set -eu
cd "$(dirname "$0")/../adapters/httpserve/oippb"
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
python3 -m venv "$tmp/venv"
"$tmp/venv/bin/pip" install --quiet --disable-pip-version-check grpcio-tools==1.85.1
GOBIN="$tmp" go install google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.11
GOBIN="$tmp" go install google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.2
cd ../../..
"$tmp/venv/bin/python" -m grpc_tools.protoc --proto_path=. \
	--plugin="$tmp/protoc-gen-go" --go_out=. --go_opt=paths=source_relative \
	--plugin="$tmp/protoc-gen-go-grpc" --go-grpc_out=. --go-grpc_opt=paths=source_relative \
	adapters/httpserve/oippb/inference.proto
