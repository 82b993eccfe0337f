"""A progress that keeps what it is told."""

from fmcompress.progress import Progress


class Notes(Progress):
    """Keeps the notes as ``lines``."""

    def __init__(self):
        self.lines = []

    def note(self, message):
        self.lines.append(message)
