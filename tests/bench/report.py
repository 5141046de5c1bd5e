"""Writes docs/performance.md's tables and curves from the bench's figures.

    cargo run --profile bench-run --bin bench -- --json figures.json
    python3 tests/bench/report.py figures.json [MORE.json...]

Of a scenario that is in several files the last one counts. Each table goes between its marks in docs/performance.md, the
curves into docs/performance-drains.svg and docs/performance-clusters.svg.
"""

import argparse
import json
import math
import re
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"
TROUBLE_BEGIN, TROUBLE_END = "<!-- trouble:begin -->", "<!-- trouble:end -->"

HEAD = [
    "scenario", "drains", "ran out", "calls a drain", "writes a drain", "idle to done: p50", "p99", "max",
    "to `DRAINING`, max",
    "busiest rate", "memory, MiB", "CPU, s", "bounds",
]  # fmt: skip


# During what lasts for a while, and after it.
TROUBLE_HEAD = [
    "scenario", "hooks lost", "calls a minute", "lines of the log a minute", "normal again after", "busiest rate", "CPU, s",
    "bounds",
]  # fmt: skip


def load(paths):
    """Every scenario's figures by name, in the order of the files."""
    figures = {}
    for path in paths:
        for one in json.loads(Path(path).read_text(encoding="utf-8")):
            figures[one["scenario"]] = one
    return figures


def number(value, unit=""):
    """`4.2`, `1,794 s`: one decimal below a hundred."""
    text = f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}"
    return f"{text}{unit}"


def bounds(one):
    """Whether the bounds are kept; `missed` is left out by a bench that does not write it."""
    if one.get("gave_up"):
        return "given up"
    if "missed" not in one:
        return "not judged"
    return "reached" if not one["missed"] else "**missed**: " + "; ".join(one["missed"])


def row(one):
    """One line of the table."""
    lag, memory = one["lag"], one["memory"]
    busiest = max(one["busiest"].items(), key=lambda use: use[1], default=None)
    about = f": {one['about']}" if "about" in one else ""
    return [
        f"`{one['scenario']}`{about}",
        f"{one['drains']:,}",
        f"{one['ran_out']:,}",
        number(one["calls_per_drain"]),
        number(one["writes_per_drain"]),
        # What never ends has no such time.
        *(number(lag[part], " s") if lag["count"] else "-" for part in ("p50", "p99", "max")),
        # What nobody made wait, as an operator's drain, has no such time.
        number(one["to_draining"]["max"], " s") if one["to_draining"]["max"] else "-",
        f"{busiest[0]} {busiest[1]:.0f} %" if busiest else "-",
        "-" if memory is None else number(memory),
        number(one["spent"]["controller"]),
        bounds(one),
    ]


def trouble_row(one):
    """One line of the table of what lasts for a while."""
    busiest = max(one["busiest"].items(), key=lambda use: use[1], default=("", 0))
    return [
        f"`{one['scenario']}`: {one['about']}",
        f"{one['ran_out']:,}",
        number(one["during"]["calls"]),
        number(one["during"]["lines"]),
        number(one["lag"]["max"], " s"),
        f"{busiest[0]} {busiest[1]:.0f} %",
        number(one["spent"]["controller"]),
        bounds(one),
    ]


def markdown(lines):
    """A table, as Markdown."""
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def table(figures):
    """The table of all that has no trouble in it."""
    lines = [HEAD, ["---"] + ["---:"] * 8 + ["---"] + ["---:"] * 2 + ["---"]]
    return markdown(lines + [row(one) for one in figures.values() if not one.get("during")])


def trouble_table(figures):
    """The table of what lasts for a while."""
    lines = [TROUBLE_HEAD, ["---"] + ["---:"] * 4 + ["---", "---:", "---"]]
    return markdown(lines + [trouble_row(one) for one in figures.values() if one.get("during")])


def write_between(page, begin, end, what):
    """Puts something between its marks."""
    text = page.read_text(encoding="utf-8")
    before, rest = text.split(begin, 1)
    _, after = rest.split(end, 1)
    page.write_text(f"{before}{begin}\n\n{what}\n\n{end}{after}", encoding="utf-8")


def write_tables(page, figures):
    """Puts the tables between their marks. One of which nothing was measured stays as it is."""
    if any(not one.get("during") for one in figures.values()):
        write_between(page, BEGIN, END, table(figures))
    if any(one.get("during") for one in figures.values()):
        write_between(page, TROUBLE_BEGIN, TROUBLE_END, trouble_table(figures))


def by_drains(figures):
    """Waves in one cluster, and ten thousand drains in fifty."""
    waves = {int(name[5:]): one for name, one in figures.items() if re.fullmatch(r"wave-\d+", name)}
    if "spread-10000" in figures:
        waves[10_000] = figures["spread-10000"]
    return sorted(waves.items())


def by_clusters(figures):
    """One drain in each cluster."""
    matches = ((re.fullmatch(r"wave-(\d+)-in-(\d+)", name), one) for name, one in figures.items())
    waves = {int(match[1]): one for match, one in matches if match and match[1] == match[2]}
    if "wave-1" in figures:
        waves[1] = figures["wave-1"]
    return sorted(waves.items())


# A card with its own ground: readable on any page. Where the reader's preference is known it is followed.
STYLE = """
svg { font-family: system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif; font-size: 13px }
.ground { fill: #ffffff; stroke: #d0d7de } .grid { stroke: #d8dee4 } text { fill: #24292f } .dim { fill: #57606a }
.line { fill: none; stroke: #0969da; stroke-width: 2 } .kept { fill: #0969da; stroke: #0969da; stroke-width: 2 }
.missed { fill: #ffffff; stroke: #cf222e; stroke-width: 2 } .title { font-weight: 600 }
@media (prefers-color-scheme: dark) {
.ground { fill: #0d1117; stroke: #30363d } .grid { stroke: #21262d } text { fill: #e6edf3 } .dim { fill: #8b949e }
.line { stroke: #58a6ff } .kept { fill: #58a6ff; stroke: #58a6ff } .missed { fill: #0d1117; stroke: #ff7b72 }
}
"""

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 300, 58, 20, 52, 52


def steps(most):
    """Round marks from nothing to a little above the largest value."""
    rough = max(most, 1e-9) / 4
    scale = 10 ** math.floor(math.log10(rough))
    step = next(factor * scale for factor in (1, 2, 2.5, 5, 10) if factor * scale >= rough)
    return [step * n for n in range(math.ceil(most / step - 1e-9) + 1)]


def panel(at, title, what, points, most_x):
    """One diagram: `points` are (x, y, kept); x is logarithmic."""
    ticks = steps(max((y for _, y, _ in points), default=1) or 1)
    decades = math.ceil(math.log10(most_x))
    across, down = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def x_of(x):
        return at + LEFT + across * math.log10(x) / decades

    def y_of(y):
        return TOP + down * (1 - y / ticks[-1])

    out = [f'<text class="title" x="{at + LEFT}" y="30">{escape(title)}</text>']
    for tick in ticks:
        y = y_of(tick)
        out.append(f'<line class="grid" x1="{at + LEFT}" x2="{at + WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        out.append(f'<text class="dim" x="{at + LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{tick:,.4g}</text>')
    for decade in range(decades + 1):
        x = x_of(10**decade)
        out.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{TOP + down}"/>')
        label = f"{10**decade:,}"
        out.append(f'<text class="dim" x="{x:.1f}" y="{TOP + down + 18}" text-anchor="middle">{label}</text>')
    middle = at + LEFT + across / 2
    out.append(f'<text class="dim" x="{middle}" y="{HEIGHT - 14}" text-anchor="middle">{escape(what)}</text>')
    line = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y, _ in points)
    out.append(f'<polyline class="line" points="{line}"/>')
    for x, y, kept in points:
        out.append(
            f'<circle class="{"kept" if kept else "missed"}" cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="4">'
            f"<title>{x:,}: {number(y)}</title></circle>"
        )
    return "\n".join(out)


def curves(path, series, what, most_x):
    """Calls a drain beside the 99th percentile of idle to done."""
    calls = [(x, one["calls_per_drain"], not one.get("missed")) for x, one in series]
    lags = [(x, one["lag"]["p99"], not one.get("missed")) for x, one in series if one["lag"]["count"]]
    described = "; ".join(
        f"{x:,}: {number(one['calls_per_drain'])} calls, p99 {number(one['lag']['p99'])} s" for x, one in series
    )
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" role="img">',
        f"<title>Calls a drain, and idle to done, against {escape(what)}</title>",
        f"<desc>{escape(described)}</desc>",
        f"<style>{STYLE}</style>",
        f'<rect class="ground" x="0.5" y="0.5" width="{2 * WIDTH - 1}" height="{HEIGHT - 1}" rx="8"/>',
        panel(0, "AWS calls a drain", what, calls, most_x),
        panel(WIDTH, "Idle to done, p99, seconds", what, lags, most_x),
        "</svg>",
    ]
    path.write_text("\n".join(parts) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("figures", nargs="+", metavar="FILE", help="what the bench wrote with --json")
    parser.add_argument("--docs", type=Path, default=DOCS, help="the folder of performance.md")
    options = parser.parse_args()
    figures = load(options.figures)
    write_tables(options.docs / "performance.md", figures)
    for name, series, what, most in (
        ("performance-drains.svg", by_drains(figures), "drains at once", 10_000),
        ("performance-clusters.svg", by_clusters(figures), "clusters with one drain each", 1_000),
    ):
        if series:
            curves(options.docs / name, series, what, most)


if __name__ == "__main__":
    main()
