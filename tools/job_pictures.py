"""The pictures of docs/jobs.md, drawn from query results."""

from __future__ import annotations

import os
from bisect import bisect_left
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

LabelSet = tuple[tuple[str, str], ...]
Sample = tuple[float, int]
Series = dict[LabelSet, list[Sample]]

# Colours that colour-blind people can distinguish (Okabe and Ito), and grey for the background.
BLUE, ORANGE, GREEN, SKY, VERMILION, PURPLE = "#0072B2", "#E69F00", "#009E73", "#56B4E9", "#D55E00", "#CC79A7"
GREY = "#8a8a8a"
# Pages show pictures 800 pixels wide; twice the resolution looks sharp on high-density screens.
INCHES, DOTS = 8.0, 150
GAP_MS = 30_000


def new(rows: int = 1, columns: int = 1, *, height: float, **options: Any) -> tuple[Any, Any]:
    """Return a figure and its axes in the common style."""
    os.environ.setdefault("MPLCONFIGDIR", str(Path(".cache/pictures/matplotlib").resolve()))
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(
        rows, columns, figsize=(INCHES, height), layout="constrained", squeeze=False, **options
    )
    figure.get_layout_engine().set(w_pad=0.1, h_pad=0.08)
    for axis in axes.flat:
        axis.grid(alpha=0.25)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def of_day(axis: Any, most: int = 8) -> None:
    """Label an axis with a limited number of times of day, in whole minutes."""
    from matplotlib import dates

    begin, end = axis.get_xlim()
    minutes = (end - begin) * 24 * 60
    step = next((each for each in (1, 2, 5, 10, 15, 30) if minutes / each <= most), 60)
    axis.xaxis.set_major_locator(dates.MinuteLocator(byminute=range(0, 60, step)))
    axis.xaxis.set_major_formatter(dates.DateFormatter("%H:%M", tz=timezone.utc))
    axis.set_xlabel("Time of day (UTC), 7 October 2021")


def feet(axis: Any) -> None:
    """Label an axis with altitudes."""
    axis.yaxis.set_major_formatter("{x:,.0f}")
    axis.set_ylabel("Altitude (feet)")


def titled(axis: Any, title: str, colour: str = "black") -> None:
    """Put a title above an axis."""
    axis.set_title(title, loc="left", fontsize=11, color=colour)


def saved(figure: Any, target: Path) -> None:
    """Save a picture with few colours, which reduces it to a third, and print its size."""
    from matplotlib import pyplot
    from PIL import Image

    target.parent.mkdir(exist_ok=True)
    figure.savefig(target, dpi=DOTS)
    pyplot.close(figure)
    with Image.open(target) as image:
        small = image.convert("RGB").quantize(colors=128, dither=Image.Dither.NONE)
    small.save(target, optimize=True)
    print(f"{target.name}: {target.stat().st_size / 1000:.0f} kB")


def at(milliseconds: int) -> datetime:
    """Return a time for matplotlib."""
    return datetime.fromtimestamp(milliseconds / 1000, timezone.utc)


def split(samples: list[Sample]) -> tuple[list[datetime], list[float]]:
    """Return times and values."""
    return [at(stamp) for _, stamp in samples], [value for value, _ in samples]


def with_gaps(samples: list[Sample], gap_ms: int = GAP_MS) -> tuple[list[datetime], list[float]]:
    """Return times and values, with a break in the line where there was nothing for a while."""
    times: list[datetime] = []
    values: list[float] = []
    last = None
    for value, stamp in samples:
        if last is not None and stamp - last > gap_ms:
            times.append(at(last + 1))
            values.append(float("nan"))
        times.append(at(stamp))
        values.append(value)
        last = stamp
    return times, values


def reorder(
    flight: str, delivered: list[Sample], reordered: list[Sample], counts: dict[str, int], target: Path
) -> None:
    """Draw the altitude of a flight as delivered and reordered, with a point for each sample."""
    figure, axes = new(2, height=6.2, sharex=True, sharey=True)
    for axis, samples, step, what, colour in (
        (axes[0, 0], delivered, "delivered", "Written as delivered", VERMILION),
        (axes[1, 0], reordered, "reordered", "Written downstream of Reorder", BLUE),
    ):
        axis.plot(*split(samples), ".", markersize=3.5, color=colour)
        share = counts[step] / counts["reordered"]
        titled(
            axis,
            f"{what}: Prometheus has {len(samples):,} of {len(reordered):,} altitudes (of all flights {share:.0%})",
        )
        feet(axis)
    axes[0, 0].set_xlabel("")
    of_day(axes[1, 0])
    figure.suptitle(f"Flight {flight}: late samples leave gaps", fontsize=13, x=0.01, ha="left")
    saved(figure, target)


def filter_altitudes(flights: list[tuple[str, list[Sample], list[Sample], list[Sample]]], target: Path) -> None:
    """Draw flights with their spikes on the left, and without them on the right."""
    figure, axes = new(len(flights), 2, height=8, sharex="row", sharey="row")
    for (left, right), (flight, reordered, filtered, rejected) in zip(axes, flights):
        left.plot(*with_gaps(reordered), linewidth=1, color=GREY)
        left.plot(*split(rejected), ".", markersize=6, color=VERMILION)
        titled(left, f"{flight}: {len(rejected)} of {len(reordered):,} altitudes dropped")
        right.plot(*with_gaps(filtered), linewidth=1.6, color=BLUE)
        titled(right, f"{flight} downstream of Filter")
        for axis in (left, right):
            axis.margins(y=0.08)
            of_day(axis, most=5)
            axis.set_xlabel("")
            feet(axis)
        right.set_ylabel("")
    for axis in axes[-1]:
        axis.set_xlabel("Time of day (UTC), 7 October 2021", fontsize=9)
    figure.suptitle("Misread altitudes hide the flight; Filter drops those with a dot", fontsize=13, x=0.01, ha="left")
    saved(figure, target)


def enrich(total: Series, by_country: Series, target: Path) -> None:
    """Draw the number of aircraft as one line, and stacked by country."""
    figure, axes = new(2, height=6.4, sharex=True)
    above, below = axes[:, 0]
    (line,) = total.values()
    stamps = [stamp for _, stamp in line]
    times = [at(stamp) for stamp in stamps]
    above.plot(times, [value for value, _ in line], color=GREY, linewidth=1.8, drawstyle="steps-post")
    titled(above, "Without labels: how many there are")
    totals = {
        dict(labels).get("country", ""): sum(value for value, _ in samples) for labels, samples in by_country.items()
    }
    largest = sorted((each for each in totals if each != "unknown"), key=lambda each: -totals[each])[:4]
    layers: dict[str, list[float]] = {name: [0.0] * len(stamps) for name in (*largest, "other countries", "unknown")}
    for labels, samples in by_country.items():
        country = dict(labels).get("country", "")
        layer = layers[country if country in layers else "other countries"]
        for value, stamp in samples:
            layer[bisect_left(stamps, stamp)] += value
    colours = (BLUE, ORANGE, GREEN, PURPLE, SKY, "#dddddd")
    below.stackplot(times, *layers.values(), labels=list(layers), colors=colours, step="post")
    titled(below, "Downstream of Enrich: the countries of their operators")
    handles, names = below.get_legend_handles_labels()
    below.legend(handles[::-1], names[::-1], loc="center left", bbox_to_anchor=(1, 0.5), frameon=False, title="country")
    for axis in (above, below):
        axis.set_ylabel("Aircraft heard in the last minute")
        axis.set_ylim(0)
        axis.set_xlim(times[0], times[-1])
    of_day(below)
    figure.suptitle("Aircraft in the air", fontsize=13, x=0.01, ha="left")
    saved(figure, target)


def aggregate(operator: str, raw: Series, quantiles: Series, target: Path) -> None:
    """Draw all altitudes of an operator, and their median and 95th percentile."""
    figure, axes = new(2, height=6.4, sharex=True, sharey=True)
    above, below = axes[:, 0]
    for samples in raw.values():
        above.plot(*with_gaps(samples), linewidth=0.9, alpha=0.75)
    samples_in = sum(map(len, raw.values()))
    highest = max(value for samples in raw.values() for value, _ in samples)
    titled(
        above, f"Every altitude of {operator}: {samples_in:,} samples in {len(raw)} series, up to {highest:,.0f} feet"
    )
    for labels, samples in quantiles.items():
        quantile = dict(labels)["quantile"]
        name, colour = ("median", BLUE) if quantile == "0.5" else ("95th percentile", VERMILION)
        below.plot(*split(samples), color=colour, linewidth=1.8)
        times, values = split(samples)
        below.annotate(name, (times[-1], values[-1]), (6, 0), textcoords="offset points", color=colour, va="center")
    samples_out = sum(map(len, quantiles.values()))
    titled(below, f"Median and 95th percentile of each minute: {samples_out:,} samples in {len(quantiles)} series")
    for axis in (above, below):
        axis.set_ylim(-1_500, 43_000)
        feet(axis)
    of_day(below)
    figure.suptitle("How high does an operator fly?", fontsize=13, x=0.01, ha="left")
    saved(figure, target)


def mark_stale(
    flight: str,
    last: int,
    shown: tuple[list[Sample], list[Sample]],
    counts: tuple[list[Sample], list[Sample]],
    heard: list[Sample],
    target: Path,
) -> None:
    """
    Draw the end of a flight, and the number of aircraft.

    :param last: the time of the flight's last message.
    :param shown: the altitude in a chart without stale markers, and with them.
    :param counts: the number of aircraft in a chart without stale markers, and with them.
    :param heard: the true number of aircraft.
    """
    figure, axes = new(2, height=6.6)
    above, below = axes[:, 0]
    ghost, ended = shown
    above.plot(*with_gaps(ghost), color=VERMILION, linewidth=1.6)
    above.plot(*with_gaps(ended), color=BLUE, linewidth=3)
    for samples, words, colour in ((ghost, "without stale marker", VERMILION), (ended, "with it", BLUE)):
        value, stamp = samples[-1]
        above.annotate(
            f"{words}: until {at(stamp):%H:%M:%S}", (at(stamp), value), (0, 32 if samples is ended else 10),
            textcoords="offset points", ha="right", color=colour,
        )  # fmt: skip
    titled(above, f"What Prometheus shows of flight {flight}, which was last heard at {at(last):%H:%M:%S}")
    of_day(above)
    above.set_xlabel("")
    feet(above)
    names = ("heard in the last minute", "shown without stale markers", "shown with them")
    for samples, name, colour, width in zip((heard, *counts), names, ("#c4c4c4", VERMILION, BLUE), (5, 1.6, 1.6)):
        below.plot(*split(samples), color=colour, linewidth=width, drawstyle="steps-post", label=name)
    titled(below, "How many aircraft it shows, and how many were heard")
    below.set_ylabel("Aircraft")
    below.set_ylim(0)
    below.legend(loc="lower center", ncols=3, frameon=False)
    of_day(below)
    saved(figure, target)
