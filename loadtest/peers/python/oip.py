"""The Open Inference Protocol by hand, for peers that do not speak it themselves."""
import numpy as np
import orjson

from common import array

LENGTH = "inference-header-content-length"


def answer(model, body, length):
    """Runs model on a request's body and returns the answer's body and headers.

    length is the request's Inference-Header-Content-Length, None where all of
    it is JSON; the answer then is JSON too.
    """
    if length is None:
        y = model(array(orjson.loads(body)["inputs"][0]))
        return plain(model.name, y), {"content-type": "application/json"}
    at = int(length)
    given = orjson.loads(body[:at])["inputs"][0]
    y = model(np.frombuffer(body, np.float32, offset=at).reshape(given["shape"]))
    head = orjson.dumps(
        {
            "model_name": model.name,
            "outputs": [
                {"name": "y", "datatype": "FP32", "shape": y.shape, "parameters": {"binary_data_size": y.nbytes}}
            ],
        }
    )
    return head + y.tobytes(), {"content-type": "application/octet-stream", LENGTH: str(len(head))}


def plain(name, y):
    """The answer in JSON."""
    output = {"name": "y", "datatype": "FP32", "shape": y.shape, "data": y.ravel()}
    return orjson.dumps({"model_name": name, "outputs": [output]}, option=orjson.OPT_SERIALIZE_NUMPY)
