// Package cloop runs a model in a plain C loop with values that are made once:
// the least that one run of ONNX Runtime can cost. Benchmarks hold package ort
// against it in the same process; no binary links it.
package cloop
