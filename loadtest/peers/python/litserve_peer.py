"""LitServe: an API and workers of its own for each model, what is queued goes into one run."""
import numpy as np
from fastapi import Response
import litserve as ls

import common
import oip


class Served(ls.LitAPI):
    def __init__(self, name):
        self.name = name
        super().__init__(max_batch_size=max(1, common.BATCH), batch_timeout=0.0, api_path=f"/v2/models/{name}/infer")

    def setup(self, device):
        self.run = common.Model(self.name)

    def decode_request(self, request):
        return common.array(request["inputs"][0])

    def predict(self, x):
        return self.run(x)

    def encode_response(self, y):
        return Response(oip.plain(self.name, y), media_type="application/json")


class Batched(Served):
    def batch(self, rows):
        return np.concatenate(rows)

    def unbatch(self, y):
        return [row[None] for row in y]


if __name__ == "__main__":
    api = Batched if common.BATCH else Served
    server = ls.LitServer(
        [api(name) for name in common.MODELS],
        accelerator="cpu",
        workers_per_device=common.WORKERS,
        healthcheck_path="/v2/health/ready",
        fast_queue=True,
    )
    server.run(
        host="127.0.0.1",
        port=common.HTTP,
        num_api_servers=common.WORKERS,
        log_level="warning",
        generate_client_file=False,
        access_log=False,
    )
