"""What bench/compare stands on.

process     a program in a process group of its own, started, waited for and stopped by its id
servers     Linnet, its peers and the relay: their settings, their accounts, how each starts
packages    Debian's packages of the peers, installed without their services being started
scenarios   what is measured with linnet-bench, and what Linnet is to reach
table       the figures of all runs as one table of ratios
"""


class Failure(Exception):
    """The comparison cannot go on; the text says why."""
