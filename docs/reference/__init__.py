"""The pages that are made from the code: ``docs/cli.md``, and the reference in ``docs/python.md``."""
