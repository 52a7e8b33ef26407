"""The least that takes uploads: one endpoint of FastAPI that answers 202 once the broker has the body. For benchmarks.

Run as `python -m streams.bench.bare_gateway PORT TOPIC`; the brokers are those of the settings.
"""

import asyncio
import sys

import uvicorn
from fastapi import FastAPI, Request, Response

from infra.kafka.publisher import Publisher
from infra.kafka.sender import DeliveryReport, OutRecord
from infra.settings import load_settings


def main(port: int, topic: str) -> None:
    publisher = Publisher(load_settings())
    app = FastAPI()

    @app.post("/v1/frames")
    async def upload(request: Request) -> Response:
        body = await request.body()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[DeliveryReport] = loop.create_future()

        def on_delivery(report: DeliveryReport) -> None:
            loop.call_soon_threadsafe(answer.set_result, report)

        publisher.send(OutRecord(topic, None, body, on_delivery=on_delivery))
        report = await answer
        return Response(b'{"taken":true}', 202 if report.fault is None else 503, media_type="application/json")

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", access_log=False, lifespan="off")


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
