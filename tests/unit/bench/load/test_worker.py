import subprocess

from bench.load.worker_pool import _COMMAND


def test_without_the_command_it_ends_silently() -> None:
    ended = subprocess.run(_COMMAND, input=b"", capture_output=True, timeout=30, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, b"", b"")
