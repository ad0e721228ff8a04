"""The comparison as one page, complete in itself: no script, nothing from elsewhere."""

from . import machine, plot
from .element import add, document, element
from .row import NOT_OFFERED, WITH_ERRORS, column_of
from .table import COLUMNS, HEAD, texts_of

TITLE = 'Linnet beside ejabberd, prosody and a relay'
# That of linnet-bench's pages (bench/bench_html.c), with a colour for each server.
STYLE = '''
:root{color-scheme:light dark;--paper:#fcfcfb;--card:#fff;--ink:#1a1a19;--muted:#63625c;
--grid:#e7e6e1;--bad:#b42318;--good:#1c7a3d;--relay:#8b8a83;--linnet:#2a6fdb;--ejabberd:#c75f06;
--prosody:#7a4fc9}
@media (prefers-color-scheme:dark){:root{--paper:#151514;--card:#1f1f1d;--ink:#f2f1ee;--muted:#a5a49c;
--grid:#3a3a37;--bad:#ff8a7a;--good:#6fce8f;--relay:#8f8e86;--linnet:#6aa5f5;--ejabberd:#f09a50;
--prosody:#b394f5}}
body{margin:0 auto;max-width:1400px;padding:24px;background:var(--paper);color:var(--ink);
font:15px/1.45 system-ui,sans-serif}
h1{font-size:22px;margin:0}h2{font-size:16px;margin:0 0 8px}h3{font-size:14px;margin:12px 0 4px}
.muted{color:var(--muted)}.bad{color:var(--bad)}.good{color:var(--good)}
.plots{display:grid;gap:16px;margin:20px 0;
grid-template-columns:repeat(auto-fit,minmax(min(100%,520px),1fr))}
section{background:var(--card);border:1px solid var(--grid);border-radius:8px;padding:14px 16px;
margin:16px 0;overflow-x:auto}
.plots section{margin:0}
table{border-collapse:collapse}
th,td{padding:3px 16px 3px 0;border-bottom:1px solid var(--grid);text-align:left;vertical-align:top}
td.value,th.value{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
th{font-weight:600}summary{cursor:pointer;color:var(--muted)}
code{font-family:ui-monospace,monospace;font-size:13px;overflow-wrap:anywhere}
svg{display:block;width:100%;height:auto}svg text{fill:var(--muted);font-size:12px}
.middle{text-anchor:middle}.end{text-anchor:end}svg .note{fill:var(--ink)}
.grid{stroke:var(--grid)}
.line{fill:none;stroke-width:2;stroke-linejoin:round}
.bar.relay{fill:var(--relay)}.bar.linnet{fill:var(--linnet)}.bar.ejabberd{fill:var(--ejabberd)}
.bar.prosody{fill:var(--prosody)}
.line.relay{stroke:var(--relay)}.line.linnet{stroke:var(--linnet)}
.line.ejabberd{stroke:var(--ejabberd)}.line.prosody{stroke:var(--prosody)}
.two{stroke-dasharray:5 3;fill-opacity:.6}.key.two{opacity:.6}
.dot{fill:var(--card);stroke:var(--ink);stroke-width:1.5}
.key{display:inline-block;width:12px;height:12px;border-radius:3px;margin:0 6px 0 12px}
.key.relay{background:var(--relay)}.key.linnet{background:var(--linnet)}
.key.ejabberd{background:var(--ejabberd)}.key.prosody{background:var(--prosody)}
'''


def tabled(head, lines, classes):
    """`classes` of the columns; a cell is a text or an element."""
    def row(tag, cells):
        return element('tr', *(element(tag, cell, class_=class_)
                               for cell, class_ in zip(cells, classes)))
    return element('table', element('thead', row('th', head)),
                   element('tbody', *(row('td', line) for line in lines)))


def summary(around):
    lines = [('date', around['date']), ('machine', around['machine']),
             *around['versions'].items(),
             ('load', '%.2f before the run, %.2f at its end, with the comparison\'s own work in it'
              % (around['load_before'], around['load_after'])),
             ('played', 'medians of %(rounds)d rounds of %(seconds)g s, %(users)d users, idle: '
              '%(idle_users)d' % around)]
    return element(
        'section',
        element('p', machine.verdict(around), class_='bad' if around['busy'] else 'good'),
        tabled(('', ''), lines, ('muted', '')),
        element('p', element('code', around['command'])))


def ratios(rows):
    lines = []
    for row in rows:
        *cells, asked = texts_of(row)
        goal = element('span', asked, class_={None: '', True: 'good', False: 'bad'}[row.met])
        lines.append([*cells, goal])
    return element(
        'section', element('h2', 'Ratios'),
        element('p', 'In brackets: how many times Linnet\'s figure it is. CPU is what the server\'s '
                'processes used, divided by the operations.', class_='muted'),
        tabled(HEAD, lines, ('', *('value' for _ in COLUMNS), 'value', '')))


def rounds(row):
    """Every value, so that the noise shows."""
    most = max((len(cell.rounds) for cell in row.cells.values()), default=0)
    lines = []
    for column, cell in row.cells.items():
        texts = cell.round_texts(row.figure.unit)
        lines.append([column, *texts] + [''] * (most - len(texts)))
    return tabled(['', *('round %d' % (n + 1) for n in range(most))], lines,
                  ('', *('value' for _ in range(most))))


def legend(columns):
    return element('p', *(piece for column in columns for piece in
                          (element('span', class_='key ' + plot.colour(column)),
                           element('span', column, class_='muted'))))


def latencies(row, runs):
    """Of all rounds together."""
    found = {}
    for run in runs:
        if run['scenario'] == row.scenario.name and run.get('latency'):
            found.setdefault(column_of(run), []).extend(run['latency'])
    drawn = plot.distribution(found, row.scenario.title + ': distribution of latency')
    if drawn is None:
        return []
    return [element('h3', 'Distribution of latency, share of all messages'), legend(found), drawn]


def card(row, runs):
    pieces = [element('h2', row.title)]
    if row.asked:
        pieces.append(element('p', 'Linnet is to be %s' % row.asked_and_met(),
                              class_={None: 'muted', True: 'good', False: 'bad'}[row.met]))
    pieces += [plot.bars(row), rounds(row)]
    pieces += [element('p', '%s: %s (%s)' % (column, NOT_OFFERED, cell.lacks), class_='muted')
               for column, cell in row.cells.items() if cell.lacks]
    if any(WITH_ERRORS in row.text(column) for column in row.cells):
        pieces.append(element('p', 'With errors: something was lost, doubled, out of order or refused.',
                              class_='bad'))
    if row.scenario.is_chat and row.figure is row.scenario.figures[0]:
        pieces += latencies(row, runs)
    return element('section', *pieces)


def commands(runs):
    first = {}
    for run in runs:
        first.setdefault((run['scenario'], run['server']), run['command'])
    return element('section', element('details', element('summary', 'Commands of the first round'),
                                      tabled(('scenario', 'server', 'command'),
                                             [[*who, element('code', command)]
                                              for who, command in first.items()], ('', '', ''))))


def page(around, rows, runs):
    body = element('body', element('h1', TITLE), summary(around), ratios(rows))
    add(body, element('p', 'A bar is the median, a dot one round.', class_='muted'),
        element('div', *(card(row, runs) for row in rows if row.cells), class_='plots'),
        commands(runs))
    head = element('head', element('meta', charset='utf-8'),
                   element('meta', name='viewport', content='width=device-width, initial-scale=1'),
                   element('title', TITLE), element('style', STYLE))
    return document(element('html', head, body, lang='en'))
