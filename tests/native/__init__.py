"""The native core: built with the compiler that is here, and held against the Python package."""
