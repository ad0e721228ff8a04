"""What bench/compare stands on.

process     a program in a process group of its own, started, waited for and stopped by its id
servers     Linnet, its peers and the relay: their settings, their accounts, how each starts
features    what clients may ask a server for, and each server's settings for it
packages    Debian's packages of the peers, installed without their services being started
scenarios   what is measured with linnet-bench, and what Linnet is to reach
row         one figure of a scenario: of each server, of each round, and whether the goal is met
table       the rows as one table of ratios
page        all of it as an HTML page, of elements (element) and charts (plot)
machine     the machine, and whether others kept it busy
"""


class Failure(Exception):
    """The comparison cannot go on; the text says why."""
