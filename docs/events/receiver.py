import os

from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError

app, seen = Flask(__name__), set()


@app.post("/events")
def receive():
    try:
        event = Webhook(os.environ["EVENTS_SECRET"]).verify(request.get_data(), dict(request.headers))
    except WebhookVerificationError:
        return "", 401
    if (id := request.headers["webhook-id"]) not in seen:  # in real life, a table with a unique column
        print(event["type"], event["data"])
        seen.add(id)
    return "", 204
