"""Write the models that drive.py talks to, and the godwit.yaml that serves them.

    python models.py FOLDER

identity_DTYPE answers its input x as y, for every type of the protocol; add_sub
answers a+b and a-b. All tensors have the shape [n,m], both open. The same onnx
package writes the same bytes every time.
"""

import pathlib
import sys

import onnx
from onnx import TensorProto, helper

TYPES = {
    "bool": TensorProto.BOOL,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "fp16": TensorProto.FLOAT16,
    "bf16": TensorProto.BFLOAT16,
    "fp32": TensorProto.FLOAT,
    "fp64": TensorProto.DOUBLE,
    "bytes": TensorProto.STRING,
}


def model(name, dtype, inputs, outputs, nodes):
    """A model's bytes; every tensor has this type and the shape [n,m]."""
    value = lambda tensor: helper.make_tensor_value_info(tensor, dtype, ["n", "m"])
    graph = helper.make_graph(nodes, name, [*map(value, inputs)], [*map(value, outputs)])
    proto = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="godwit tritonclient test",
    )
    onnx.checker.check_model(proto, full_check=True)
    return proto.SerializeToString(deterministic=True)


def main():
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    node = helper.make_node
    files = {
        f"identity_{name}": model(
            f"identity_{name}", dtype, ["x"], ["y"], [node("Identity", ["x"], ["y"])]
        )
        for name, dtype in TYPES.items()
    }
    files["add_sub"] = model(
        "add_sub",
        TensorProto.FLOAT,
        ["a", "b"],
        ["sum", "difference"],
        [node("Add", ["a", "b"], ["sum"]), node("Sub", ["a", "b"], ["difference"])],
    )
    spec = ["apiVersion: godwit.dev/v1", "name: tritonclient", "models:"]
    for name, data in files.items():
        (folder / f"{name}.onnx").write_bytes(data)
        spec += [f"  - name: {name}", f"    path: {name}.onnx"]
    (folder / "godwit.yaml").write_text("\n".join(spec) + "\n")


if __name__ == "__main__":
    main()
