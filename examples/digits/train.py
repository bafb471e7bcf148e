"""Train the digits example and write digits.onnx, heldout.csv and heldout.json.

    pip install -r requirements.txt
    python train.py

The data are scikit-learn's handwritten digits: 1797 images of 8x8 pixels, each
pixel a count from 0 (white) to 16 (black). The net is small enough to be trained
with numpy alone, so that every step can be read here:

    pixels [batch,64] -> /16 -> conv 3x3 -> conv 3x3 -> max pool -> linear -> softmax

One fifth of the images is never shown to the training. What the finished file
answers on those, run by ONNX Runtime and not by the code below, is the accuracy
that heldout.json states.

The same Python and the same packages (requirements.txt) write the same bytes
every time.
"""

import os

# Matrix products are summed in an order that depends on the number of threads and on
# the processor's instruction set. Both are fixed, before numpy is loaded, so that the
# bytes of the model do not depend on the machine, as long as it is x86-64 with AVX2.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OPENBLAS_CORETYPE"] = "Haswell"
os.environ["NPY_DISABLE_CPU_FEATURES"] = "X86_V4 AVX512_ICL AVX512_SPR"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import csv
import hashlib
import json
import math
import pathlib
import platform
import re
import warnings

warnings.filterwarnings("ignore", message="(?s).*NPY_DISABLE_CPU_FEATURES")

import numpy as np
import onnx
import onnxruntime
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

HERE = pathlib.Path(__file__).resolve().parent
SEED = 2026
HELD_OUT = 0.2  # the part of the rows that training never sees
CHANNELS = (16, 32)  # of the first and the second convolution
EPOCHS = 30
BATCH = 32
RATE = 3e-3  # Adam's step, brought down to zero along a cosine
DECAY = 2e-4  # how much every weight is pulled towards zero
DROPOUT = 0.3  # the part of the pooled features that each training step leaves out


def init(rng):
    """Weights in ONNX's layout: [out, in, height, width] and [in, out]."""
    a, b = CHANNELS
    shapes = {
        "conv1.weight": (a, 1, 3, 3),
        "conv1.bias": (a,),
        "conv2.weight": (b, a, 3, 3),
        "conv2.bias": (b,),
        "linear.weight": (b * 16, 10),
        "linear.bias": (10,),
    }
    p = {k: np.zeros(shape, np.float32) for k, shape in shapes.items()}
    # He's scale: the sum over so many inputs keeps a variance of about one.
    for k, inputs in (("conv1.weight", 9), ("conv2.weight", 9 * a), ("linear.weight", b * 16)):
        p[k] += rng.normal(0, math.sqrt(2 / inputs), shapes[k]).astype(np.float32)
    return p


def patches(x):
    """The 3x3 surroundings of every pixel as rows: [n,c,8,8] -> [n*64, c*9]."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(x, (3, 3), axis=(2, 3))  # [n,c,8,8,3,3]
    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * 9)


def conv(x, weight):
    """A 3x3 convolution that keeps the size, as one matrix product."""
    out = patches(x) @ weight.reshape(len(weight), -1).T
    return out.reshape(len(x), 8, 8, -1).transpose(0, 3, 1, 2)


def conv_gradient(x, weight, g):
    """From the gradient g of conv's result: the gradients of weight, bias and x."""
    rows = g.transpose(0, 2, 3, 1).reshape(-1, g.shape[1])
    g_weight = (rows.T @ patches(x)).reshape(weight.shape)
    # What a pixel gave to its neighbours comes back from them: the same convolution,
    # with the kernel turned by half a circle and with inputs and outputs exchanged.
    g_x = conv(g, np.ascontiguousarray(weight[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)))
    return g_weight, rows.sum(0), g_x


def forward(p, x, keep=1):
    """Logits [n,10] of pixels [n,64], and what the way back needs.

    keep is 1, or a mask [n,features] of zeros and factors (dropout).
    """
    image = (x / np.float32(16)).reshape(-1, 1, 8, 8)
    h1 = np.maximum(conv(image, p["conv1.weight"]) + p["conv1.bias"][:, None, None], 0)
    h2 = np.maximum(conv(h1, p["conv2.weight"]) + p["conv2.bias"][:, None, None], 0)
    blocks = h2.reshape(len(x), -1, 4, 2, 4, 2)
    pooled = blocks.max((3, 5))
    features = pooled.reshape(len(x), -1) * keep
    logits = features @ p["linear.weight"] + p["linear.bias"]
    return logits, (image, h1, h2, blocks, pooled, features)


def softmax(logits):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def gradients(p, x, y, keep):
    """The gradient of the mean cross entropy of rows x, y for every array in p."""
    logits, (image, h1, h2, blocks, pooled, features) = forward(p, x, keep)
    g = softmax(logits)
    g[np.arange(len(y)), y] -= 1
    g /= np.float32(len(y))
    out = {"linear.weight": features.T @ g, "linear.bias": g.sum(0)}
    g = ((g @ p["linear.weight"].T) * keep).reshape(pooled.shape)
    g = (g[:, :, :, None, :, None] * (blocks == pooled[:, :, :, None, :, None])).reshape(h2.shape)
    g *= h2 > 0
    out["conv2.weight"], out["conv2.bias"], g = conv_gradient(h1, p["conv2.weight"], g)
    g *= h1 > 0
    out["conv1.weight"], out["conv1.bias"], _ = conv_gradient(image, p["conv1.weight"], g)
    return out


def shifted(rng, x):
    """Every image moved by up to one pixel each way, so that place matters less."""
    padded = np.pad(x.reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
    moves = sliding_window_view(padded, (8, 8), axis=(1, 2))  # [n,3,3,8,8]
    dy, dx = rng.choice(3, (2, len(x)), p=(0.2, 0.6, 0.2))
    return moves[np.arange(len(x)), dy, dx].reshape(-1, 64)


def train(x, y):
    """Adam with weight decay, its step going down along a cosine."""
    rng = np.random.default_rng(SEED)
    p = init(rng)
    m = {k: np.zeros_like(v) for k, v in p.items()}
    v = {k: np.zeros_like(v) for k, v in p.items()}
    steps, step = EPOCHS * -(-len(x) // BATCH), 0
    for _ in range(EPOCHS):
        order = rng.permutation(len(x))
        for i in range(0, len(x), BATCH):
            rows = order[i : i + BATCH]
            mask = rng.random((len(rows), CHANNELS[1] * 16), np.float32) >= DROPOUT
            keep = mask.astype(np.float32) / np.float32(1 - DROPOUT)
            g = gradients(p, shifted(rng, x[rows]), y[rows], keep)
            step += 1
            rate = RATE * (1 + math.cos(math.pi * step / steps)) / 2
            for k in p:
                m[k] = np.float32(0.9) * m[k] + np.float32(0.1) * g[k]
                v[k] = np.float32(0.999) * v[k] + np.float32(0.001) * g[k] ** 2
                move = (m[k] / (1 - 0.9**step)) / (np.sqrt(v[k] / (1 - 0.999**step)) + 1e-8)
                p[k] = (p[k] - rate * (move + DECAY * p[k])).astype(np.float32)
    return p


def export(p):
    """The trained net as the bytes of an ONNX model that takes pixels as they come."""
    make, same = helper.make_node, [1, 1, 1, 1]
    nodes = [
        make("Div", ["pixels", "sixteen"], ["scaled"]),
        # 0 keeps the batch dimension whatever it is, zero rows included.
        make("Reshape", ["scaled", "image.shape"], ["image"]),
        make("Conv", ["image", "conv1.weight", "conv1.bias"], ["conv1"], pads=same),
        make("Relu", ["conv1"], ["relu1"]),
        make("Conv", ["relu1", "conv2.weight", "conv2.bias"], ["conv2"], pads=same),
        make("Relu", ["conv2"], ["relu2"]),
        make("MaxPool", ["relu2"], ["pooled"], kernel_shape=[2, 2], strides=[2, 2]),
        make("Flatten", ["pooled"], ["features"]),
        make("Gemm", ["features", "linear.weight", "linear.bias"], ["logits"]),
        make("Softmax", ["logits"], ["probabilities"], axis=1),
        make("ArgMax", ["logits"], ["label"], axis=1, keepdims=0),
    ]
    arrays = {"sixteen": np.array(16, np.float32), "image.shape": np.array([0, 1, 8, 8])} | p
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        "digits",
        inputs=[value("pixels", TensorProto.FLOAT, ["batch", 64])],
        outputs=[
            value("label", TensorProto.INT64, ["batch"]),
            value("probabilities", TensorProto.FLOAT, ["batch", 10]),
        ],
        initializer=[numpy_helper.from_array(v, k) for k, v in arrays.items()],
    )
    model = helper.make_model(
        graph,
        # An old operator set and file version, so that old runtimes load it too.
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
        producer_name="godwit digits example",
        producer_version="1",
        model_version=1,
        doc_string="Handwritten digits: 64 pixels from 0 (white) to 16 (black), row by row.",
    )
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def predict(model, x):
    """Labels and probabilities as ONNX Runtime answers them."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(["label", "probabilities"], {"pixels": x})


def check(model, p, x):
    """Refuse a file that does not compute what was trained, or depends on batching."""
    label, probabilities = predict(model, x)
    logits, _ = forward(p, x)
    assert np.allclose(probabilities, softmax(logits), atol=1e-5), "not what was trained"
    assert np.array_equal(label, logits.argmax(1)), "not what was trained"
    for i in range(8):
        _, alone = predict(model, x[i : i + 1])
        assert np.allclose(alone[0], probabilities[i], atol=1e-6), f"row {i} differs alone"


def summary(model, indices, y, label):
    """What heldout.json states."""
    right = y == label
    return {
        "model": "digits.onnx",
        "sha256": hashlib.sha256(model).hexdigest(),
        "bytes": len(model),
        "rows": len(y),
        "correct": int(right.sum()),
        "accuracy": round(float(right.mean()), 6),
        "classes": [
            {
                "label": c,
                "rows": int((y == c).sum()),
                "correct": int(right[y == c].sum()),
                "predicted": int((label == c).sum()),
            }
            for c in range(10)
        ],
        "mistakes": [
            {"index": int(indices[i]), "label": int(y[i]), "predicted": int(label[i])}
            for i in np.flatnonzero(~right)
        ],
        "indices": indices.tolist(),
        "trainedWith": {
            "python": ".".join(platform.python_version_tuple()[:2]),
            "numpy": np.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }


def main():
    pixels, y = load_digits(return_X_y=True)
    x = pixels.astype(np.float32)
    learn, held = train_test_split(
        np.arange(len(x)), test_size=HELD_OUT, random_state=SEED, stratify=y
    )
    held.sort()

    p = train(x[learn], y[learn])
    model = export(p)
    check(model, p, x[held])
    label, _ = predict(model, x[held])
    stated = summary(model, held, y[held], label)

    (HERE / "digits.onnx").write_bytes(model)
    with open(HERE / "heldout.csv", "w", newline="") as f:
        rows = csv.writer(f, lineterminator="\n")
        rows.writerow(["index", "label", *(f"p{i}" for i in range(64))])
        for i in held:
            rows.writerow([i, y[i], *pixels[i].astype(int)])
    text = json.dumps(stated, indent=2)
    # One line for each innermost list or object reads better.
    text = re.sub(r"[\[{][^\[\]{}]+[\]}]", lambda m: re.sub(r"\s+", " ", m[0]), text)
    (HERE / "heldout.json").write_text(text + "\n")
    right, total = stated["correct"], stated["rows"]
    print(f"digits.onnx: {len(model)} bytes, {right} of {total} held-out digits right")


if __name__ == "__main__":
    main()
