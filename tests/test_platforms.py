"""The package asks nothing of an operating system that Windows lacks."""

import ast
import os
from pathlib import Path

import pytest

import jaxrl_ft
from jaxrl_ft.core import files
from jaxrl_ft.store import run_directory

FILES = sorted(Path(jaxrl_ft.__file__).parent.rglob("*.py"))
# From "Availability: Unix" in the documentation of Python's standard library.
MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
NAMES = {
    "os": "chown chroot fchmod fork forkpty getgid getgroups getlogin getloadavg getpgid getpgrp getppid getpriority "
    "getsid getuid initgroups kill killpg lchown mkfifo mknod nice pathconf posix_spawn setgid setpgid setpriority "
    "setsid setuid sync sysconf uname wait waitpid O_CLOEXEC O_DIRECTORY O_NOFOLLOW",
    "signal": "SIGALRM SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2 alarm "
    "pthread_kill setitimer sigwait pause",
    "socket": "AF_UNIX socketpair",
}


def used(path):
    """Modules that a file imports, and attributes of modules that it names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield from (node.module.split(".")[0], *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"


def test_no_file_uses_what_windows_lacks():
    lacking = MODULES | {f"{module}.{name}" for module, names in NAMES.items() for name in names.split()}
    assert {str(path): found for path in FILES if (found := lacking & set(used(path)))} == {}


def test_what_windows_lacks_is_found(tmp_path):
    (tmp_path / "a.py").write_text(
        "import fcntl\nfrom os import fork\nimport os, signal\nos.killpg(1, signal.SIGKILL)\n"
    )
    assert {"fcntl", "os.fork", "os.killpg", "signal.SIGKILL"} <= set(used(tmp_path / "a.py"))


def test_a_bundle_is_written_where_directories_cannot_be_opened(tmp_path, monkeypatch):
    opened = os.open

    def refuse(path, *args):
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied")
        return opened(path, *args)

    monkeypatch.setattr(files.os, "open", refuse)
    with pytest.raises(PermissionError):
        files.sync_directory(tmp_path)
    # Paths know the platform by this name too, and so only what syncs may see it.
    with monkeypatch.context() as patch:
        patch.setattr(os, "name", "nt")
        assert files.sync_directory(tmp_path) is None


def test_a_drive_that_is_not_there_is_refused(monkeypatch):
    monkeypatch.setattr(run_directory, "is_there", lambda path: False)
    monkeypatch.setattr(run_directory.Path, "is_dir", lambda path: False)
    with pytest.raises(ValueError, match="is not a directory"):
        run_directory.check("gone/run")
