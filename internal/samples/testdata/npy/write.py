"""Writes the arrays in this folder, which the tests of internal/samples read.

Made with NumPy 2.4.6: pip install numpy==2.4.6 && python write.py
"""
import os

import numpy as np

os.chdir(os.path.dirname(os.path.abspath(__file__)))

grid = np.arange(24).reshape(2, 3, 4)

np.save("f4.npy", (grid[0] / 4).astype("<f4"))
np.save("f8.npy", (grid[0] / 4).astype("<f8"))
np.save("f8-big-fortran.npy", np.asfortranarray((grid[0] / 4).astype(">f8")))
np.save("f2.npy", (grid[0] / 4).astype("<f2"))
np.save("i2-fortran-3d.npy", np.asfortranarray(grid.astype("<i2")))
np.save("i8-big.npy", np.array([[-(2**63)], [2**53 + 1], [2**63 - 1]], ">i8"))
np.save("u8.npy", np.array([0, 2**53 + 1, 2**64 - 1], "<u8"))
np.save("bool.npy", np.array([[True, False], [False, True]]))
np.save("text.npy", np.array(["", "a", "é€𝄞"]))
np.save("text-big.npy", np.array(["", "a", "é€𝄞"]).astype(">U3"))
np.save("bytes.npy", np.array([b"", b"a", b"abc"]))
np.save("scalar.npy", np.float32(0.5))
np.save("empty.npy", np.zeros((0, 4), "<f4"))
np.save("no-columns.npy", np.zeros((2, 0), "<f4"))
np.save("special.npy", np.array([[np.nan, np.inf, -np.inf, -0.0]]))

for version in [(2, 0), (3, 0)]:
    with open(f"f4-v{version[0]}.npy", "wb") as f:
        np.lib.format.write_array(f, (grid[0] / 4).astype("<f4"), version=version)

# What is refused.
np.save("complex.npy", np.zeros(2, "c8"))
np.save("time.npy", np.zeros(2, "M8[s]"))
np.save("record.npy", np.zeros(2, [("a", "<f4"), ("b", "<i4")]))
np.save("object.npy", np.array([{}, []], dtype=object), allow_pickle=True)

borders = {}
for name in ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]:
    info = np.iinfo(name)
    borders[name] = np.array([info.min, info.max], name)
for name in ["f2", "f4", "f8"]:
    borders[name] = np.array([np.finfo(name).tiny, np.finfo(name).max], name)
np.savez("borders.npz", **borders)
np.savez_compressed(
    "penguins.npz",
    island=np.array([["Biscoe"], ["Dream"]]),
    bill_length_mm=np.array([39.5, np.nan]),
    threshold=np.float32(0.25),
    year=np.array([2007, 2008]),
)
