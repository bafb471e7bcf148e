"""Every type, in every form that carries it, and with no elements."""

from harness import Grpc, Http, case
from values import TYPES, binary, check_same, empty, finite, model


def register(datatype):
    name = datatype.lower()
    everything = [a for a in (finite(datatype), binary(datatype), empty(datatype)) if a is not None]

    @case(Http, name=f"{name}-binary")
    @case(Grpc, name=name)
    def raw(t, client):
        for array in everything:
            result = client.infer(model(datatype), [t.tensor("x", array, datatype)])
            check_same(result.as_numpy("y"), array)
            got = t.json(result.get_response())["outputs"][0]
            assert got["datatype"] == datatype, got

    # The client refuses BF16 in JSON, so BF16 goes there in binary.
    there = datatype == "BF16"

    @case(Http, name=f"{name}-json")
    def text(t, client):
        for array in (finite(datatype), empty(datatype)):
            inputs = [t.tensor("x", array, datatype, there)]
            result = client.infer(model(datatype), inputs, outputs=[t.output("y", False)])
            check_same(result.as_numpy("y"), array, bits=False)
            assert "data" in result.get_output("y"), result.get_output("y")


for _datatype in TYPES:
    register(_datatype)
