"""Subcommands of ``nsff``: one file each, with HELP, add_arguments(parser) and run(arguments)."""
