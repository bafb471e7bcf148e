#!/usr/bin/env bash
# Fetches the other languages' ONNX Runtime for goal 12, once, and prints a Python and the folder of Node's module.
source "$(dirname "$0")/../../e2e/lib.sh"
peers=$root/loadtest/peers
module=$cache/npm/node_modules/onnxruntime-node
[ -d "$module" ] || npm_install onnxruntime-node@1.30.0
venv peers "$peers/requirements.txt"
echo "$module"
