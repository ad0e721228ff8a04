"""The figures of all runs as one table of ratios, in Markdown that reads well as it is."""

import statistics

from . import scenarios

COLUMNS = ('relay', 'linnet', 'ejabberd', 'prosody')
COLUMN_OF = {'relay-echo': 'relay'}     # others stand under their own name


def digits(value):
    return '%.0f' % value if value >= 100 else '%.1f' % value if value >= 10 else '%.2f' % value


def quantity(value, unit):
    if unit == 'bytes':
        return digits(value / 1024) + ' KiB'
    return digits(value) + ' µs' if value < 1000 else digits(value / 1000) + ' ms'


def medians(runs, scenario, key):
    """Of each server that had good runs."""
    found = {}
    for run in runs:
        if run['scenario'] == scenario.name and key in run.get('figures', {}):
            found.setdefault(COLUMN_OF.get(run['server'], run['server']), []).append(
                run['figures'][key])
    return {server: statistics.median(values) for server, values in found.items()}


def ratio_text(value, reference):
    return digits(value / reference) if reference else '?'


def goal_texts(figure, values):
    """Where Linnet stands, and what is asked of it."""
    goal, own = figure.goal, values.get('linnet')
    if goal is None:
        return '', ''
    if goal.reference is None:
        asked, stands = '≤ ' + quantity(goal.most, figure.unit), quantity(own or 0, figure.unit)
    elif goal.most >= 1:
        asked = '≤ %g × %s' % (goal.most, goal.reference)
        stands = ratio_text(own or 0, values.get(goal.reference)) + ' × ' + goal.reference
    else:
        asked = '≤ %s / %g' % (goal.reference, round(1 / goal.most, 3))
        stands = goal.reference + ' / ' + ratio_text(values.get(goal.reference, 0), own)
    if own is None or (goal.reference and not values.get(goal.reference)):
        return '', asked
    return stands, asked + (': met' if own <= goal.limit(values.get(goal.reference)) else ': not met')


def row_of(scenario, figure, runs):
    values = medians(runs, scenario, figure.key)
    own = values.get('linnet')
    cells = [scenario.title + ': ' + figure.label]
    for column in COLUMNS:
        if column not in values:
            cells.append('')
            continue
        text = quantity(values[column], figure.unit)
        if column != 'linnet' and own:
            text += ' (%s)' % ratio_text(values[column], own)
        cells.append(text)
    return cells + list(goal_texts(figure, values))


def row_of_shards(scenario, runs):
    """The two servers are one cell: what matters is how they compare."""
    cpu = medians(runs, scenario, scenarios.CPU_PER_MESSAGE)
    if len(cpu) < 2 or not all(cpu.values()):
        return [scenario.title, '', '', '', '', '', '≥ %g ×' % scenarios.SHARDS_GOAL]
    gain = scenarios.gain_of_shards(cpu['linnet-1'], cpu['linnet-2'])
    return [scenario.title, '', '%s, %s' % (quantity(cpu['linnet-2'], 'us'),
                                            quantity(cpu['linnet-1'], 'us')), '', '',
            digits(gain) + ' ×',
            '≥ %g ×: %s' % (scenarios.SHARDS_GOAL,
                            'met' if gain >= scenarios.SHARDS_GOAL else 'not met')]


def table(runs, chosen):
    rows = [['scenario', *COLUMNS, 'Linnet is', 'Linnet is to be']]
    for scenario in chosen:
        if scenario.name == 'shards':
            rows.append(row_of_shards(scenario, runs))
        else:
            rows.extend(row_of(scenario, figure, runs) for figure in scenario.figures)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows.insert(1, ['-' * width for width in widths])
    return '\n'.join('| ' + ' | '.join(cell.ljust(width) for cell, width in zip(row, widths)) + ' |'
                     for row in rows)
