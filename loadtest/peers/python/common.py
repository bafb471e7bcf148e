"""What every peer in Python shares: its settings and its sessions.

The program that measures says by the environment which models there are,
where to listen and how: PEER_MODELS (a folder), PEER_HTTP and PEER_GRPC
(ports of loopback), PEER_INTRA (threads of one run), PEER_WORKERS (processes)
and PEER_BATCH (rows that may share a run, 0 for none).
"""
import os

import numpy as np
import onnxruntime as ort

MODELS = ("small", "image")
HTTP, GRPC = int(os.environ["PEER_HTTP"]), int(os.environ["PEER_GRPC"])
INTRA, WORKERS = int(os.environ["PEER_INTRA"]), int(os.environ["PEER_WORKERS"])
BATCH = int(os.environ["PEER_BATCH"])


def session(name):
    """The model's session, with the threads that all peers have and without spinning."""
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = INTRA, 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = os.path.join(os.environ["PEER_MODELS"], name + ".onnx")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Model:
    """One model: an array of its input x in, an array of its output y out."""

    def __init__(self, name):
        self.name, self._run = name, session(name).run

    def __reduce__(self):  # a worker that is sent one opens its own
        return Model, (self.name,)

    def __call__(self, x):
        return self._run(("y",), {"x": x})[0]


def sessions():
    return {name: Model(name) for name in MODELS}


def array(tensor):
    """The numbers of one input of the protocol's JSON."""
    return np.array(tensor["data"], np.float32).reshape(tensor["shape"])
