"""Small charts as inline SVG. Numbers in, markup out; no text of a label comes here. Pure."""

from collections.abc import Sequence

HEIGHT, GROUND = 120, 100


def bar(share: float) -> str:
    """A bar of that share of the width of its cell."""
    width = 100 * min(max(share, 0.0), 1.0)
    return (
        '<svg width="100%" height="10" aria-hidden="true"><rect width="100%" height="10" rx="3" class="fill-line"/>'
        f'<rect width="{width:.2f}%" height="10" rx="3" class="fill-changed"/></svg>'
    )


def shares(parts: Sequence[tuple[int, str]]) -> str:
    """One bar, divided by (count, class of the fill)."""
    total, at, made = sum(count for count, _ in parts), 0.0, []
    for count, fill in parts:
        width = 100 * count / total if total else 0.0
        made.append(f'<rect x="{at:.2f}%" width="{width:.2f}%" height="14" class="{fill}"/>')
        at += width
    return f'<svg width="180" height="14" aria-hidden="true">{"".join(made)}</svg>'


def interval(share: float, low: float, high: float) -> str:
    """The estimate as a dot on its interval, on a scale from 0 to a little more than its end."""
    scale = max(high, share, 0.001) * 1.15
    x = [100 * min(max(value / scale, 0.0), 1.0) for value in (low, share, high)]
    return (
        '<svg width="100%" height="18" aria-hidden="true"><rect y="8" width="100%" height="2" class="fill-line"/>'
        f'<line x1="{x[0]:.2f}%" x2="{x[2]:.2f}%" y1="9" y2="9" class="stroke"/>'
        f'<circle cx="{x[1]:.2f}%" cy="9" r="5" class="fill-changed"/></svg>'
    )


def histogram(live: Sequence[int], replay: Sequence[int]) -> str:
    """Two bars a bin, each as a share of its own side; bins are steps of equal width from 0 to 1."""
    tops = [sum(live) or 1, sum(replay) or 1]
    most = max([*(count / tops[0] for count in live), *(count / tops[1] for count in replay), 0.01])
    made = []
    for index, pair in enumerate(zip(live, replay, strict=True)):
        for side, (count, top) in enumerate(zip(pair, tops, strict=True)):
            height = 92 * count / top / most
            fill = ("fill-live", "fill-replay")[side]
            made.append(
                f'<rect x="{40 * index + 5 + 15 * side}" y="{GROUND - height:.2f}" width="14" height="{height:.2f}" '
                f'class="{fill}"/>'
            )
        made.append(f'<text x="{40 * index}" y="{HEIGHT - 6}">{index / len(live):.1f}</text>')
    width = 40 * len(live) + 20
    label = "labels by probability, live and replay"
    return (
        f'<svg viewBox="0 0 {width} {HEIGHT}" width="100%" role="img" aria-label="{label}">'
        f'<rect y="{GROUND}" width="{width}" height="1" class="fill-line"/>{"".join(made)}</svg>'
    )
