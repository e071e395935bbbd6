"""Subcommands of ``nsff``, one file each (nsff/cli.py says what is in it)."""
