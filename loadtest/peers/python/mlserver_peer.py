"""MLServer, started by its own class with a runtime for ONNX Runtime, which it has none for."""
import asyncio

from mlserver import MLModel, MLServer, ModelSettings, Settings
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse

import common


class Onnx(MLModel):
    async def load(self):
        self.run = common.Model(self.name)
        return True

    async def predict(self, payload):
        y = self.run(NumpyCodec.decode_input(payload.inputs[0]))
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])


async def main():
    # Importable by its name: workers are other processes.
    from mlserver_peer import Onnx as runtime

    server = MLServer(
        Settings(
            host="127.0.0.1",
            http_port=common.HTTP,
            grpc_port=common.GRPC,
            metrics_endpoint=None,
            parallel_workers=0 if common.WORKERS == 1 else common.WORKERS,
            debug=False,
            gzip_enabled=False,
            load_models_at_startup=True,
        )
    )
    batch = {"max_batch_size": common.BATCH, "max_batch_time": 0.001} if common.BATCH else {}
    await server.start([ModelSettings(name=name, implementation=runtime, **batch) for name in common.MODELS])


if __name__ == "__main__":
    asyncio.run(main())
