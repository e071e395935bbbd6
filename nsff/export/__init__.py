"""A scene and its objects in the formats of other programs (docs/exports.md), made on demand: one file of this room for
each kind. ``nsff export`` (nsff/commands/export.py) calls one function of the kind that is asked for.
"""
