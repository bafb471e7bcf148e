"""FastAPI under uvicorn with uvloop and httptools, as its documentation deploys it: a process per worker."""
import uvicorn
from fastapi import FastAPI, Request, Response

import common
import oip

app = FastAPI()
models = common.sessions() if __name__ != "__main__" else {}


@app.get("/v2/health/ready")
async def ready():
    return {}


# A run takes some microseconds: a thread for it would cost more than the run.
@app.post("/v2/models/{name}/infer")
async def infer(name: str, request: Request):
    body, headers = oip.answer(models[name], await request.body(), request.headers.get(oip.LENGTH))
    return Response(body, headers=headers)


if __name__ == "__main__":
    uvicorn.run(
        "fastapi_peer:app",
        host="127.0.0.1",
        port=common.HTTP,
        workers=common.WORKERS,
        loop="uvloop",
        http="httptools",
        access_log=False,
        log_level="warning",
    )
