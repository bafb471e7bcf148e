"""Ray Serve: FastAPI as the ingress of a deployment with a replica for each worker."""
import os
import signal

import numpy as np
import ray
from fastapi import FastAPI, Request, Response
from ray import serve

import common
import oip

app = FastAPI()


@serve.deployment(num_replicas=common.WORKERS, max_ongoing_requests=64, ray_actor_options={"num_cpus": 0.5})
@serve.ingress(app)
class Served:
    def __init__(self):
        self.models = common.sessions()

    @serve.batch(max_batch_size=max(1, common.BATCH), batch_wait_timeout_s=0)
    async def small(self, rows):
        y = self.models["small"](np.concatenate(rows))
        return [row[None] for row in y]

    @app.get("/v2/health/ready")
    async def ready(self):
        return {}

    @app.post("/v2/models/{name}/infer")
    async def infer(self, name: str, request: Request):
        body, length = await request.body(), request.headers.get(oip.LENGTH)
        if common.BATCH and name == "small":
            x = common.array(oip.orjson.loads(body)["inputs"][0])
            return Response(oip.plain(name, await self.small(x)), media_type="application/json")
        answer, headers = oip.answer(self.models[name], body, length)
        return Response(answer, headers=headers)


if __name__ == "__main__":
    ray.init(
        num_cpus=4,  # what replicas may ask for together, not what there is
        include_dashboard=False,
        object_store_memory=128 << 20,
        log_to_driver=False,
        runtime_env={"working_dir": None},
    )
    serve.start(http_options={"host": "127.0.0.1", "port": common.HTTP}, logging_config={"enable_access_log": False, "log_level": "WARNING"})
    serve.run(Served.bind(), route_prefix="/", logging_config={"enable_access_log": False, "log_level": "WARNING"})
    signal.pause()
