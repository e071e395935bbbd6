"""Options of ray fields: none, since the sections field, sampling and losses are theirs."""

from nsff.config.base import StageConfig


class Options(StageConfig):
    """Empty."""
