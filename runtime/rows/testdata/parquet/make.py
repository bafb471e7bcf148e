"""Writes the files of this folder with pyarrow, each beside what it has as JSON Lines.

python make.py   (pyarrow 26.0.1)
"""
import datetime
import json

import numpy
import pyarrow
from pyarrow import parquet

n = 120
null = [i % 7 == 3 for i in range(n)]
gone = lambda values: [None if z else v for v, z in zip(values, null)]
doubles = [i / 8 for i in range(n)]
day = datetime.date(2026, 1, 1)
columns = {
    "bool": pyarrow.array(gone([i % 3 == 0 for i in range(n)])),
    "int8": pyarrow.array(range(-60, 60), pyarrow.int8()),
    "uint16": pyarrow.array(gone(range(60000, 60000 + n)), pyarrow.uint16()),
    "int32": pyarrow.array(gone([i * i for i in range(n)]), pyarrow.int32()),
    "int64": pyarrow.array([-i << 33 for i in range(n)], pyarrow.int64()),
    "uint64": pyarrow.array([2**64 - 1 - i for i in range(n)], pyarrow.uint64()),
    "half": pyarrow.array([numpy.float16(v) for v in doubles], pyarrow.float16()),
    "float": pyarrow.array(gone(doubles), pyarrow.float32()),
    "double": pyarrow.array(doubles, pyarrow.float64()),
    "text": pyarrow.array(gone([f"näme {i % 11}" for i in range(n)])),
    "large": pyarrow.array([f"{i:04}" * (i % 4) for i in range(n)], pyarrow.large_string()),
    "category": pyarrow.array([f"island {i % 3}" for i in range(n)]).dictionary_encode(),
    "date": pyarrow.array([day + datetime.timedelta(days=i) for i in range(n)]),
    "time": pyarrow.array([i * 1000 for i in range(n)], pyarrow.timestamp("us")),
    "fixed": pyarrow.array([b"%03d" % i for i in range(n)], pyarrow.binary(3)),
    "point": pyarrow.array(gone([{"x": v, "y": i} for i, v in enumerate(doubles)])),
    "list": pyarrow.array([[v, -v, 0.5] for v in doubles], pyarrow.list_(pyarrow.float32())),
    "array": pyarrow.array([[i, i + 1] for i in range(n)], pyarrow.list_(pyarrow.int64(), 2)),
}
table = pyarrow.table(columns)
plain = [name for name in columns if name not in ("list", "array", "point", "category")]
delta = {"int32": "DELTA_BINARY_PACKED", "int64": "DELTA_BINARY_PACKED", "float": "BYTE_STREAM_SPLIT", "double": "BYTE_STREAM_SPLIT",
         "text": "DELTA_BYTE_ARRAY", "large": "DELTA_LENGTH_BYTE_ARRAY", "fixed": "DELTA_BYTE_ARRAY", "uint16": "BYTE_STREAM_SPLIT"}
parquet.write_table(table, "default.parquet", row_group_size=50)
parquet.write_table(table, "modern.parquet", compression="zstd", use_dictionary=False, column_encoding=delta, data_page_version="2.0",
                    data_page_size=64, write_batch_size=8, write_page_index=True, write_page_checksum=True)
parquet.write_table(table, "lz4.parquet", compression="lz4", data_page_size=64, write_batch_size=8, dictionary_pagesize_limit=100)
parquet.write_table(table.select(plain), "old.parquet", version="1.0", compression="gzip", use_dictionary=plain[:6], row_group_size=77)

epoch = datetime.date(1970, 1, 1)
with open("rows.jsonl", "w") as out:
    for row in table.to_pylist():
        point = row.pop("point") or {"x": None, "y": None}
        row |= {"point.x": point["x"], "point.y": point["y"], "fixed": row["fixed"].decode(), "half": float(row["half"])}
        row["date"] = (row["date"] - epoch).days
        row["time"] = (row["time"] - datetime.datetime(1970, 1, 1)) // datetime.timedelta(microseconds=1)
        out.write(json.dumps(row, ensure_ascii=False) + "\n")
