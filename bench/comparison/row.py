"""A row of the comparison: one figure of a scenario, what each server reached, and what Linnet is to."""

import statistics

from . import scenarios

COLUMN_OF = {'relay-echo': 'relay'}     # others stand under their own name
NOT_OFFERED = 'not offered'
FAILED = 'failed'
WITH_ERRORS = ', with errors'


def digits(value):
    return '%.0f' % value if value >= 100 else '%.1f' % value if value >= 10 else '%.2f' % value


def quantity(value, unit):
    if unit == 'bytes':
        return digits(value / 1024) + ' KiB'
    if unit == '/s':
        return digits(value) + ' /s'
    return digits(value) + ' µs' if value < 1000 else digits(value / 1000) + ' ms'


def ratio_text(value, reference):
    return digits(value / reference) if reference else '?'


def column_of(run):
    return COLUMN_OF.get(run['server'], run['server'])


class Cell:
    """Of one server: what came of each round. A round in which a server made errors (lost messages,
    say) is shown, but counts only where there is no better one, and never towards a goal."""

    def __init__(self, runs, key):
        self.rounds = [self.figure(run, key, 'figures') for run in runs]    # None: it failed
        self.erring = [self.figure(run, key, 'erring_figures') for run in runs]
        self.lacks = next((run['not_offered'] for run in runs if 'not_offered' in run), None)
        self.value = self.median(self.rounds)
        self.shown = self.value if self.value is not None else self.median(self.erring)

    @staticmethod
    def figure(run, key, figures):
        return run.get(figures, {}).get(key)

    @staticmethod
    def median(values):
        known = [value for value in values if value is not None]
        return statistics.median(known) if known else None

    def known(self):
        """All values, of rounds with errors too."""
        return [value for value in self.rounds + self.erring if value is not None]

    def text(self, unit):
        if self.value is not None:
            return quantity(self.value, unit)
        if self.shown is not None:
            return quantity(self.shown, unit) + WITH_ERRORS
        return NOT_OFFERED if self.lacks else FAILED

    def round_texts(self, unit):
        return [quantity(good, unit) if good is not None else
                quantity(bad, unit) + WITH_ERRORS if bad is not None else
                NOT_OFFERED if self.lacks else FAILED
                for good, bad in zip(self.rounds, self.erring)]

    def as_json(self):
        made = {'median': self.value, 'rounds': self.rounds}
        if self.lacks:
            made['not_offered'] = self.lacks
        if any(value is not None for value in self.erring):
            made['with_errors'] = self.erring
        return made


class Row:
    def __init__(self, scenario, figure, runs):
        self.scenario, self.figure = scenario, figure
        self.title = '%s: %s' % (scenario.title, figure.label)
        self.cells = {}     # by column
        for run in runs:
            if run['scenario'] == scenario.name and column_of(run) not in self.cells:
                same = [r for r in runs if (r['scenario'], r['server']) ==
                        (run['scenario'], run['server'])]
                self.cells[column_of(run)] = Cell(same, figure.key)
        self.stands, self.asked, self.met = self.judge()    # texts, and True, False or None: unknown

    def value(self, column):
        return self.cells[column].value if column in self.cells else None

    def text(self, column):
        if column not in self.cells:
            return ''
        text, own = self.cells[column].text(self.figure.unit), self.value('linnet')
        if column != 'linnet' and own and self.value(column) is not None:
            text += ' (%s)' % self.times(self.value(column), own)
        return text

    def times(self, value, own):
        """How many times Linnet's; of what is better when there is more of it, what part."""
        if self.figure.unit == '/s':
            return '1/' + ratio_text(own, value)
        return ratio_text(value, own)

    def judge(self):
        goal, own, unit = self.figure.goal, self.value('linnet'), self.figure.unit
        if goal is None:
            return '', '', None
        reference = self.value(goal.reference)
        if goal.reference is None:
            asked, stands = '≤ ' + quantity(goal.most, unit), quantity(own or 0, unit)
        elif goal.most >= 1:
            asked = '≤ %g × %s' % (goal.most, goal.reference)
            stands = '%s × %s' % (ratio_text(own or 0, reference), goal.reference)
        else:
            asked = '≤ %s / %g' % (goal.reference, round(1 / goal.most, 3))
            stands = '%s / %s' % (goal.reference, ratio_text(reference or 0, own))
        if own is None or (goal.reference and not reference):
            return '', asked, None
        return stands, asked, own <= goal.limit(reference)

    def asked_and_met(self):
        return self.asked + {None: '', True: ': met', False: ': not met'}[self.met]

    def as_json(self):
        return {'scenario': self.scenario.name, 'key': self.figure.key, 'title': self.title,
                'unit': self.figure.unit, 'linnet_is': self.stands, 'goal': self.asked,
                'met': self.met, 'servers': {c: cell.as_json() for c, cell in self.cells.items()}}


class ShardsRow(Row):
    """The two servers are one cell: what matters is how they compare."""

    def __init__(self, scenario, runs):
        super().__init__(scenario, scenario.figures[0], runs)
        self.title = scenario.title

    def text(self, column):
        if column != 'linnet' or not self.cells:
            return ''
        return ', '.join(self.cells[c].text(self.figure.unit) for c in ('linnet-2', 'linnet-1')
                         if c in self.cells)

    def judge(self):
        asked = '≥ %g ×' % scenarios.SHARDS_GOAL
        one, two = self.value('linnet-1'), self.value('linnet-2')
        if not one or not two:
            return '', asked, None
        gain = scenarios.gain_of_shards(one, two)
        return digits(gain) + ' ×', asked, gain >= scenarios.SHARDS_GOAL


def rows_of(runs, chosen):
    rows = []
    for scenario in chosen:
        if scenario.name == 'shards':
            rows.append(ShardsRow(scenario, runs))
        else:
            rows.extend(Row(scenario, figure, runs) for figure in scenario.figures)
    return rows
