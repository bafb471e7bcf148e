"""PyTriton: Triton's own server in C++, which calls ONNX Runtime in Python processes."""
import numpy as np
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig

import common

SHAPES = {"small": ((64,), (16,)), "image": ((3, 224, 224), (3, 1, 1))}


def served(model):
    @batch
    def infer(x):
        return {"y": model(x)}

    return infer


if __name__ == "__main__":
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=common.HTTP,
        grpc_address="127.0.0.1",
        grpc_port=common.GRPC,
        allow_metrics=False,
        log_verbose=0,
    )
    with Triton(config=config) as triton:
        for name, (x, y) in SHAPES.items():
            triton.bind(
                model_name=name,
                infer_func=[served(common.Model(name)) for _ in range(common.WORKERS)],
                inputs=[Tensor(name="x", dtype=np.float32, shape=x)],
                outputs=[Tensor(name="y", dtype=np.float32, shape=y)],
                config=ModelConfig(
                    max_batch_size=max(1, common.BATCH),
                    batcher=DynamicBatcher(max_queue_delay_microseconds=0),
                ),
                strict=False,
            )
        triton.serve()
