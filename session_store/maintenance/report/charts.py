"""Charts as SVG: specified for Vega-Lite, rendered by vl-convert, colored by CSS variables of the page.

Each chart is rendered twice, wide and for a phone, and the page shows the one that fits. Stored text is never part of a
Vega expression, and all data is in the specification.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from session_store.maintenance import formatting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from session_store.maintenance.report.axes import Periods, Scale

_WIDE: Final = 640
_NARROW: Final = 330
_HEIGHT: Final = 210
_TICKS: Final = {_WIDE: 9, _NARROW: 5}
_ROW: Final = 36
_BAR: Final = {"type": "bar", "height": 9, "yOffset": 9}
_WORDS: Final[dict[str, Any]] = {"type": "text", "dy": -6, "baseline": "middle", "fontSize": 14}
_NUMBER_WIDTH: Final = 80
_NARROWEST_WITH_GAPS: Final = 5.0
"""Bars with fewer pixels have no gap."""
_GAP: Final = 0.12
_WIDEST_BAR: Final = 56

_PATH: Final = re.compile(r'(<path [^<>]*\bd=")([^"]*)')
_DECIMALS: Final = re.compile(r"-?\d+\.\d{3,}(e-?\d+)?")
"""More precision than a screen shows would be a third of the page."""

_CONFIG: Final = {
    # The chart has one label; one for each bar would be most of the page.
    "aria": False,
    "background": None,
    "font": "system-ui, sans-serif",
    "view": {"stroke": None},
    "axis": {
        "title": None,
        "domain": False,
        "ticks": False,
        "labelColor": "var(--muted)",
        "labelFontSize": 13,
        "labelPadding": 7,
        "gridColor": "var(--grid)",
    },
    "axisX": {"grid": False, "domain": True, "domainColor": "var(--axis)", "ticks": True, "tickColor": "var(--axis)"},
}


class Series(NamedTuple):
    """A series of one color, with its value in each period that has one."""

    name: str
    color: str
    values: dict[int, float]


class Bar(NamedTuple):
    """A name, a number and its label; ``color`` is a CSS variable of the page."""

    name: str
    amount: float
    says: str
    color: str


class Svg(NamedTuple):
    """A chart rendered wide and for a phone."""

    wide: str
    narrow: str


def bars(series: Sequence[Series], periods: Periods, scale: Scale) -> Svg | None:
    """Render stacked bars, one for each period; None if there is nothing to draw."""
    rows = []
    heights: dict[int, float] = {}
    for number, each in enumerate(series):
        for place, value in sorted(each.values.items()):
            if value:
                low = heights.get(place, 0)
                heights[place] = low + value
                rows.append({"x": place, "low": low, "y": heights[place], "s": number})

    def marks(width: int) -> dict[str, Any]:
        room = width / periods.number
        gap = max(_GAP, (1 - _WIDEST_BAR / room) / 2) if room >= _NARROWEST_WITH_GAPS else 0
        return {
            "transform": [
                {"calculate": f"datum.x + {gap}", "as": "start"},
                {"calculate": f"datum.x + {1 - gap}", "as": "end"},
            ],
            "mark": "rect",
            "encoding": {
                "x": _x("start", periods, width),
                "x2": {"field": "end"},
                "y": _y(scale),
                "y2": {"field": "low"},
                "color": _color_scale(series),
            },
        }

    return _over_time(rows, marks)


def lines(series: Sequence[Series], periods: Periods, scale: Scale) -> Svg | None:
    """Render a line for each series, interrupted at missing values; None if there is nothing to draw."""
    rows = [
        {
            "x": place + 0.5,
            "y": max(each.values[place], scale.start) if place in each.values else None,
            "s": number,
            "alone": place - 1 not in each.values and place + 1 not in each.values,
        }
        for number, each in enumerate(series)
        if each.values
        for place in range(min(each.values), max(each.values) + 1)
    ]

    def marks(width: int) -> dict[str, Any]:
        # A value between two gaps would be a line without length.
        dots = {} if width / periods.number >= _NARROWEST_WITH_GAPS else {"transform": [{"filter": "datum.alone"}]}
        return {
            "encoding": {"x": _x("x", periods, width), "y": _y(scale), "color": _color_scale(series)},
            "layer": [
                {"mark": {"type": "line", "strokeWidth": 2, "interpolate": "monotone"}},
                {"mark": {"type": "point", "size": 22, "filled": True, "opacity": 1}, **dots},
            ],
        }

    return _over_time(rows, marks)


def ranking(bars: Sequence[Bar]) -> Svg:
    """Render horizontal bars, each with its name and number."""
    most = max(bar.amount for bar in bars) or 1
    length = {"field": "amount", "type": "quantitative", "axis": None, "scale": {"domain": [0, most]}}

    def drawn(width: int) -> str:
        # Truncated here: Vega would cut inside surrogate pairs and fail.
        room = (width - _NUMBER_WIDTH) / _WORDS["fontSize"]
        rows = [
            {
                **bar._asdict(),
                "place": place,
                "name": formatting.truncate_to_width(bar.name, room),
                "color": f"var(--{bar.color})",
            }
            for place, bar in enumerate(bars)
        ]
        return _render(
            {
                "data": {"values": rows},
                "width": width,
                "height": _ROW * len(bars),
                "padding": 0,
                "encoding": {"y": {"field": "place", "type": "ordinal", "axis": None, "scale": {"padding": 0}}},
                "layer": [
                    {
                        "mark": {**_BAR, "color": "var(--track)"},
                        "encoding": {"x": {"value": 0}, "x2": {"value": width}},
                    },
                    {
                        "mark": _BAR,
                        "encoding": {"x": length, "color": {"field": "color", "type": "nominal", "scale": None}},
                    },
                    {
                        "mark": {**_WORDS, "align": "left", "color": "var(--text)"},
                        "encoding": {"x": {"value": 0}, "text": {"field": "name", "type": "nominal"}},
                    },
                    {
                        "mark": {**_WORDS, "align": "right", "color": "var(--muted)"},
                        "encoding": {"x": {"value": width}, "text": {"field": "says", "type": "nominal"}},
                    },
                ],
            }
        )

    return Svg(drawn(_WIDE), drawn(_NARROW))


def _over_time(rows: list[dict[str, Any]], marks: Callable[[int], dict[str, Any]]) -> Svg | None:
    if not rows:
        return None

    def drawn(width: int) -> str:
        return _render(
            {
                "data": {"values": rows},
                "width": width,
                "height": _HEIGHT,
                "autosize": {"type": "fit", "contains": "padding"},
                "padding": {"left": 0, "top": 8, "right": 8, "bottom": 0},
                **marks(width),
            }
        )

    return Svg(drawn(_WIDE), drawn(_NARROW))


def _x(field: str, periods: Periods, width: int) -> dict[str, Any]:
    ticks = periods.ticks(_TICKS[width])
    return {
        "field": field,
        "type": "quantitative",
        "scale": {"domain": [0, periods.number], "nice": False},
        "axis": {"values": list(ticks), "labelExpr": _labels(ticks), "labelFlush": False},
    }


def _y(scale: Scale) -> dict[str, Any]:
    return {
        "field": "y",
        "type": "quantitative",
        "scale": {"domain": [scale.start, scale.end], "nice": False, "type": "log" if scale.start else "linear"},
        "axis": {"values": list(scale.ticks), "labelExpr": _labels(scale.ticks)},
    }


def _labels(ticks: Mapping[float, str]) -> str:
    # Vega names a number as JavaScript prints it: without a zero fraction.
    labels = {f"{value:.0f}" if value == round(value) else repr(value): text for value, text in ticks.items()}
    return f"{json.dumps(labels)}[datum.value]"


def _color_scale(series: Sequence[Series]) -> dict[str, Any]:
    places = list(range(len(series)))
    colors = [f"var(--{each.color})" for each in series]
    return {"field": "s", "type": "ordinal", "scale": {"domain": places, "range": colors}, "legend": None}


def _render(chart: dict[str, Any]) -> str:
    import vl_convert  # noqa: PLC0415 - an extra

    spec = {"$schema": "https://vega.github.io/schema/vega-lite/v5.json", "config": _CONFIG, **chart}
    return _PATH.sub(_rounded, vl_convert.vegalite_to_svg(spec, allowed_base_urls=[]))


def _rounded(path: re.Match[str]) -> str:
    return path[1] + _DECIMALS.sub(lambda number: f"{float(number[0]):.2f}", path[2])
