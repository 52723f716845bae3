"""The REST API of all features: their routers, and what belongs to none of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Response

from dozor.app.door import EXPORTS, PageTokens
from dozor.app.settings import Settings
from dozor.features.access import api as access_api
from dozor.features.access.service import Access
from dozor.features.traffic.api import build_router as traffic_router
from dozor.features.traffic.model import SourceStatus
from dozor.features.traffic.ports import TrafficQueries
from dozor.infra.admission import needs
from dozor.infra.problems import NotFoundError
from dozor.infra.queries import Query, QueryPool
from dozor.kernel.i18n import _
from dozor.wire.base import RandomId
from dozor.wire.problem import Problem
from dozor.wire.queries import QueryStatus

_FAILURES: dict[int | str, dict[str, Any]] = {
    404: {"model": Problem, "description": "There is no such query, or it ended long ago."},
    422: {"model": Problem, "description": "The id is not a random UUID (version 4)."},
}

Id = Annotated[RandomId, Path(description="The `query_id` that the query was sent with.")]


def api_routers(
    queries: TrafficQueries, sources: Callable[[], Sequence[SourceStatus]], pool: QueryPool
) -> Sequence[APIRouter]:
    """All routers, to be included below `/api/v1` of an application with `infra.problems.install`.

    Args:
        queries: What is asked about traffic.
        sources: Tells how the followed logs are.
        pool: Where questions are asked; its owner closes it.
    """
    return (traffic_router(queries, sources, pool=pool), queries_router(pool))


def access_routers(settings: Settings, access: Access, pages: PageTokens) -> Sequence[APIRouter]:
    """Routers of people, keys and the audit trail."""
    return access_api.build_routers(access, pages, EXPORTS, refresh_seconds=settings.access.refresh_token_s)


def queries_router(pool: QueryPool) -> APIRouter:
    """`/queries/{id}`: how far a long query is, and its end."""
    router = APIRouter(prefix="/queries", tags=["queries"], responses=_FAILURES)

    @router.get(
        "/{id}", operation_id="query_status", response_model=QueryStatus, openapi_extra=needs("traffic.read")
    )
    async def status(id: Id) -> Response:  # noqa: A002 - the parameter's name
        """How far a query is; kept for five minutes after its end."""
        query = _found(pool, id)
        told = QueryStatus(id=id, state=query.state.value, progress=query.done, elapsed_seconds=query.elapsed)
        return Response(
            told.model_dump_json(), media_type="application/json", headers={"Cache-Control": "no-store"}
        )

    @router.delete("/{id}", operation_id="query_cancel", status_code=204, openapi_extra=needs("traffic.read"))
    async def cancel(id: Id) -> None:  # noqa: A002
        """Call a query off; one that ended stays as it is."""
        _found(pool, id).cancel()

    return router


def _found(pool: QueryPool, id_: UUID) -> Query:
    query = pool.find(id_)
    if query is None:
        raise NotFoundError(
            _("There is no query {id}.").format(id=id_),
            hint=_("It has not come yet, or ended more than five minutes ago."),
        )
    return query
