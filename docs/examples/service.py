"""A service over the models of a bundle, for gunicorn or any other WSGI server:

    BUNDLE=bundle gunicorn --workers 4 service:app
    POST /MODEL with an .npz of its inputs; the answer is an .npz of its outputs

Not with --preload: the threads of sessions do not survive fork(), so each worker opens the bundle
for itself. Over packs ('wshare pack') all workers have one copy of the weights. After `wshare
append`, `kill -HUP` of gunicorn serves the new model.
"""

import io
import os

import numpy
import wshare

bundle = wshare.Bundle(os.environ["BUNDLE"])
sessions = {name: bundle.session(name) for name in bundle.names}


def run(session, body):
    with numpy.load(io.BytesIO(body), allow_pickle=False) as inputs:
        outputs = session.run(None, dict(inputs))
    answer = io.BytesIO()
    numpy.savez(answer, **{each.name: array for each, array in zip(session.get_outputs(), outputs)})
    return answer.getvalue()


def app(environ, start_response):
    session = sessions.get(environ["PATH_INFO"].strip("/"))
    if session is None:
        start_response("404 Not Found", [("Content-Type", "text/plain")])
        return [b"no such model\n"]
    try:
        body = run(session, environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)))
    except Exception as error:  # numpy's of a body that is no .npz, onnxruntime's of other inputs
        start_response("400 Bad Request", [("Content-Type", "text/plain")])
        return [f"{error}\n".encode()]
    start_response("200 OK", [("Content-Type", "application/octet-stream"), ("Content-Length", str(len(body)))])
    return [body]
