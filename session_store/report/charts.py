"""Charts as SVG: described for Vega-Lite, drawn by vl-convert, coloured by the variables of the page.

Each is drawn twice, wide and for a phone, and the page shows the one that fits. No text of others is part of an
expression, and nothing is fetched: all data is in the description.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from session_store.report.axes import Periods, Scale

_WIDE: Final = 640
_NARROW: Final = 330
_HEIGHT: Final = 210
_TICKS: Final = {_WIDE: 9, _NARROW: 5}
_ROW: Final = 36
_NARROWEST_WITH_GAPS: Final = 5.0
"""A bar of fewer pixels touches the next one."""

_CONFIG: Final = {
    # The chart as a whole has a label; one for each bar would be most of the page.
    "aria": False,
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "title": None,
        "domain": False,
        "ticks": False,
        "labelColor": "var(--muted)",
        "labelFontSize": 12,
        "labelPadding": 7,
        "gridColor": "var(--grid)",
    },
    "axisX": {"grid": False, "domain": True, "domainColor": "var(--axis)", "ticks": True, "tickColor": "var(--axis)"},
}


class Series(NamedTuple):
    """What one colour stands for, and its value in each period that has one."""

    name: str
    colour: str
    values: dict[int, float]


class Svg(NamedTuple):
    """A chart drawn wide and for a phone."""

    wide: str
    narrow: str


def bars(series: Sequence[Series], periods: Periods, scale: Scale) -> Svg:
    """Draw a bar for each period, the series one above the other."""
    rows = [
        {"x": place, "y": value, "s": number}
        for number, each in enumerate(series)
        for place, value in sorted(each.values.items())
        if value
    ]

    def mark(width: int) -> dict[str, Any]:
        gap = 0.12 if width / periods.number >= _NARROWEST_WITH_GAPS else 0.0
        return {
            "transform": [
                {"calculate": f"datum.x + {gap}", "as": "start"},
                {"calculate": f"datum.x + {1 - gap}", "as": "end"},
            ],
            "mark": {"type": "bar"},
            "encoding": {
                "x": _x("start", periods, width),
                "x2": {"field": "end"},
                "y": {**_y(scale), "stack": "zero"},
                "order": {"field": "s", "type": "ordinal"},
                "color": _colours(series),
            },
        }

    return _over_time(rows, mark)


def lines(series: Sequence[Series], periods: Periods, scale: Scale) -> Svg:
    """Draw a line for each of the series; where a period has no value it is interrupted."""
    rows = [
        {"x": place + 0.5, "y": each.values.get(place), "s": number}
        for number, each in enumerate(series)
        if each.values
        for place in range(min(each.values), max(each.values) + 1)
    ]

    def mark(width: int) -> dict[str, Any]:
        return {
            "mark": {
                "type": "line",
                "strokeWidth": 2,
                "interpolate": "monotone",
                "point": {"size": 26 if width / periods.number >= _NARROWEST_WITH_GAPS else 8, "filled": True},
            },
            "encoding": {"x": _x("x", periods, width), "y": _y(scale), "color": _colours(series)},
        }

    return _over_time(rows, mark)


def ranking(rows: Sequence[tuple[str, float, str]], colour: str) -> Svg:
    """Draw a bar for each row, a name, a number and what it says, from above; the names stand over the bars."""
    data = [{"place": place, "name": name, "y": value, "says": says} for place, (name, value, says) in enumerate(rows)]
    most = max(value for _, value, _ in rows)

    def drawn(width: int) -> str:
        return _drawn(
            {
                "data": {"values": data},
                "width": width,
                "height": _ROW * len(data),
                "padding": 0,
                "encoding": {"y": {"field": "place", "type": "ordinal", "axis": None, "scale": {"padding": 0}}},
                "layer": [
                    {
                        "mark": {"type": "bar", "height": 9, "yOffset": 9, "color": "var(--track)", "cornerRadius": 2},
                        "encoding": {"x": {"value": 0}, "x2": {"value": width}},
                    },
                    {
                        "mark": {
                            "type": "bar",
                            "height": 9,
                            "yOffset": 9,
                            "color": f"var(--{colour})",
                            "cornerRadius": 2,
                        },
                        "encoding": {
                            "x": {
                                "field": "y",
                                "type": "quantitative",
                                "axis": None,
                                "scale": {"domain": [0, most or 1]},
                            }
                        },
                    },
                    {
                        "mark": {**_TEXT, "align": "left", "limit": width - 80, "color": "var(--text)"},
                        "encoding": {"x": {"value": 0}, "text": {"field": "name", "type": "nominal"}},
                    },
                    {
                        "mark": {**_TEXT, "align": "right", "color": "var(--muted)"},
                        "encoding": {"x": {"value": width}, "text": {"field": "says", "type": "nominal"}},
                    },
                ],
            }
        )

    return Svg(drawn(_WIDE), drawn(_NARROW))


_TEXT: Final = {"type": "text", "dy": -6, "baseline": "middle", "fontSize": 13}


def _over_time(rows: list[dict[str, Any]], mark: Any) -> Svg:
    def drawn(width: int) -> str:
        return _drawn(
            {
                "data": {"values": rows},
                "width": width,
                "height": _HEIGHT,
                "autosize": {"type": "fit", "contains": "padding"},
                "padding": {"left": 0, "top": 8, "right": 8, "bottom": 0},
                **mark(width),
            }
        )

    return Svg(drawn(_WIDE), drawn(_NARROW))


def _x(field: str, periods: Periods, width: int) -> dict[str, Any]:
    ticks = periods.ticks(_TICKS[width])
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"domain": [0, periods.number], "nice": False},
        "axis": {"values": list(ticks), "labelExpr": _labels(ticks), "labelOverlap": False},
    }


def _y(scale: Scale) -> dict[str, Any]:
    return {
        "field": "y",
        "type": "quantitative",
        "scale": {"domain": [0, scale.end], "nice": False},
        "axis": {"values": list(scale.ticks), "labelExpr": _labels(scale.ticks)},
    }


def _labels(ticks: Any) -> str:
    return f"{json.dumps({json.dumps(value): text for value, text in ticks.items()})}[datum.value]"


def _colours(series: Sequence[Series]) -> dict[str, Any]:
    places = list(range(len(series)))
    colours = [f"var(--{each.colour})" for each in series]
    return {"field": "s", "type": "ordinal", "scale": {"domain": places, "range": colours}, "legend": None}


def _drawn(chart: dict[str, Any]) -> str:
    import vl_convert  # noqa: PLC0415 - an extra

    spec = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "config": _CONFIG, **chart}
    svg: str = vl_convert.vegalite_to_svg(spec, allowed_base_urls=[])
    return svg
