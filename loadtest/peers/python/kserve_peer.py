"""KServe's own model server: JSON, binary tensors and gRPC by itself."""
import sys

import common

# KServe's flags are parsed when it is imported.
sys.argv += [
    f"--http_port={common.HTTP}",
    f"--grpc_port={common.GRPC}",
    f"--workers={common.WORKERS}",
    "--event-loop=uvloop",
    "--enable_latency_logging=false",
    "--log_config_file=kserve_log.yaml",
]

from kserve import InferOutput, InferResponse, Model, ModelServer  # noqa: E402


class Served(Model):
    def load(self):
        self.run, self.ready = common.Model(self.name), True
        return True

    async def predict(self, payload, headers=None, response_headers=None):
        y = self.run(payload.inputs[0].as_numpy())
        output = InferOutput(name="y", shape=list(y.shape), datatype="FP32")
        # As the caller asks: with the binary extension bytes come back as bytes.
        output.set_data_from_numpy(y, binary_data=payload.use_binary_outputs or payload.from_grpc)
        return InferResponse(response_id=payload.id or "1", model_name=self.name, infer_outputs=[output])


if __name__ == "__main__":
    served = [Served(name) for name in common.MODELS]
    for model in served:
        model.load()
    ModelServer().start(served)
