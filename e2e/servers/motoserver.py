"""moto as a server: S3, SQS and DynamoDB at one port. S3's requests are done one at a time: moto looks whether an
object is there and writes it without a lock around both, which S3 does not."""

import io
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple

app = DomainDispatcherApplication(create_backend_app)
turn = threading.Lock()


def serve(environ, start_response):
    if "HTTP_X_AMZ_TARGET" in environ:  # SQS, where a call may wait for messages, and DynamoDB
        return app(environ, start_response)
    if environ.get("CONTENT_LENGTH"):  # nobody's slow upload keeps others waiting
        environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    with turn:
        return list(app(environ, start_response))


run_simple("127.0.0.1", int(sys.argv[1]), serve, threaded=True)
