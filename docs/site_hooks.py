"""What MkDocs asks while it builds the site: where a link goes that leaves this folder."""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parent.parent
OUTWARD = re.compile(r"\]\((\.\./[^)#\s]+)")  # of a link in Markdown, up to its anchor


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Return a page with each link to a file outside of this folder turned to the repository.

    On GitHub such a link works as it is; the site does not hold the file.

    Raises:
        PluginError: there is no such file.
    """
    folder = posixpath.dirname(f"{Path(__file__).parent.name}/{page.file.src_uri}")

    def outside(link: re.Match[str]) -> str:
        path = posixpath.normpath(f"{folder}/{link[1]}")
        if not (ROOT / path).exists():
            raise PluginError(f"{page.file.src_uri}: no file {path}, which a link names")
        return link[0] if path.startswith("docs/") else f"]({config.repo_url}/blob/main/{path}"

    return OUTWARD.sub(outside, markdown)
