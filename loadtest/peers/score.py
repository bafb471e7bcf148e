"""Scores a CSV file with pyarrow and PyPI's onnxruntime, as a person would write it for speed.

python score.py MODEL SRC DST BATCH

SRC is read in blocks while the model runs; all columns are floats, in the
order of the input. Prints the seconds from opening SRC to DST being whole, so
without the imports and the session, and the processor seconds of the same.
"""
import os
import sys
import time

import numpy
import onnxruntime
import pyarrow
from pyarrow import csv

model, src, dst, batch = *sys.argv[1:4], int(sys.argv[4])
session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
feed, output = session.get_inputs()[0].name, session.get_outputs()[0].name
width = session.get_outputs()[0].shape[1]
schema = pyarrow.schema([(f"{output}_{i}", pyarrow.float32()) for i in range(width)])


def rows(reader):
    """The file's rows as arrays of the input, a block of the file each."""
    for block in reader:
        columns = [c.to_numpy(zero_copy_only=False) for c in block.columns]
        yield numpy.column_stack(columns)


with open(src) as f:
    names = f.readline().strip().split(",")
start, used = time.perf_counter(), time.process_time()
convert = csv.ConvertOptions(column_types={name: pyarrow.float32() for name in names})
reader = csv.open_csv(src, read_options=csv.ReadOptions(block_size=4 << 20), convert_options=convert)
with open(dst + ".part", "wb") as sink, csv.CSVWriter(sink, schema) as writer:
    for block in rows(reader):
        answers = [session.run([output], {feed: block[i : i + batch]})[0] for i in range(0, len(block), batch)]
        answer = numpy.concatenate(answers)
        writer.write(pyarrow.record_batch([pyarrow.array(answer[:, i]) for i in range(width)], schema=schema))
os.rename(dst + ".part", dst)
print(time.perf_counter() - start, time.process_time() - used)
