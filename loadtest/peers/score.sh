#!/usr/bin/env bash
# Fetches pyarrow and onnxruntime for goal 18, once, and prints the Python that has them.
source "$(dirname "$0")/../../e2e/lib.sh"
venv score "$root/loadtest/peers/score.txt"
