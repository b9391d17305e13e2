"""Web application: routes of the API and of the pages."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from surrogate_nas.foundation.errors import InputError, JobError
from surrogate_nas.report.assets import STYLE
from surrogate_nas.report.drawing import FIGURES
from surrogate_nas.report.writing import FRONT
from surrogate_nas.serve import pages
from surrogate_nas.serve.api_page import api_page
from surrogate_nas.serve.bodies import Best, Query, first_error
from surrogate_nas.serve.gate import Gate, refusal
from surrogate_nas.serve.live import Live
from surrogate_nas.serve.snapshot import Snapshot, as_json
from surrogate_nas.study.results import Answer

ASSETS = {path.name: path.read_bytes() for path in files("surrogate_nas.serve").joinpath("assets").iterdir()}
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml", "png": "image/png", "csv": "text/csv"}
REFUSALS: dict[int | str, dict[str, Any]] = {
    422: {"description": 'The request is invalid: `{"error": "…"}`, one line.'},
    409: {"description": "There is no surrogate yet."},
    413: {"description": "The body is too long."},
    400: {"description": "The body is not JSON, or the host is not served here."},
}
NO_NETWORK: dict[int | str, dict[str, Any]] = {404: {"description": "There is no such network."}}


def make_app(live: Live, host: str) -> ASGIApp:
    """Make the ASGI application that uvicorn serves.

    Args:
        live: the study, which is followed while the application runs.
        host: host that the server listens on.
    """

    @asynccontextmanager
    async def following(_: FastAPI) -> AsyncIterator[None]:
        async with live:
            yield

    app = FastAPI(
        title="surrogate-nas",
        description="Predictions of a study's surrogate, and its trained networks.",
        lifespan=following,
        docs_url=None,
        redoc_url=None,
        swagger_ui_oauth2_redirect_url=None,
    )
    _add_api(app, live)
    _add_pages(app, live)
    _add_errors(app)
    return Gate(app, host)


def _add_api(app: FastAPI, live: Live) -> None:
    """Add the routes for programs."""

    @app.post("/query", response_model=list[Answer], responses=REFUSALS, summary="Predict architectures")
    async def query(body: Query) -> Response:
        """Predictions for a new training of each architecture, with 90 % intervals: the document of
        `surrogate-nas query --json`."""
        return await _answer(live, lambda now: now.query(body.encodings, body.thresholds, body.limits))

    @app.post("/best", responses=REFUSALS, summary="The best architectures within limits")
    async def best(body: Best) -> Response:
        """Best predictions among a few hundred architectures that were evolved in advance for many budgets;
        `surrogate-nas query --best` searches more. `choices` are indices into the genes' values in `/space`."""
        return await _answer(live, lambda now: now.best(body.n, body.limits))

    @app.get("/space", summary="The search space")
    async def space() -> Response:
        """Genes with their values, exit positions, and the study's limits."""
        return await _answer(live, lambda now: now.space_document())

    @app.get("/trained", summary="The trained networks")
    async def trained() -> Response:
        """One entry per trained network, in the order of their proposals."""
        return await _answer(live, lambda now: now.networks_document())

    @app.get("/trained/{id}", responses=NO_NETWORK, summary="One network along its threshold curve")
    async def card(id: str) -> Response:
        """Every Pareto-optimal operating point on tune, cheapest first, with its measurements on test."""
        try:
            return await _answer(live, lambda now: now.card(id))
        except KeyError:
            raise HTTPException(404, f"no trained network {id!a}; see /trained") from None

    @app.get("/state", summary="State of the server")
    async def state() -> dict[str, Any]:
        """Number of trainings in the report and the surrogate, and whether an update is in progress."""
        return pages.state_document(live)


async def _answer(live: Live, question: Callable[[Snapshot], object]) -> Response:
    content = await live.ask(lambda snapshot: as_json(question(snapshot)))
    return Response(content, media_type="application/json")


def _add_pages(app: FastAPI, live: Live) -> None:
    """Add the routes of pages and of their files, which are served from memory."""
    page = partial(app.get, include_in_schema=False, response_class=HTMLResponse)
    file = partial(app.get, include_in_schema=False)

    @page("/")
    async def report() -> HTMLResponse:
        return HTMLResponse(pages.report_page(live), headers=pages.REPORT_HEADERS)

    @page("/networks")
    async def networks() -> str:
        return pages.networks_page(live.snapshot)

    @page("/what-if")
    async def what_if() -> str:
        return pages.what_if_page(live.snapshot)

    @page("/docs")
    async def docs() -> str:
        return api_page(app.openapi())

    @file("/style.css")
    async def style() -> Response:
        return Response(STYLE, media_type=KINDS["css"])

    @file("/assets/{name}")
    async def asset(name: str) -> Response:
        return _file(ASSETS, name)

    @file(f"/{FIGURES}/{{name}}")
    async def figure(name: str) -> Response:
        return _file(live.snapshot.files, f"{FIGURES}/{name}")

    @file(f"/{FRONT}")
    async def front() -> Response:
        return _file(live.snapshot.files, FRONT)


def _file(content: Mapping[str, bytes], name: str) -> Response:
    if name not in content:
        raise HTTPException(404, f"nothing at {name!a}")
    return Response(content[name], media_type=KINDS[name.rpartition(".")[2]])


def _add_errors(app: FastAPI) -> None:
    """Add handlers that turn every error into one line of JSON."""

    @app.exception_handler(HTTPException)
    async def no_page(request: Request, error: HTTPException) -> Response:
        has_detail = error.detail != "Not Found"
        return refusal(
            error.status_code,
            error.detail if has_detail else f"nothing at {request.url.path!a}; see /docs",
            error.headers,
        )

    @app.exception_handler(RequestValidationError)
    async def wrong_body(_: Request, error: RequestValidationError) -> Response:
        return refusal(422, first_error(error.errors()))

    @app.exception_handler(InputError)
    async def wrong_input(_: Request, error: InputError) -> Response:
        return refusal(422, str(error))

    @app.exception_handler(JobError)
    async def not_possible(_: Request, error: JobError) -> Response:
        return refusal(409, str(error))

    @app.exception_handler(Exception)
    async def broken(_: Request, error: Exception) -> Response:
        return refusal(500, f"the server failed: {type(error).__name__}")
