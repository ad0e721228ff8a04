"""Charts as SVG, parts of a page: colours and type are the page's style."""

import math

from .element import add, element
from .row import quantity

WIDTH = 640
LEFT, RIGHT = 96, 96        # names of the servers, figures
BAR, GAP, FOOT = 22, 12, 40
LOG_FROM = 20               # the largest so many times the smallest: a logarithmic scale
LINES_HEIGHT, LINES_LEFT = 260, 56
PER_OCTAVE = 4              # points of a distribution


def colour(column):
    """Classes of the style."""
    return 'linnet two' if column == 'linnet-2' else column.partition('-')[0]


def text(class_, x, y, what):
    return element('text', what, class_=class_, x='%.1f' % x, y='%.1f' % y)


def line(class_, x1, y1, x2, y2):
    return element('line', class_=class_, x1='%.1f' % x1, y1='%.1f' % y1, x2='%.1f' % x2,
                   y2='%.1f' % y2)


def chart(height, label):
    return element('svg', viewBox='0 0 %d %d' % (WIDTH, height), role='img', aria_label=label)


def tick_text(value, unit):
    if unit == 'bytes':
        return '%g KiB' % (value / 1024)
    return '%g µs' % value if value < 1000 else '%g ms' % (value / 1000)


def step_of(most):
    power = 10 ** math.floor(math.log10(most))
    return power / 2 if most / power < 2 else power if most / power < 5 else power * 2


class Scale:
    """From values to x. Ticks are at round numbers of so much as `one` is."""

    def __init__(self, values, left, right, one=1):
        self.left, self.right, self.one = left, right, one
        low, high = min(values), max(values)
        self.is_log = low > 0 and high / low > LOG_FROM
        if self.is_log:
            self.low, self.high = 10 ** math.floor(math.log10(low / one)) * one, high
        else:
            self.low, self.high = 0, high or one

    def share(self, value):
        if not self.is_log:
            return value / self.high
        return math.log(max(value, self.low) / self.low) / math.log(self.high / self.low)

    def x(self, value):
        return self.left + self.share(value) * (self.right - self.left)

    def ticks(self):
        if self.is_log:
            value = self.low
            while value <= self.high:
                yield value
                value *= 10
        else:
            step = step_of(self.high / self.one) * self.one
            for n in range(int(self.high / step + 1e-9) + 1):
                yield n * step


def bars(row):
    """One for each server, a dot for each round."""
    unit = row.figure.unit
    values = [v for cell in row.cells.values() for v in cell.known()]
    height = len(row.cells) * (BAR + GAP) + GAP + FOOT
    svg = chart(height, row.title)
    bottom = height - FOOT
    scale = Scale(values or [1], LEFT, WIDTH - RIGHT, 1024 if unit == 'bytes' else 1)
    for tick in scale.ticks() if values else ():
        add(svg, line('grid', scale.x(tick), 4, scale.x(tick), bottom),
            text('middle', scale.x(tick), bottom + 16, tick_text(tick, unit)))
    if values:
        add(svg, text('middle', (LEFT + WIDTH - RIGHT) / 2, height - 6, 'logarithmic scale'
                      if scale.is_log else 'linear scale'))
    for number, (column, cell) in enumerate(row.cells.items()):
        top = GAP + number * (BAR + GAP)
        middle = top + BAR / 2
        add(svg, text('end', LEFT - 8, middle + 4, column))
        if cell.shown is None:
            add(svg, text('note', LEFT + 8, middle + 4, cell.text(unit)))
            continue
        add(svg, element('rect', class_='bar ' + colour(column), x=LEFT, y='%.1f' % top, height=BAR,
                         width='%.1f' % max(scale.x(cell.shown) - LEFT, 1)))
        for value in cell.known():
            add(svg, element('circle', element('title', quantity(value, unit)), class_='dot',
                             cx='%.1f' % scale.x(value), cy='%.1f' % middle, r=3.5))
        add(svg, text('note', scale.x(max(cell.known())) + 8, middle + 4, cell.text(unit)))
    return svg


def shares(buckets):
    """[[longest in us, how many], ...] as {quarter of an octave: share of all in %}."""
    found, total = {}, sum(n for _, n in buckets)
    for longest, n in buckets:
        point = math.floor(math.log2(max(longest, 1)) * PER_OCTAVE)
        found[point] = found.get(point, 0) + n * 100 / total
    return found


def distribution(buckets_by_column, label):
    """Latencies: a line for each server, of what share took so long."""
    found = {column: shares(b) for column, b in buckets_by_column.items() if b}
    if not found:
        return None
    points = [p for share in found.values() for p in share]
    first, last = min(points), max(points) + 1
    most = max(share for shares_ in found.values() for share in shares_.values())
    bottom, top, right = LINES_HEIGHT - FOOT, 12, WIDTH - 16
    svg = chart(LINES_HEIGHT, label)

    def x(point):
        return LINES_LEFT + (point - first) / (last - first) * (right - LINES_LEFT)

    def y(share):
        return bottom - share / most * (bottom - top)

    step = step_of(most)
    for n in range(int(most / step + 1e-9) + 1):
        add(svg, line('grid', LINES_LEFT, y(n * step), right, y(n * step)),
            text('end', LINES_LEFT - 6, y(n * step) + 4, '%g' % (n * step)))
    for time in (digit * 10 ** power for power in range(10) for digit in (1, 2, 5)):
        point = math.log2(time) * PER_OCTAVE
        if first <= point <= last:
            add(svg, line('grid', x(point), top, x(point), bottom),
                text('middle', x(point), bottom + 16, tick_text(time, 'us')))
    add(svg, text('middle', (LINES_LEFT + right) / 2, LINES_HEIGHT - 6,
                  'latency (logarithmic scale)'),
        text('', 2, top - 2, '%'))
    for column, share in found.items():
        path = ['%.1f,%.1f' % (x(p), y(share.get(p, 0))) for p in range(first, last + 1)]
        add(svg, element('polyline', element('title', column), class_='line ' + colour(column),
                         points=' '.join(path)))
    return svg
