"""README as PyPI shows it: links and pictures lead to the repository. A release runs ``python -m docs.pypi`` first."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
LINK = re.compile(r"(!?)(\[[^\]]*\])\((?!https?://|#)([^)]+)\)")  # of a file of the repository


def absolute(readme: str, repository: str, revision: str) -> str:
    """Return Markdown whose relative links are addresses of a revision of a repository on GitHub.

    >>> absolute("![x](docs/a.png), [y](docs/b.md#c), [z](#here)", "https://github.com/me/it", "v1")
    '![x](https://github.com/me/it/raw/v1/docs/a.png), [y](https://github.com/me/it/blob/v1/docs/b.md#c), [z](#here)'
    """
    return LINK.sub(
        lambda match: f"{match[1]}{match[2]}({repository}/{'raw' if match[1] else 'blob'}/{revision}/{match[3]})", readme
    )


def main() -> None:
    """Rewrite README in place, for the version and the repository of pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    readme = ROOT / "README.md"
    text = absolute(readme.read_text(encoding="utf-8"), project["urls"]["Repository"], f"v{project['version']}")
    readme.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
