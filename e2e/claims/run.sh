#!/usr/bin/env bash
# Claims in a table of moto's DynamoDB, a server of its own: the suite for tables; the server of our tests
# and moto asked the same, with the same answers; three processes that share a table do the work of each item once, though
# each gets every item, and one is killed ten times in the middle.
source "$(dirname "$0")/../lib.sh"
python=$(venv moto "$here/fetch/requirements.txt")
(cd "$root" && go build -o "$work/claims" ./e2e/claims)
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$python" -c 'import moto; print("against moto", moto.__version__)'
"$python" -m moto.server -H 127.0.0.1 -p "$port" >"$work/moto.log" 2>&1 &
pids+=($!)
export AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:$port AWS_REGION=eu-west-1 AWS_ACCESS_KEY_ID=key AWS_SECRET_ACCESS_KEY=secret
for _ in $(seq 300); do curl -s -o /dev/null "$AWS_ENDPOINT_URL_DYNAMODB" && break; sleep 0.1; done
"$work/claims" suite
"$work/claims" alike
"$work/claims" processes "$work"
