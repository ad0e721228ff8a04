"""A terminal's screen as a picture: what `tmux capture-pane -p -e` gives, as SVG."""

import re
from xml.sax.saxutils import escape

COLOURS = ('#1c1c1c', '#d75f5f', '#87af5f', '#d7af5f', '#5f87d7', '#af87d7', '#5fafaf', '#d0d0d0')
CELL_X, CELL_Y, SIZE = 7.8, 17, 13      # pixels
PART = re.compile(r'\x1b\[([0-9;]*)m')


class Pen:
    """How the next characters look."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.ink, self.paper, self.bold, self.reverse = COLOURS[7], COLOURS[0], False, False

    def take(self, codes):
        """One sequence of ECMA-48's SGR; what is not shown here is skipped."""
        for code in (int(c or 0) for c in codes.split(';')):
            if code == 0:
                self.reset()
            elif code in (1, 22):
                self.bold = code == 1
            elif code in (7, 27):
                self.reverse = code == 7
            elif code // 10 in (3, 9):
                self.ink = COLOURS[code % 10 if code % 10 < 8 else 7]
            elif code // 10 in (4, 10):
                self.paper = COLOURS[code % 10 if code % 10 < 8 else 0]

    def draw(self, column, row, text):
        ink, paper = (self.paper, self.ink) if self.reverse else (self.ink, self.paper)
        x, y, width = column * CELL_X, row * CELL_Y, len(text) * CELL_X
        drawn = []
        if paper != COLOURS[0]:
            drawn.append('<rect x="%.1f" y="%d" width="%.1f" height="%d" fill="%s"/>'
                         % (x, y, width, CELL_Y, paper))
        if text.strip():
            drawn.append('<text x="%.1f" y="%d" textLength="%.1f" fill="%s"%s>%s</text>'
                         % (x, y + SIZE, width, ink, ' font-weight="bold"' if self.bold else '',
                            escape(text)))
        return drawn


def draw_line(pen, row, line):
    drawn, column = [], 0
    for i, part in enumerate(PART.split(line)):
        if i % 2:
            pen.take(part)
        elif part:
            drawn += pen.draw(column, row, part)
            column += len(part)
    return drawn


def svg(screen, columns):
    """screen: lines with their escape sequences."""
    lines, pen = screen.rstrip('\n').split('\n'), Pen()
    drawn = [element for row, line in enumerate(lines) for element in draw_line(pen, row, line)]
    width, height = columns * CELL_X, len(lines) * CELL_Y + 4
    return '\n'.join(
        ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %.0f %d" font-family="monospace"'
         ' font-size="%d" xml:space="preserve">' % (width, height, SIZE),
         '<rect width="100%%" height="100%%" fill="%s"/>' % COLOURS[0], *drawn, '</svg>', ''])
