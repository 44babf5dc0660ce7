"""What one writes in an afternoon: FastAPI in front of stock RQ, without any telemetry."""

import os

from fastapi import FastAPI
from pydantic import BaseModel
from redis import Redis
from rq import Queue

from benchmarks.bare import bare

app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})
queue = Queue("plain", connection=Redis.from_url(os.environ["REDIS_URL"]))


class Work(BaseModel):
    """A submission."""

    agent: str
    input: dict[str, object] = {}


@app.post("/tasks", status_code=202)
def submit(work: Work) -> dict[str, str]:
    """Enqueue one job."""
    job = queue.enqueue(bare, result_ttl=3600, meta={"agent": work.agent})
    return {"id": job.id}
