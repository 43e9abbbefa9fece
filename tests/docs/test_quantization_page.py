"""The code of docs/quantization.md, run as it stands."""

import re
from pathlib import Path

import pytest
import workspace


def test_the_page_s_code_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (workspace.REPOSITORY / "docs" / "quantization.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```python\n(.*?)^```$", page, re.M | re.S)
    exec(compile(code, "docs/quantization.md", "exec"), {"folder": tmp_path})
    shares, what = capsys.readouterr().out.splitlines()
    eight, four = map(float, shares.split())
    assert four < eight < 0.5
    assert "bits=4" in what
