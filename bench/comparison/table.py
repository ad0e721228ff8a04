"""The rows as one table of ratios, in Markdown that reads well as it is."""

COLUMNS = ('relay', 'linnet', 'ejabberd', 'prosody')
HEAD = ('scenario', *COLUMNS, 'Linnet is', 'Linnet is to be')


def texts_of(row):
    return [row.title, *(row.text(column) for column in COLUMNS), row.stands, row.asked_and_met()]


def table(rows):
    lines = [HEAD] + [texts_of(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEAD))]
    lines.insert(1, ['-' * width for width in widths])
    return '\n'.join('| ' + ' | '.join(cell.ljust(width) for cell, width in zip(line, widths)) + ' |'
                     for line in lines)
