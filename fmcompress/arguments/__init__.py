"""What public functions and classes are given is of the types that their signatures say, or an error of one line."""

from fmcompress.arguments.checking import checked_arguments

__all__ = ["checked_arguments"]
