"""`kingfisher`: every command that is listed exists, says how it is used, and loads nothing that it does not need."""

from __future__ import annotations

import subprocess
import sys

import pytest

from daemon.cli.main import COMMANDS, main


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_says_how_it_is_used(name, capsys):
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])
    assert ended.value.code == 0
    assert f"kingfisher {name}" in capsys.readouterr().out


def test_the_list_of_commands_needs_none_of_them(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = capsys.readouterr().out
    assert all(name in listed for name in COMMANDS)


def test_an_unknown_command_is_a_wrong_call(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["pay"])
    assert ended.value.code == 2
    assert "invalid choice: 'pay'" in capsys.readouterr().err


def test_checking_a_config_loads_no_model_runtime_and_no_web_server():
    code = (
        "import sys; from daemon.cli.main import main; main(['config', 'check', '--config', '/nonexistent']);"
        "print([m for m in ('onnxruntime', 'aiohttp', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_start_loads_nothing_that_only_comes_after_its_first_screen():
    """Each of these takes a noticeable part of a start on a small board."""
    code = (
        "import sys; from daemon.cli.dataclass_code import DAEMON; [__import__(name) for name in DAEMON];"
        "late = ('onnxruntime', 'numkong', 'cryptography.x509', 'aiohttp', 'sqlite_utils', 'segno', 'av');"
        "print([name for name in late if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
