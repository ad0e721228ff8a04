"""The machine on which all is measured, and how busy others keep it."""

import os
import platform
import re
import time

LOAD_BUSY = 0.5     # load average before anything is started
OTHERS_BUSY = 0.2   # cores that others use meanwhile


def cpu_model():
    with open('/proc/cpuinfo', encoding='utf-8') as f:
        found = re.search(r'^model name\s*: (.*)$', f.read(), re.MULTILINE)
    return found.group(1) if found else platform.machine()


def description():
    return '%s, %d cores, Linux %s' % (cpu_model(), os.cpu_count(), platform.release())


def used_s():
    """CPU seconds of all since the machine began, with those that its host took away."""
    with open('/proc/stat', encoding='ascii') as f:
        user, nice, system, _, _, irq, softirq, steal = map(int, f.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf('SC_CLK_TCK')


def own_s():
    """Ours, and that of what we started, as far as it has ended."""
    return sum(os.times()[:4])


class Watch:
    """From before our first program is started until after the last has ended."""

    def __init__(self):
        self.load_before, self.load_after = os.getloadavg()[0], None
        self.began = time.monotonic(), used_s(), own_s()
        self.others = None      # cores that others used

    def end(self):
        took, used, own = (now - then for now, then in
                           zip((time.monotonic(), used_s(), own_s()), self.began))
        self.load_after = os.getloadavg()[0]
        self.others = max(0.0, (used - own) / took)

    @property
    def was_busy_before(self):
        return self.load_before > LOAD_BUSY

    def as_json(self):
        return {'load_before': round(self.load_before, 2), 'load_after': round(self.load_after, 2),
                'others_cores': round(self.others, 3),
                'busy': self.was_busy_before or self.others > OTHERS_BUSY}


def verdict(surroundings):
    """A sentence, of what Watch.as_json() tells."""
    how = ('load average %.2f before the run, and while it ran other programs used %.2f cores'
           % (surroundings['load_before'], surroundings['others_cores']))
    if surroundings['busy']:
        return ('The machine was busy (%s): times and CPU are more than they would be on an idle one, '
                'latencies most of all.' % how)
    return 'The machine had nothing else to do (%s).' % how
