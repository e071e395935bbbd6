"""Files for other programs, made on demand from a finished scene: one file of this room for each kind.

``nsff export`` (nsff/commands/export.py) calls one function of each kind that is asked for.
"""
