"""Writes models that older libraries do not survive: python3 models.py DIR (wants PyPI's onnx).

    NO_ARENA=1 measure.sh -n 1 -m DIR/uint4.onnx LIB

uint4.onnx is a valid model: a packed 4-bit buffer is used again for 8-bit values and overflows. The other two are
malformed, and should be refused: loop.onnx (a Loop's body input is also an initializer), embed.onnx (a scalar bias).
"""

import sys

import numpy as np
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper, save


def value(name, *shape, type=T.FLOAT):
    return h.make_tensor_value_info(name, type, shape)


def constant(name, data, type=np.float32):
    return numpy_helper.from_array(np.array(data, type), name)


def write(name, nodes, inputs, outputs, constants=(), opset=21):
    graph = h.make_graph(nodes, name, inputs, outputs, constants)
    opsets = [h.make_opsetid("", opset), h.make_opsetid("com.microsoft", 1)]
    save(h.make_model(graph, opset_imports=opsets, ir_version=10), f"{sys.argv[1]}/{name}.onnx")


steps = [("X", T.UINT4), ("a", T.FLOAT), ("b", T.UINT8), ("c", T.FLOAT)]
casts = [h.make_node("Cast", [steps[i][0]], ["abcY"[i]], to=steps[i][1]) for i in range(4)]
write("uint4", casts, [value("X", 65536)], [value("Y", 65536)])

body = h.make_graph(
    [h.make_node("Identity", ["go"], ["more"]), h.make_node("Identity", ["state"], ["next"])],
    "body",
    [value("i", type=T.INT64), value("go", type=T.BOOL), value("state", 1)],
    [value("more", type=T.BOOL), value("next", 1)],
    [constant("state", [1])],
)
loop = h.make_node("Loop", ["times", "go", "X"], ["Y"], body=body)
write("loop", [loop], [value("X", 1)], [value("Y", 1)], [constant("times", 3, np.int64), constant("go", True, bool)])

tables = [constant(n, np.zeros(s)) for n, s in (("words", (9, 8)), ("places", (9, 8)), ("parts", (2, 8)), ("gamma", 8), ("beta", ()))]
ids = [h.make_node("Cast", ["X"], [n], to=T.INT32) for n in ("ids", "segments")]
embed = h.make_node("EmbedLayerNormalization", ["ids", "segments"] + [t.name for t in tables], ["Y", "mask"], domain="com.microsoft")
write("embed", ids + [embed], [value("X", 1, 4)], [h.make_tensor_value_info("Y", T.FLOAT, None)], tables)
