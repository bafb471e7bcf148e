"""Answers one request with PyPI's onnxruntime and ends, as a cold start of it in Python would begin.

python first.py MODEL REQUEST default|lean
"""
import json
import os
import sys

import numpy
import onnxruntime

model, request, how = sys.argv[1:]
options = onnxruntime.SessionOptions()
if how == "lean":
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
with open(request) as f:
    inputs = json.load(f)["inputs"]
feeds = {t["name"]: numpy.array(t["data"], numpy.float32).reshape(t["shape"]) for t in inputs}
names = [o.name for o in session.get_outputs()]
outputs = [
    {"name": name, "shape": list(a.shape), "datatype": "FP32", "data": a.ravel().tolist()}
    for name, a in zip(names, session.run(names, feeds))
]
os.write(1, json.dumps({"model_name": "m", "outputs": outputs}).encode() + b"\n")
os._exit(0)
