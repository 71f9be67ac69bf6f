"""Charts -> Plotly figures as plain dictionaries; colours of text and grid come from the page."""

from __future__ import annotations

import html
from dataclasses import dataclass

from steelyard.reports.document import Axis, Chart, HeatMap, Point, Series
from steelyard.reports.renderers.visible import visible
from steelyard.reports.words import amount, shown

#: Okabe and Ito's palette, told apart by colour-blind readers; its yellow and black left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8C6BB1", "#7F7F7F")
SYMBOLS = ("circle", "square", "triangle-up", "cross", "pentagon", "triangle-down", "star", "x")
_PLACES = ("top right", "bottom right", "top left", "bottom left", "top center", "bottom center")
_PLACES_AT_THE_EDGE = ("top left", "bottom left", "top center", "bottom center")


def plotly_text(text: str) -> str:
    """Plotly reads a little HTML in its texts; ours have none."""
    return html.escape(visible(text), quote=False)


def figure(chart: Chart | HeatMap) -> dict[str, object]:
    """``{"data": [...], "layout": {...}}`` for ``Plotly.newPlot``."""
    if isinstance(chart, HeatMap):
        return _heat(chart)
    draw = _scatter if chart.kind == "scatter" else _line_trace
    labels = _labels(chart)
    layout: dict[str, object] = {
        "xaxis": _axis(chart.x),
        "yaxis": _axis(chart.y),
        "showlegend": chart.kind == "line" and len(chart.series) > 1,
        "legend": {"orientation": "h", "y": -0.25},
        "margin": {"l": 70, "r": 24, "t": 16, "b": 60},
        "hovermode": "closest",
    }
    for series in chart.series:
        if chart.kind == "scatter" and series.points[0].x is None:
            _level_line(layout, chart, series)
    data = [
        draw(chart, series, labels.get(series.name))
        for series in chart.series
        if any(point.x is not None for point in series.points)
    ]
    return {"data": data, "layout": layout}


def _axis(axis: Axis) -> dict[str, object]:
    better = {"higher": " (higher is better)", "lower": " (lower is better)"}
    unit = f", {_axis_unit(axis)}" if axis.unit else ""
    title = f"{axis.title}{unit}{better.get(axis.better or '', '')}"
    drawn: dict[str, object] = {"title": {"text": plotly_text(title)}, "automargin": True}
    if axis.logarithmic:
        drawn["type"] = "log"
    return drawn


def _level_line(layout: dict[str, object], chart: Chart, series: Series) -> None:
    """The baseline where it has a quality and no cost: a dashed line at its height."""
    y = _scaled(series.points[0].y, chart.y)
    line = {"color": COLOURS[series.slot % len(COLOURS)], "width": 1.5, "dash": "dash"}
    layout["shapes"] = [
        {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": y, "y1": y, "line": line}
    ]
    layout["annotations"] = [
        {
            "xref": "paper",
            "x": 1,
            "xanchor": "right",
            "y": y,
            "yanchor": "bottom",
            "text": f"{plotly_text(series.name)}, not trained here",
            "showarrow": False,
        }
    ]


def _axis_unit(axis: Axis) -> str:
    return {"kWh": "Wh", "bytes": "MB"}.get(axis.unit or "", axis.unit or "")


def _scaled(value: float | None, axis: Axis) -> float | None:
    factor = {"kWh": 1e3, "bytes": 1e-6}.get(axis.unit or "", 1.0)
    return None if value is None else value * factor


def _error(
    axis: Axis, middle: float | None, low: float | None, high: float | None
) -> dict[str, object]:
    if middle is None or low is None or high is None:
        return {"visible": False}
    return {
        "type": "data",
        "symmetric": False,
        "array": [max(0.0, _scaled(high - middle, axis) or 0.0)],
        "arrayminus": [max(0.0, _scaled(middle - low, axis) or 0.0)],
        "thickness": 1.2,
        "width": 3,
    }


def _scatter(chart: Chart, series: Series, label: Label | None) -> dict[str, object]:
    point = series.points[0]
    colour = COLOURS[series.slot % len(COLOURS)]
    symbol = "diamond" if series.emphasis else SYMBOLS[series.slot % len(SYMBOLS)]
    name = plotly_text(series.name)
    return {
        "type": "scatter",
        "mode": "markers+text",
        "name": name,
        "x": [_scaled(point.x, chart.x)],
        "y": [_scaled(point.y, chart.y)],
        "text": [plotly_text(label.text) if label else ""],
        "textposition": label.place if label else _PLACES[0],
        "cliponaxis": False,
        "error_x": {**_error(chart.x, point.x, point.x_low, point.x_high), "color": colour},
        "error_y": {**_error(chart.y, point.y, point.y_low, point.y_high), "color": colour},
        "marker": {
            "size": 13 if series.emphasis else 11,
            "color": colour,
            "symbol": symbol if series.front else f"{symbol}-open",
            "line": {"width": 2, "color": colour},
        },
        "hovertemplate": f"{name}<br>{_hover(chart, point)}<extra></extra>",
    }


def _hover(chart: Chart, point: Point) -> str:
    lines = []
    for axis, value, low, high in (
        (chart.x, point.x, point.x_low, point.x_high),
        (chart.y, point.y, point.y_low, point.y_high),
    ):
        words = f"{axis.title}: {amount(value, axis.unit)}"
        if low is not None and high is not None:
            words += f" [{amount(low, axis.unit)}, {amount(high, axis.unit)}]"
        lines.append(plotly_text(words))
    return "<br>".join(lines).replace("%{", "% {")


def _line_trace(chart: Chart, series: Series, label: Label | None) -> dict[str, object]:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": plotly_text(series.name),
        "x": [_scaled(p.x, chart.x) for p in series.points],
        "y": [_scaled(p.y, chart.y) for p in series.points],
        "line": {
            "color": COLOURS[series.slot % len(COLOURS)],
            "width": 2,
            "dash": ("solid", "dash", "dot", "dashdot")[series.slot % 4],
        },
    }


def _heat(chart: HeatMap) -> dict[str, object]:
    values = [[number.value for number in row] for row in chart.cells]
    largest = max((abs(v) for row in values for v in row if v is not None), default=1.0) or 1.0
    return {
        "data": [
            {
                "type": "heatmap",
                "x": [plotly_text(name) for name in chart.columns],
                "y": [plotly_text(name) for name in chart.rows],
                "z": values,
                "text": [[shown(number) for number in row] for row in chart.cells],
                "texttemplate": "%{text}",
                "hoverongaps": False,
                "hovertemplate": "%{y}<br>%{x}: %{text}<extra></extra>",
                "zmin": -largest,
                "zmax": largest,
                "colorscale": [[0, "#D55E00"], [0.5, "#f4f4f4"], [1, "#0072B2"]],
                "textfont": {"color": "#111"},
                "xgap": 2,
                "ygap": 2,
                "showscale": False,
            }
        ],
        "layout": {
            "margin": {"l": 120, "r": 16, "t": 16, "b": 60},
            "height": 90 + 30 * len(chart.rows),
            "yaxis": {"autorange": "reversed", "automargin": True},
            "xaxis": {"automargin": True},
        },
    }


@dataclass
class Label:
    """What is written beside a point, and on which side."""

    x: float
    y: float
    place: str
    text: str


def _labels(chart: Chart) -> dict[str, Label]:
    """Labels by the series they stand at; points in one place share one label.

    Points that are close together do not share a side; at the right edge labels go to the left.
    """
    points = [
        (series.name, point.x, point.y)
        for series in chart.series
        for point in series.points[:1]
        if point.x is not None and point.y is not None
    ]
    width, height = _spread([x for _, x, _ in points]), _spread([y for *_, y in points])
    rightmost = max((x for _, x, _ in points), default=0.0)
    labels: dict[str, Label] = {}
    # From the top down, so that of two the upper one has its label above.
    for name, x, y in sorted(points, key=lambda point: -point[2]):
        away = {o: (abs(n.x - x) / width, abs(n.y - y) / height) for o, n in labels.items()}
        same = next((o for o, (dx, dy) in away.items() if dx < 0.02 and dy < 0.03), None)
        if same is not None:
            labels[same].text += f", {name}"
            continue
        near = {labels[o].place for o, (dx, dy) in away.items() if dx < 0.12 and dy < 0.1}
        sides = _PLACES if x <= rightmost - 0.2 * width else _PLACES_AT_THE_EDGE
        labels[name] = Label(x, y, next((p for p in sides if p not in near), sides[0]), name)
    return labels


def _spread(values: list[float]) -> float:
    return (max(values) - min(values)) or 1.0 if values else 1.0
