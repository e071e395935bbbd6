"""The search for weights under its former name: nsff.weights.find."""

from nsff.weights import find

__all__ = ["find"]
