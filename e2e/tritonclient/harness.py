"""How a case is declared, and how each half of tritonclient is called."""

import tritonclient.grpc
import tritonclient.http
from google.protobuf.json_format import MessageToDict
from tritonclient.utils import InferenceServerException

TIMEOUT = 60  # seconds for one call
CASES = []


class Case:
    """A function that takes a client, over one transport, and asserts."""

    def __init__(self, name, transport, run, keep, connections):
        self.name, self.transport, self.run = name, transport, run
        self.keep, self.connections = keep, connections


def case(*transports, name=None, keep=True, connections=1):
    """Registers a function as a case for these transports.

    keep says whether the bytes are stored, connections how many HTTP may open.
    """

    def register(run):
        base = name or run.__name__.replace("_", "-")
        for t in transports:
            CASES.append(Case(f"{t.name}-{base}", t, run, keep, connections))
        return run

    return register


class Http:
    """How the HTTP half of tritonclient is called."""

    name = "http"
    codes = {
        "invalid": "400",
        "not_found": "404",
        "too_large": "413",
        "unprocessable": "422",
        "unsupported": "501",
        "media": "415",
    }

    @staticmethod
    def client(address, connections):
        return tritonclient.http.InferenceServerClient(
            address, concurrency=connections, network_timeout=TIMEOUT
        )

    @staticmethod
    def tensor(name, array, datatype, binary=True):
        t = tritonclient.http.InferInput(name, list(array.shape), datatype)
        return t.set_data_from_numpy(array, binary_data=binary)

    @staticmethod
    def output(name, binary=True):
        return tritonclient.http.InferRequestedOutput(name, binary_data=binary)

    @staticmethod
    def json(message):
        return message


class Grpc:
    """How the gRPC half is called; its tensors are always raw bytes."""

    name = "grpc"
    codes = {
        "invalid": "StatusCode.INVALID_ARGUMENT",
        "not_found": "StatusCode.NOT_FOUND",
        "unsupported": "StatusCode.UNIMPLEMENTED",
    }

    @staticmethod
    def client(address, connections):
        return tritonclient.grpc.InferenceServerClient(address)

    @staticmethod
    def tensor(name, array, datatype, binary=True):
        t = tritonclient.grpc.InferInput(name, list(array.shape), datatype)
        return t.set_data_from_numpy(array)

    @staticmethod
    def output(name, binary=True):
        return tritonclient.grpc.InferRequestedOutput(name)

    @staticmethod
    def json(message):
        return MessageToDict(message, preserving_proto_field_name=True)


def check_refused(transport, code, words, call, *args, **kwargs):
    """The call raises the client's exception with this code and all these words."""
    try:
        call(*args, **kwargs)
    except InferenceServerException as e:
        assert e.status() == transport.codes[code], f"want {transport.codes[code]}, got {e}"
        for word in words:
            assert word in e.message(), f"want {word!r} in the message, got {e.message()!r}"
        return
    raise AssertionError(f"want the code {code}, got an answer")
