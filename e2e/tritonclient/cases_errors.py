"""What is refused: with the client's exception, our code, and words that help."""

import numpy as np

from harness import Grpc, Http, case, check_refused
from values import binary, check_same, finite

FP32 = finite("FP32")


def usable(t, client):
    """The connection still answers after a refusal."""
    result = client.infer("identity_fp32", [t.tensor("x", FP32, "FP32")])
    check_same(result.as_numpy("y"), FP32)


def refusal(*transports):
    """Registers a case that ends with a request that succeeds."""

    def register(run):
        def then_usable(t, client):
            run(t, client)
            usable(t, client)

        case(*transports, name="refused-" + run.__name__.replace("_", "-"))(then_usable)
        return run

    return register


@refusal(Http, Grpc)
def unknown_model(t, client):
    inputs = [t.tensor("x", FP32, "FP32")]
    check_refused(t, "not_found", ['"nosuch"'], client.infer, "nosuch", inputs)
    check_refused(t, "not_found", ['"nosuch"'], client.get_model_metadata, "nosuch")
    check_refused(t, "not_found", ['"nosuch"'], client.get_inference_statistics, "nosuch")


@refusal(Http, Grpc)
def unknown_version(t, client):
    inputs = [t.tensor("x", FP32, "FP32")]
    words = ['"identity_fp32"', '"99"']
    check_refused(t, "not_found", words, client.infer, "identity_fp32", inputs, "99")


@refusal(Http)
def unknown_model_ready(t, client):
    assert client.is_model_ready("nosuch") is False


@refusal(Http, Grpc)
def wrong_rank(t, client):
    inputs = [t.tensor("x", FP32[0], "FP32")]
    words = ['"x"', "want FP32 [-1 -1]", "got FP32 [3]"]
    check_refused(t, "invalid", words, client.infer, "identity_fp32", inputs)


@refusal(Http, Grpc)
def wrong_type(t, client):
    inputs = [t.tensor("x", finite("INT32"), "INT32")]
    words = ['"x"', "want FP32 [-1 -1]", "got INT32 [2 3]"]
    check_refused(t, "invalid", words, client.infer, "identity_fp32", inputs)


@refusal(Http, Grpc)
def wrong_size(t, client):
    """A shape that the data do not fill."""
    for array, datatype in ((FP32, "FP32"), (finite("BYTES"), "BYTES")):
        tensor = t.tensor("x", array, datatype).set_shape([2, 4])
        name = "identity_" + datatype.lower()
        check_refused(t, "invalid", ['"x"'], client.infer, name, [tensor])


@refusal(Http)
def wrong_size_json(t, client):
    tensor = t.tensor("x", FP32, "FP32", binary=False).set_shape([2, 4])
    check_refused(t, "invalid", ['"x"'], client.infer, "identity_fp32", [tensor])


@refusal(Http, Grpc)
def unknown_input(t, client):
    inputs = [t.tensor("x", FP32, "FP32"), t.tensor("z", FP32, "FP32")]
    check_refused(t, "invalid", ['"z"', '"x"'], client.infer, "identity_fp32", inputs)


@refusal(Http, Grpc)
def missing_input(t, client):
    inputs = [t.tensor("a", FP32, "FP32")]
    check_refused(t, "invalid", ['"b"'], client.infer, "add_sub", inputs)


@refusal(Http, Grpc)
def input_twice(t, client):
    inputs = [t.tensor("x", FP32, "FP32"), t.tensor("x", FP32, "FP32")]
    check_refused(t, "invalid", ['"x"'], client.infer, "identity_fp32", inputs)


@refusal(Http, Grpc)
def unknown_output(t, client):
    inputs = [t.tensor("x", FP32, "FP32")]
    words = ['"z"', '"y"']
    wanted = [t.output("z")]
    check_refused(t, "invalid", words, client.infer, "identity_fp32", inputs, outputs=wanted)


@refusal(Http)
def nan_in_json(t, client):
    """JSON has no NaN: refused as an input, and as an output only where it occurs."""
    array = binary("FP32")
    inputs = [t.tensor("x", array, "FP32", binary=False)]
    check_refused(t, "invalid", [], client.infer, "identity_fp32", inputs)
    inputs, wanted = [t.tensor("x", array, "FP32")], [t.output("y", binary=False)]
    call = client.infer
    check_refused(t, "unprocessable", ['"y"'], call, "identity_fp32", inputs, outputs=wanted)


@refusal(Http)
def not_utf8_in_json(t, client):
    inputs = [t.tensor("x", binary("BYTES"), "BYTES")]
    wanted = [t.output("y", binary=False)]
    call = client.infer
    check_refused(t, "unprocessable", ['"y"'], call, "identity_bytes", inputs, outputs=wanted)


@refusal(Http)
def compressed(t, client):
    """The client reads an error's body as it is, so errors are never compressed."""
    for algorithm in ("gzip", "deflate"):
        check_refused(
            t,
            "not_found",
            ['"nosuch"'],
            client.infer,
            "nosuch",
            [t.tensor("x", np.zeros((100, 100), np.float32), "FP32")],
            request_compression_algorithm=algorithm,
            response_compression_algorithm=algorithm,
        )


@refusal(Http)
def not_compressed_at_all(t, client):
    """A body that is not what its Content-Encoding says."""
    inputs = [t.tensor("x", FP32, "FP32")]
    headers = {"Content-Encoding": "gzip"}
    check_refused(t, "invalid", [], client.infer, "identity_fp32", inputs, headers=headers)


@refusal(Http)
def unknown_encoding(t, client):
    inputs = [t.tensor("x", FP32, "FP32")]
    headers = {"Content-Encoding": "br"}
    check_refused(t, "media", ["br"], client.infer, "identity_fp32", inputs, headers=headers)
