"""What tests of several rooms share: PostgreSQL, where it can be had."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A URL of an empty PostgreSQL database: the one named, or a temporary cluster of our own."""
    if named := os.environ.get("MODELWRIGHT_TEST_POSTGRES"):
        yield named
        return
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    if not folders:
        pytest.skip("no PostgreSQL here; name one in MODELWRIGHT_TEST_POSTGRES")
    as_user = ["runuser", "-u", "nobody", "--"] if os.geteuid() == 0 else []  # PostgreSQL refuses root
    if as_user and not shutil.which("runuser"):
        pytest.skip("PostgreSQL does not run as root and there is no runuser")
    home = Path(tempfile.mkdtemp(prefix="mwpg", dir="/tmp"))  # a socket's path may have 107 bytes
    if as_user:
        shutil.chown(home, "nobody")
    data, control = home / "data", folders[-1] / "pg_ctl"

    def call(*command: str | Path) -> None:
        subprocess.run([*as_user, *map(str, command)], check=True, cwd=home, stdout=subprocess.DEVNULL)

    try:
        call(folders[-1] / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-N", "-E", "UTF8")
        options = f"-k {home} -c listen_addresses='' -c fsync=off"
        call(control, "-D", data, "-w", "-l", home / "log", "-o", options, "start")
        try:
            yield f"postgresql://tester@/postgres?host={home}"
        finally:
            call(control, "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(home, ignore_errors=True)
