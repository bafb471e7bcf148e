"""BentoML: a service with workers, the protocol's route in an ASGI app that it mounts.

Its batcher stands before its own APIs only, whose answers have another form.
"""
import bentoml
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import common
import oip

models = {}


async def ready(request: Request):
    return Response()


async def infer(request: Request):
    model = models[request.path_params["name"]]
    body, headers = oip.answer(model, await request.body(), request.headers.get(oip.LENGTH))
    return Response(body, headers=headers)


routes = [Route("/v2/health/ready", ready), Route("/v2/models/{name}/infer", infer, methods=["POST"])]


@bentoml.service(
    workers=common.WORKERS,
    threads=1,
    traffic={"timeout": 60, "max_concurrency": 1024},
    logging={"access": {"enabled": False}},
    metrics={"enabled": False},
)
@bentoml.asgi_app(Starlette(routes=routes))
class Served:
    def __init__(self):
        models.update(common.sessions())
