"""The options and the data of a report."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy import BigInteger, case, cast, func, null, select

from session_store import analytics
from session_store.analytics.filters import total
from session_store.database import revisions, schemas
from session_store.database import storage as disk
from session_store.database.functions import bytewise
from session_store.models.models import METADATA

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import ColumnElement, Connection, Row

    from session_store.analytics import Filters, Price
    from session_store.database.access import AnySelect
    from session_store.database.time_functions import Unit

TOP: Final = 20
"""The number of tools, models and sessions shown by name; the others are summed."""

COLORS: Final = 6
"""The colors of the models in a chart; other models share one."""

_UNITS: Final[tuple[tuple[timedelta, Unit], ...]] = (
    (timedelta(days=3), "hour"),
    (timedelta(days=100), "day"),
    (timedelta(days=1100), "week"),
)
"""The longest range for each unit; a longer range uses months."""


class ReportOptions(NamedTuple):
    """The checked arguments of `page`."""

    since: datetime | None
    until: datetime | None
    tz: str
    owner: str | None
    prices: Mapping[str, Price] | None

    @property
    def filters(self) -> Filters:
        """The filters of the SELECTs."""
        return {"since": self.since, "until": self.until, "owner": self.owner}


class TopValues(NamedTuple):
    """The top rows; the number of all names, their total, and their total cost."""

    rows: Sequence[Row[Any]]
    names: int
    amount: int
    cost: float | None = None


class ReportData(NamedTuple):
    """The rows of each SELECT, by ``unit``; ``all_`` is the row without periods."""

    unit: Unit
    first_at: datetime
    last_at: datetime
    size: int
    all_activity: Row[Any]
    activity: Sequence[Row[Any]]
    owners: Sequence[Row[Any]]
    lengths: Sequence[Row[Any]]
    all_turns: Row[Any]
    turns: Sequence[Row[Any]]
    all_responses: Row[Any]
    responses: Sequence[Row[Any]]
    tools: TopValues
    models: TopValues
    tokens: Sequence[Row[Any]]
    busiest: Sequence[Row[Any]]
    storage: Sequence[Row[Any]]


def read(db: Connection, options: ReportOptions) -> ReportData | None:
    """Run all SELECTs; None without messages.

    Raises:
        SchemaOutOfDate: The tables are missing or at another revision.
        InvalidQuery: A price is invalid.
    """
    filters, tz = options.filters, options.tz
    models = analytics.tokens(prices=options.prices, **filters)
    revisions.require(db)
    first_at, last_at = db.execute(analytics.span(**filters)).one()
    if first_at is None:
        return None
    by = unit_of(last_at - first_at)
    top_models = _top(db, models, "input_tokens", "output_tokens")
    return ReportData(
        unit=by,
        first_at=first_at,
        last_at=last_at,
        size=disk.total_size(db, METADATA.tables, schemas.schema_of(db)),
        all_activity=db.execute(analytics.activity(None, **filters)).one(),
        activity=db.execute(analytics.activity(by, tz=tz, **filters)).all(),
        owners=db.execute(analytics.owners(by, tz=tz, **filters)).all(),
        lengths=db.execute(analytics.session_lengths(**filters)).all(),
        all_turns=db.execute(analytics.turns(**filters)).one(),
        turns=db.execute(analytics.turns(by, tz=tz, **filters)).all(),
        all_responses=db.execute(analytics.response_times(**filters)).one(),
        responses=db.execute(analytics.response_times(by, tz=tz, **filters)).all(),
        tools=_top(db, analytics.tools(**filters), "calls"),
        models=top_models,
        tokens=db.execute(_tokens(by, options, [row.model for row in top_models.rows[:COLORS]])).all(),
        busiest=db.execute(analytics.busiest_sessions(TOP, **filters)).all(),
        storage=db.execute(analytics.storage(by, tz=tz, **filters)).all(),
    )


def unit_of(span: timedelta) -> Unit:
    """Return the unit for a range of this length."""
    for longest, unit in _UNITS:
        if span <= longest:
            return unit
    return "month"


def _top(db: Connection, made: AnySelect, *amounts: str) -> TopValues:
    """Return the rows with the greatest amounts, then by the first column."""
    every = made.subquery()
    name, *_ = every.c
    amount: ColumnElement[Any] = every.c[amounts[0]]
    for each in amounts[1:]:
        amount += every.c[each]
    totals = [func.count().over().label("all_names"), cast(func.sum(amount).over(), BigInteger).label("all_amounts")]
    if "cost" in every.c:
        totals.append(func.sum(every.c.cost).over().label("all_costs"))
    most = select(*every.c, *totals).order_by(amount.desc(), bytewise(name).nulls_last()).limit(TOP)
    rows = db.execute(most).all()
    if not rows:
        return TopValues([], 0, 0)
    return TopValues(rows, rows[0].all_names, rows[0].all_amounts, getattr(rows[0], "all_costs", None))


def _tokens(by: Unit, options: ReportOptions, models: Sequence[str | None]) -> AnySelect:
    """Select the tokens of each period by the index of the model; all other models share the last index."""
    every = analytics.tokens(by, tz=options.tz, **options.filters).subquery()
    is_named = [every.c.model.is_(None) if model is None else every.c.model == model for model in models]
    place = case(*((named, place) for place, named in enumerate(is_named)), else_=len(models)) if models else null()
    placed = select(every.c.period, place.label("place"), every.c.input_tokens, every.c.output_tokens).subquery()
    return (
        select(
            placed.c.period,
            placed.c.place,
            *(total(placed.c[name], name) for name in ("input_tokens", "output_tokens")),
        )
        .group_by(placed.c.period, placed.c.place)
        .order_by(placed.c.period, placed.c.place)
    )
