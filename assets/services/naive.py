"""A service that works, as long as everybody behaves. Make of it one that can be put before users.

It is started as `uvicorn service:app`, with everything that differs from place to place in its environment.
"""

import os

import httpx
from fastapi import FastAPI

ENGINE = os.environ["ENGINE_URL"]
KEYS = os.environ["API_KEYS"].split(",")
MAX_RUNNING, MAX_WAITING = int(os.environ["MAX_RUNNING"]), int(os.environ["MAX_WAITING"])
TIMEOUT_S = float(os.environ["TIMEOUT_S"])
RETRY_BUDGET = int(os.environ["RETRY_BUDGET"])

engine = httpx.AsyncClient(base_url=ENGINE, timeout=None, trust_env=False)
app = FastAPI(title="Completions")


@app.post("/v1/completions")
async def complete(request: dict):
    """Hand the request on, wait for the whole answer, hand it back."""
    answer = await engine.post("/v1/completions", json={**request, "stream": False})
    return answer.json()
