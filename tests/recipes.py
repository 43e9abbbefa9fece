"""The code blocks of our pages, and how they are followed: `path`:, or `path`, under `key:`, before a block."""

import re
from dataclasses import dataclass
from pathlib import Path

import workspace

BLOCK = re.compile(r"^`(?P<path>\S+?)`(?:, under `(?P<section>\w+):`|:)\n\n```\w+\n(?P<text>.*?)^```$", re.M | re.S)


@dataclass(frozen=True)
class Page:
    """A page, or a section of it."""

    text: str

    @classmethod
    def of(cls, path: str) -> "Page":
        return cls((workspace.REPOSITORY / path).read_text(encoding="utf-8"))

    @property
    def sections(self) -> dict[str, "Page"]:
        """Title -> section."""
        parts = re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", self.text, re.M | re.S)
        return {title: Page(text) for title, text in parts}

    @property
    def files(self) -> dict[str, str]:
        """Path -> content, of the files that it makes."""
        return {block["path"]: block["text"] for block in BLOCK.finditer(self.text) if not block["section"]}

    @property
    def entries(self) -> dict[str, str]:
        """Section of params.yaml -> what is written into it."""
        return {block["section"]: block["text"] for block in BLOCK.finditer(self.text) if block["section"]}

    @property
    def commands(self) -> list[str]:
        """The lines of its shell blocks."""
        return [line for block in self.blocks("sh") for line in block.splitlines()]

    @property
    def languages(self) -> list[str]:
        """Of all its blocks."""
        return re.findall(r"^```(\w+)$", self.text, re.M)

    def blocks(self, language: str) -> list[str]:
        return re.findall(rf"^```{language}\n(.*?)^```$", self.text, re.M | re.S)

    def follow(self, made: workspace.Workspace, package: Path | None = None) -> None:
        """Write its files into the workspace, or into a package elsewhere, and its entries into params.yaml."""
        for name, text in self.files.items():
            path = (package or made.path) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for section, text in self.entries.items():
            made.edit("params.yaml", f"{section}:\n", f"{section}:\n{text}")
