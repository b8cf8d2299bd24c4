"""What CI says of known advisories."""

import runpy

from tests.conftest import ROOT


def test_advisories_are_named_and_silence_is_not_all_clear() -> None:
    describe = runpy.run_path(str(ROOT / ".ci" / "audit.py"))["describe"]
    skipped = {"name": "ours", "skip_reason": "not found"}
    assert "not checked" in describe({"dependencies": [skipped]})[0]
    vulns = [{"id": "CVE-1", "fix_versions": ["2.1"]}, {"id": "CVE-2", "fix_versions": []}]
    asked = [{"name": "a", "version": "2.0", "vulns": vulns}, {"name": "b", "version": "1"}]
    assert describe({"dependencies": [*asked, skipped]}) == [
        "2 of 3 packages checked, 2 known",
        "a 2.0: CVE-1, fixed in 2.1",
        "a 2.0: CVE-2, fixed in no version",
    ]
