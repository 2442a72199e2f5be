"""What results carry of the machine: the commit of this code, or none, and the C library."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from adaptbench.benchmarks.runs.devices import CPU
from adaptbench.benchmarks.runs.environment import describe_machine, git_state

MODULE = "benchmarks/runs/environment.py"
COMMIT = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "commit", "-q", "--no-verify", "-m", "All."]


def git(folder, *arguments):
    return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout.strip()


def commit_all(folder):
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, *COMMIT)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture(autouse=True)
def no_repository_of_a_hook(monkeypatch):
    """Undoes what git tells its hooks, in which tests may run."""
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def checkout(tmp_path):
    """A repository laid out like this one."""
    folder = tmp_path / "checkout"
    (folder / MODULE).parent.mkdir(parents=True)
    (folder / MODULE).touch()
    (folder / "adaptbench").mkdir()
    (folder / "adaptbench" / "benchmarks").symlink_to("../benchmarks")
    commit_all(folder)
    return folder


@pytest.mark.parametrize("package", [".", "adaptbench"])
def test_a_checkout_gives_its_commit_and_its_changes(checkout, package):
    module, commit = checkout / package / MODULE, git(checkout, "rev-parse", "HEAD")
    assert git_state(module) == (commit, False)
    (checkout / "notes.txt").touch()
    assert git_state(module) == (commit, False), "files that git does not track are no changes"
    (checkout / MODULE).write_text("changed")
    assert git_state(module) == (commit, True)


@pytest.mark.parametrize("tracked", [True, False], ids=["committed", "ignored"])
def test_an_environment_in_somebody_elses_repository_gives_no_commit(tmp_path, tracked):
    module = tmp_path / ".venv/lib/site-packages/adaptbench" / MODULE
    module.parent.mkdir(parents=True)
    module.touch()
    if not tracked:
        (tmp_path / ".gitignore").write_text(".venv\n")
    commit_all(tmp_path)
    assert git_state(module) == (None, None)


def test_files_unpacked_into_a_repository_give_no_commit(tmp_path):
    (tmp_path / "theirs.txt").touch()
    commit_all(tmp_path)
    (tmp_path / MODULE).parent.mkdir(parents=True)
    (tmp_path / MODULE).touch()
    assert git_state(tmp_path / MODULE) == (None, None)


def test_a_repository_named_by_the_environment_gives_no_commit(checkout, tmp_path, monkeypatch):
    """So it is in the hooks of another repository."""
    shutil.copytree(checkout, tmp_path / "other")
    shutil.rmtree(checkout / ".git")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "other" / ".git"))
    assert git_state(checkout / MODULE) == (None, None)


def test_a_checkout_of_another_user_gives_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    refused = subprocess.run(["git", "-C", checkout, "status"], capture_output=True, text=True)
    assert "dubious ownership" in refused.stderr
    assert git_state(checkout / MODULE) == (None, None)


def test_where_git_gives_no_status_dirty_is_unknown(checkout):
    commit = git(checkout, "rev-parse", "HEAD")
    (checkout / ".git/info/attributes").write_text("*.py filter=broken\n")
    git(checkout, "config", "filter.broken.required", "true")
    git(checkout, "config", "filter.broken.clean", "false")
    (checkout / MODULE).write_text("changed")  # to compare them, git has to filter
    assert git_state(checkout / MODULE) == (commit, None)


def test_without_git_there_is_no_commit(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert git_state(Path(__file__)) == (None, None)


@pytest.mark.parametrize(("found", "recorded"), [(("glibc", "2.36"), "glibc 2.36"), (("", ""), None)])
def test_the_c_library_is_recorded_where_it_is_known(found, recorded, monkeypatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: found)
    describe_machine.cache_clear()
    assert describe_machine(CPU).versions["libc"] == recorded
    describe_machine.cache_clear()
