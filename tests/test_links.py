"""Links of the documentation lead to files and headings that are there."""

import json
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "docs/notebooks").glob("*.ipynb")])


def text_of(page):
    """The Markdown of a page, without blocks of code."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        text = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")
    return re.sub(r"(?ms)^```.*?^```", "", text)


@cache
def anchors(page):
    """The anchors of a page's headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"(?m)^#+ (.*)$", text_of(page)):
        words = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading)
        base = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        found.add(next(name for name in (base, *(f"{base}-{n}" for n in range(1, 100))) if name not in found))
    return found


class Html(HTMLParser):
    """The links and anchors of a page."""

    def __init__(self, text):
        super().__init__()
        self.links, self.anchors = set(), {""}
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        self.links |= {named[name] for name in ("href", "src") if named.get(name)}
        self.anchors |= {named["id"]} if named.get("id") else set()


def broken(page, links, anchors_of):
    """The links of a page that lead nowhere, except to other sites and into reports of a reader's own."""
    found = []
    for link in links:
        if re.match(r"[a-z]+:|\.\./runs/", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = page.parent / path.partition("?")[0] if path else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            found.append(link)
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_of_a_page_lead_somewhere(page):
    text = re.sub(r"`[^`\n]*`", "", text_of(page))
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r"(?m)^\[[^]]+\]: (\S+)", text)
    assert not broken(page, links, anchors)


def test_a_broken_link_is_found():
    page, wrong = ROOT / "README.md", ["docs/none.md", "docs/own.md#none", "#none"]
    assert broken(page, [*wrong, "docs/own.md#a-task", "#start", "https://example.org"], anchors) == wrong


@pytest.mark.slow
def test_the_reference_of_the_python_api_is_made_without_a_warning_and_its_links_lead_somewhere(tmp_path):
    pytest.importorskip("sphinx")
    sphinx = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", ROOT / "docs/api", tmp_path]
    made = subprocess.run(sphinx, capture_output=True, text=True)
    assert made.returncode == 0, made.stderr
    pages = {page: Html(page.read_text(encoding="utf-8")) for page in tmp_path.glob("*.html")}
    assert len(pages[tmp_path / "index.html"].anchors) > 50
    for page, html in pages.items():
        assert not broken(page, html.links, lambda target: pages[target].anchors), page.name
