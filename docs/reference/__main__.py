"""Writes the pages that are made from the code."""

from docs.reference.pages import made_pages


def main() -> None:
    """Write each page in its place."""
    for path, text in made_pages().items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
