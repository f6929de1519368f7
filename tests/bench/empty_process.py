"""An empty route with the schemas of ``POST /v1/exchanges``, served as the API is.

Run as a process: it reads the answer to give from its first line, and ends with its parent.
"""

from __future__ import annotations

import sys
from typing import Any

import orjson
import uvicorn
from fastapi import FastAPI

from service.cli.leash import end_with_parent
from service.http.schemas.exchanges import ExchangeOut, ProposeBody
from service.http.serving import configuration


def make_app(answer: dict[str, Any]) -> FastAPI:
    """Return an application whose one route reads what it is told and says ``answer``."""
    app = FastAPI()

    @app.post("/v1/exchanges", response_model=ExchangeOut, status_code=201)
    async def propose(_body: ProposeBody) -> dict[str, Any]:
        return answer

    return app


def main() -> None:
    """Serve on the port of the first argument."""
    answer = orjson.loads(sys.stdin.readline())
    end_with_parent()
    served = configuration(make_app(answer), host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop")
    uvicorn.Server(served).run()


if __name__ == "__main__":
    main()
