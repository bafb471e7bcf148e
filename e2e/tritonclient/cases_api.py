"""Health, metadata, statistics, the repository, and what a request may ask for."""

import queue

import numpy as np

from harness import Grpc, Http, case, check_refused
from values import TYPES, check_same, finite, model

FP32 = finite("FP32")


def infer(t, client, array=FP32, datatype="FP32", **asked):
    """One run of the type's identity model."""
    return client.infer(model(datatype), [t.tensor("x", array, datatype)], **asked)


@case(Http, Grpc)
def health(t, client):
    assert client.is_server_live() is True
    assert client.is_server_ready() is True
    assert client.is_model_ready("add_sub") is True


@case(Http, Grpc)
def server_metadata(t, client):
    got = t.json(client.get_server_metadata())
    assert got["name"] == "godwit", got
    assert got["version"], got
    assert "binary_tensor_data" in got["extensions"], got


@case(Http, Grpc)
def model_metadata(t, client):
    got = t.json(client.get_model_metadata("add_sub"))
    assert got["name"] == "add_sub", got
    shapes = {
        side: [(e["name"], e["datatype"], [int(n) for n in e["shape"]]) for e in got[side]]
        for side in ("inputs", "outputs")
    }
    assert shapes == {
        "inputs": [("a", "FP32", [-1, -1]), ("b", "FP32", [-1, -1])],
        "outputs": [("sum", "FP32", [-1, -1]), ("difference", "FP32", [-1, -1])],
    }, shapes
    for datatype in TYPES:
        got = t.json(client.get_model_metadata(model(datatype)))
        assert [e["datatype"] for e in got["inputs"]] == [datatype], got


@case(Http, Grpc)
def versions(t, client):
    [version] = t.json(client.get_model_metadata("identity_fp32"))["versions"]
    assert client.is_model_ready("identity_fp32", version) is True
    got = t.json(client.get_model_metadata("identity_fp32", version))
    assert got["versions"] == [version], got
    result = infer(t, client, model_version=version)
    check_same(result.as_numpy("y"), FP32)
    assert t.json(result.get_response())["model_version"] == version


@case(Http, Grpc)
def statistics(t, client):
    def count():
        [one] = t.json(client.get_inference_statistics("identity_int16"))["model_stats"]
        assert one["name"] == "identity_int16", one
        success = one.get("inference_stats", {}).get("success", {})
        return int(one.get("inference_count", 0)), int(success.get("count", 0))

    array = finite("INT16")
    before = count()
    infer(t, client, array, "INT16")
    infer(t, client, array, "INT16")
    after = count()
    # An inference is a row here, as in Triton: it is counted by the first dimension.
    assert after[0] - before[0] >= 2, (before, after)
    assert after[1] - before[1] == 2, (before, after)
    every = t.json(client.get_inference_statistics())["model_stats"]
    assert {"add_sub", "identity_int16"} <= {one["name"] for one in every}, every


@case(Http, Grpc)
def repository_index(t, client):
    got = t.json(client.get_model_repository_index())
    models = got["models"] if t is Grpc else got
    states = {one["name"]: one["state"] for one in models}
    want = {"add_sub", *map(model, TYPES)}
    assert want <= states.keys(), states
    assert {states[name] for name in want} == {"READY"}, states


@case(Http, Grpc)
def load_and_unload(t, client):
    check_refused(t, "unsupported", [], client.load_model, "add_sub")
    check_refused(t, "unsupported", [], client.unload_model, "add_sub")
    assert client.is_model_ready("add_sub") is True


@case(Http, Grpc)
def request_id(t, client):
    for wanted in ("", "42", "a request/ü"):
        got = t.json(infer(t, client, request_id=wanted).get_response())
        # Without an id the server may make one, or answer none.
        assert not wanted or got["id"] == wanted, got
        assert got["model_name"] == "identity_fp32", got


@case(Http, Grpc)
def parameters(t, client):
    ours = {"text": "ü", "number": -3, "flag": True, "ratio": 0.5}
    result = infer(t, client, parameters=ours, priority=1, timeout=30_000_000)
    check_same(result.as_numpy("y"), FP32)


@case(Http, Grpc)
def headers(t, client):
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    check_same(infer(t, client, headers=trace).as_numpy("y"), FP32)


A, B = np.array([[1.5, 2]], np.float32), np.array([[0.5, -3]], np.float32)
SUM, DIFFERENCE = A + B, A - B


def add_sub(t, client, outputs=None, binary=(True, True), **asked):
    inputs = [t.tensor("a", A, "FP32", binary[0]), t.tensor("b", B, "FP32", binary[1])]
    return client.infer("add_sub", inputs, outputs=outputs, **asked)


@case(Http, Grpc)
def outputs_all(t, client):
    result = add_sub(t, client)
    check_same(result.as_numpy("sum"), SUM)
    check_same(result.as_numpy("difference"), DIFFERENCE)


@case(Http, Grpc)
def outputs_one(t, client):
    result = add_sub(t, client, [t.output("difference")])
    check_same(result.as_numpy("difference"), DIFFERENCE)
    assert result.as_numpy("sum") is None


@case(Http, Grpc)
def outputs_turned(t, client):
    result = add_sub(t, client, [t.output("difference"), t.output("sum")])
    check_same(result.as_numpy("sum"), SUM)
    check_same(result.as_numpy("difference"), DIFFERENCE)
    names = [one["name"] for one in t.json(result.get_response())["outputs"]]
    assert names == ["difference", "sum"], names


@case(Http)
def binary_mixed(t, client):
    """One tensor of each side binary and the other in JSON, both ways round."""
    for binary in ((True, False), (False, True)):
        wanted = [t.output("sum", binary[0]), t.output("difference", binary[1])]
        result = add_sub(t, client, wanted, binary)
        check_same(result.as_numpy("sum"), SUM)
        check_same(result.as_numpy("difference"), DIFFERENCE)
        for name, flag in zip(("sum", "difference"), binary):
            got = result.get_output(name)
            assert ("data" in got) == (not flag), got


@case(Http)
def binary_one_way(t, client):
    """Binary in and JSON out, and the other way."""
    for there, back in ((True, False), (False, True)):
        inputs = [t.tensor("x", FP32, "FP32", there)]
        result = client.infer("identity_fp32", inputs, outputs=[t.output("y", back)])
        check_same(result.as_numpy("y"), FP32, bits=back)


LONG = np.arange(1000, dtype=np.float32).reshape(50, 20)


@case(Http)
def compression(t, client):
    """Every pair of request and response compression, binary and JSON."""
    ways = (None, "gzip", "deflate")
    for there, back in [(r, s) for r in ways for s in ways][1:]:
        for binary in (True, False):
            result = client.infer(
                "identity_fp32",
                [t.tensor("x", LONG, "FP32", binary)],
                outputs=[t.output("y", binary)],
                request_compression_algorithm=there,
                response_compression_algorithm=back,
            )
            check_same(result.as_numpy("y"), LONG)


@case(Grpc)
def compression_gzip(t, client):
    check_same(infer(t, client, LONG, compression_algorithm="gzip").as_numpy("y"), LONG)


@case(Grpc)
def compression_deflate(t, client):
    check_same(infer(t, client, LONG, compression_algorithm="deflate").as_numpy("y"), LONG)


@case(Http)
def one_connection(t, client):
    """Requests of different length one after the other."""
    for rows in (1, 50, 0, 7):
        check_same(infer(t, client, LONG[:rows]).as_numpy("y"), LONG[:rows])


@case(Http, connections=4)
def many_at_once(t, client):
    arrays = [np.full((1, 3), i, np.int32) for i in range(20)]
    waiting = [
        client.async_infer("identity_int32", [t.tensor("x", a, "INT32")], request_id=str(i))
        for i, a in enumerate(arrays)
    ]
    results = [request.get_result(timeout=30) for request in waiting]
    for i, result in enumerate(results):
        check_same(result.as_numpy("y"), arrays[i])
        assert result.get_response()["id"] == str(i)


@case(Grpc, name="many-at-once")
def many_at_once_grpc(t, client):
    answers = queue.Queue()
    arrays = [np.full((1, 3), i, np.int32) for i in range(20)]
    for i, a in enumerate(arrays):
        client.async_infer(
            "identity_int32",
            [t.tensor("x", a, "INT32")],
            callback=lambda result, error: answers.put((result, error)),
            request_id=str(i),
        )
    seen = set()
    for _ in arrays:
        result, error = answers.get(timeout=30)
        assert error is None, error
        at = int(result.get_response().id)
        check_same(result.as_numpy("y"), arrays[at])
        seen.add(at)
    assert len(seen) == len(arrays), seen


@case(Http, Grpc, keep=False)
def large(t, client):
    """More than gRPC's usual limit of 4 MiB, both ways; too long to be kept."""
    array = np.arange(6 << 18, dtype=np.float32).reshape(-1, 1024)
    check_same(infer(t, client, array).as_numpy("y"), array)
