"""Train the penguins example and write penguins.onnx, heldout.csv and heldout.json.

    pip install -r requirements.txt
    python train.py

The data are the Palmer penguins: 344 birds, the island where each was found, its
sex, four measurements, and its species, which is what the model tells. Strings and
numbers are mixed and some are missing, as in most tables. The scikit-learn pipeline
below takes the columns as they come, and skl2onnx puts the whole pipeline into the
file, not only the classifier: who calls the model sends "Biscoe" and 4650, and needs
none of this code.

One quarter of the birds is never shown to the training. What the finished file
answers on those, run by ONNX Runtime, is the accuracy that heldout.json states.

The same Python and the same packages (requirements.txt) write the same bytes
every time.
"""

import os

# The sums inside the solver depend on the number of threads and on the processor's
# instruction set. Both are fixed, before numpy is loaded, so that the bytes of the
# model do not depend on the machine, as long as it is x86-64 with AVX2.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["OPENBLAS_CORETYPE"] = "Haswell"
os.environ["NPY_DISABLE_CPU_FEATURES"] = "X86_V4 AVX512_ICL AVX512_SPR"
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import hashlib
import json
import pathlib
import platform
import re
import warnings

warnings.filterwarnings("ignore", message="(?s).*NPY_DISABLE_CPU_FEATURES")

import numpy as np
import onnx
import onnxruntime
import skl2onnx
import sklearn
from palmerpenguins import load_penguins
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

HERE = pathlib.Path(__file__).resolve().parent
SEED = 2026
HELD_OUT = 0.25  # the part of the rows that training never sees
STRINGS = ["island", "sex"]
NUMBERS = ["bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]


def pipeline():
    """Columns in, species out."""
    columns = ColumnTransformer(
        [
            # A sex that nobody noted ("") is a value of its own. A value that training
            # never saw sets no column of the encoding, instead of failing the row.
            ("strings", OneHotEncoder(handle_unknown="ignore"), STRINGS),
            # A missing number is NaN and becomes the median of the training rows.
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), NUMBERS),
        ]
    )
    return make_pipeline(columns, LogisticRegression(C=10, tol=1e-8, max_iter=1000))


def clean(birds):
    """The inputs as the model takes them: a missing string is "", a missing number NaN."""
    return birds[STRINGS + NUMBERS].fillna({name: "" for name in STRINGS})


def export(fitted):
    """The fitted pipeline as the bytes of an ONNX model with one input per column."""
    inputs = [(name, StringTensorType([None, 1])) for name in STRINGS]
    inputs += [(name, FloatTensorType([None, 1])) for name in NUMBERS]
    model = skl2onnx.convert_sklearn(
        fitted,
        name="penguins",  # else skl2onnx draws a random name
        initial_types=inputs,
        target_opset={"": 17, "ai.onnx.ml": 3},
        # scikit-learn's usual form: for every row a map from species to probability.
        options={"zipmap": True},
        doc_string="Palmer penguins: the species of a bird from where it lives and how big it is.",
    )
    model.ir_version = 8  # an old file version, so that old runtimes load it too
    model.model_version = 1
    model.producer_name = "godwit penguins example"
    model.producer_version = "1"
    model.domain = ""
    # skl2onnx leaves the number of rows without a name. A name says that it is the same
    # number in every input and output.
    for value in (*model.graph.input, *model.graph.output):
        if value.type.HasField("tensor_type"):
            dims = value.type.tensor_type.shape.dim
            if dims and not dims[0].dim_value:
                dims[0].dim_param = "batch"
    onnx.checker.check_model(model)
    return model.SerializeToString(deterministic=True)


def predict(model, x):
    """Species, and a map from species to probability, per row, by ONNX Runtime."""
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    feeds = {name: x[[name]].to_numpy(object) for name in STRINGS}
    feeds |= {name: x[[name]].to_numpy(np.float32) for name in NUMBERS}
    return session.run(["output_label", "output_probability"], feeds)


def check(model, fitted, x):
    """Refuse a file that does not compute what was trained, or depends on batching."""
    species, probabilities = predict(model, x)
    table = np.array([[row[c] for c in fitted.classes_] for row in probabilities])
    assert np.allclose(table, fitted.predict_proba(x), atol=1e-5), "not what was trained"
    assert np.array_equal(species, fitted.predict(x)), "not what was trained"
    for i in range(len(x)):
        alone, [row] = predict(model, x.iloc[i : i + 1])
        assert alone[0] == species[i], f"row {i} differs alone"
        assert np.allclose([row[c] for c in fitted.classes_], table[i], atol=1e-6), f"row {i}"


def summary(model, indices, y, species):
    """What heldout.json states."""
    right = y == species
    return {
        "model": "penguins.onnx",
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
                "predicted": int((species == c).sum()),
            }
            for c in sorted(set(y))
        ],
        "mistakes": [
            {"index": int(indices[i]), "label": y[i], "predicted": species[i]}
            for i in np.flatnonzero(~right)
        ],
        "indices": indices.tolist(),
        "trainedWith": {
            "python": ".".join(platform.python_version_tuple()[:2]),
            "scikit-learn": sklearn.__version__,
            "skl2onnx": skl2onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
        },
    }


def main():
    birds = load_penguins()
    x, y = clean(birds), birds["species"].to_numpy(object)
    learn, held = train_test_split(
        np.arange(len(birds)), test_size=HELD_OUT, random_state=SEED, stratify=y
    )
    held.sort()

    fitted = pipeline().fit(x.iloc[learn], y[learn])
    model = export(fitted)
    check(model, fitted, x.iloc[held])
    species, _ = predict(model, x.iloc[held])
    stated = summary(model, held, y[held], species)

    (HERE / "penguins.onnx").write_bytes(model)
    # The columns as the data set has them, a missing value empty.
    rows = birds.iloc[held].to_csv(index_label="index", float_format="%g", lineterminator="\n")
    (HERE / "heldout.csv").write_text(rows)
    text = json.dumps(stated, indent=2)
    # One line for each innermost list or object reads better.
    text = re.sub(r"[\[{][^\[\]{}]+[\]}]", lambda m: re.sub(r"\s+", " ", m[0]), text)
    (HERE / "heldout.json").write_text(text + "\n")
    right, total = stated["correct"], stated["rows"]
    print(f"penguins.onnx: {len(model)} bytes, {right} of {total} held-out birds right")


if __name__ == "__main__":
    main()
