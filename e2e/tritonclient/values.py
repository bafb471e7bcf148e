"""What drive.py sends: for every type the ends of its range and what is easily lost."""

import ml_dtypes
import numpy as np

NUMBERS = {
    "UINT8": np.uint8,
    "UINT16": np.uint16,
    "UINT32": np.uint32,
    "UINT64": np.uint64,
    "INT8": np.int8,
    "INT16": np.int16,
    "INT32": np.int32,
    "INT64": np.int64,
    "FP16": np.float16,
    "BF16": ml_dtypes.bfloat16,
    "FP32": np.float32,
    "FP64": np.float64,
}
TYPES = ["BOOL", *NUMBERS, "BYTES"]


def model(datatype):
    """The name of the model that answers this type's tensor as it came."""
    return "identity_" + datatype.lower()


def finite(datatype):
    """A [2,3] tensor that JSON can carry too."""
    if datatype == "BOOL":
        return np.array([[True, False, True], [False, False, True]])
    if datatype == "BYTES":
        return np.array([["", "a\x00b", "grün"], ['"\\/\n\t', "日本 🐧", " "]], object)
    dtype = NUMBERS[datatype]
    if np.issubdtype(dtype, np.integer):
        end = np.iinfo(dtype)
        return np.array([[end.min, 0, 1], [2, end.max - 1, end.max]], dtype)
    end = ml_dtypes.finfo(dtype)
    return np.array(
        [[1 / 3, -0.0, end.smallest_subnormal], [end.max, -end.tiny, 1 + end.eps]], dtype
    )


def binary(datatype):
    """A tensor that only the binary form and gRPC can carry, or None."""
    if datatype == "BYTES":
        every = bytes(range(256))
        return np.array([[b"", b"\x00", b"\xff\xfe"], [b"\xc3(", every, b"z" * 300]], object)
    if datatype in NUMBERS and not np.issubdtype(NUMBERS[datatype], np.integer):
        return np.array([[np.nan, np.inf, -np.inf]], NUMBERS[datatype])
    return None


def empty(datatype):
    """No elements, and yet a shape."""
    return np.empty((0, 3), object if datatype == "BYTES" else NUMBERS.get(datatype, bool))


def check_same(got, want, bits=True):
    """Both tensors have the same type, shape and elements; with bits, the same bits.

    Without bits 0 and -0 are the same: JSON numbers need not tell them apart.
    """
    assert got is not None, "want an output, got none"
    assert got.shape == want.shape, f"want shape {want.shape}, got {got.shape}"
    if want.dtype == object:
        got, want = ([as_bytes(e) for e in a.flat] for a in (got, want))
        assert got == want, f"want {want}, got {got}"
        return
    assert got.dtype == want.dtype, f"want {want.dtype}, got {got.dtype}"
    equal = got.tobytes() == want.tobytes() if bits else np.array_equal(got, want)
    assert equal, f"want {want}, got {got}"


def as_bytes(element):
    return element if isinstance(element, bytes) else element.encode()
