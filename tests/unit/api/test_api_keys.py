"""Keys: shown once, kept hashed; none are needed on loopback only; a line that is none stops the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from stream_app.api.keys import Keys, Scope, new_key, read_keys
from stream_app.api.problems import Refusal
from stream_app.errors import SettingsError


def test_a_key_opens_after_a_way_through_its_file(tmp_path: Path) -> None:
    """The file holds a hash, not the key; every key of it works, comments and empty lines are passed over."""
    texts, lines = [], ["# whose: which", ""]
    for name, scopes in (("checkout", [Scope.SCORE]), ("desk", [Scope.READ, Scope.LABEL])):
        text, key = new_key(name, scopes)
        texts.append(text)
        lines.append(key.line().strip() + "  # since today")
    file = tmp_path / "keys"
    file.write_text("\n".join(lines))
    assert not any(text in file.read_text() for text in texts)
    keys = read_keys(str(file), "0.0.0.0")  # noqa: S104 - with keys
    keys.check(f"Bearer {texts[0]}", Scope.SCORE)
    keys.check(f"bearer {texts[1]}", Scope.LABEL)
    for given, scope in ((texts[0], Scope.READ), (texts[1], Scope.SCORE), (texts[0][:-1], Scope.SCORE), ("", Scope.SCORE)):
        with pytest.raises(Refusal):
            keys.check(f"Bearer {given}", scope)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_without_keys_everybody_may_ask_on_loopback(host: str) -> None:
    """The default."""
    read_keys("", host).check("", Scope.LABEL)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "api.example", ""])  # noqa: S104 - refused
def test_without_keys_another_address_stops_the_start(host: str) -> None:
    """With the command that makes one."""
    with pytest.raises(SettingsError, match="fraudstream api-key"):
        read_keys("", host)


@pytest.mark.parametrize(
    "text", ["", "# nothing\n", "checkout score\n", f"checkout admin {'0' * 64}\n", f"checkout score {'0' * 63}\n", "\udcff"]
)
def test_a_file_without_right_keys_stops_the_start(tmp_path: Path, text: str) -> None:
    """A file that opens nothing, or is none, never opens everything."""
    file = tmp_path / "keys"
    file.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(SettingsError, match="FRAUDSTREAM_API_KEYS_FILE"):
        read_keys(str(file), "127.0.0.1")
    with pytest.raises(SettingsError, match="cannot be read"):
        read_keys(str(tmp_path / "none"), "127.0.0.1")


def test_a_name_that_would_break_the_file_is_refused() -> None:
    """Spaces and line feeds would make another line."""
    for name in ("a b", "a\nb", "", "x" * 65):
        with pytest.raises(SettingsError, match="name"):
            new_key(name, [Scope.SCORE])


def test_no_keys_are_false() -> None:
    """So that the log can say whether keys are asked for."""
    assert not Keys(())
    assert Keys([new_key("a", [Scope.READ])[1]])
