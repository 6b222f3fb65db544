"""The lock files by which workers of one machine know who is alive."""

from pathlib import Path

import pytest

from study.storage.connection import close_storage, open_storage
from study.storage.worker_locks import WorkerLocks, new_worker_name


@pytest.fixture
def locks(tmp_path: Path) -> WorkerLocks:
    storage = open_storage(f"sqlite:///{tmp_path}/study.db")
    close_storage(storage)
    return WorkerLocks(storage, "toy", tmp_path / "unused")


def test_a_worker_is_gone_when_its_lock_is_free(locks: WorkerLocks) -> None:
    name = new_worker_name()
    locks.clean_up()
    with locks.lock_of(name):
        assert not locks.is_gone(name, is_silent=True)  # suspended, perhaps, but alive
    assert locks.is_gone(name, is_silent=False)


@pytest.mark.parametrize("is_silent", [False, True])
def test_a_worker_without_a_lock_file_is_judged_by_its_heartbeats(locks: WorkerLocks, is_silent: bool) -> None:
    assert locks.is_gone("elsewhere-1-abc", is_silent=is_silent) == is_silent


def test_cleaning_up_leaves_the_files_of_the_living(locks: WorkerLocks) -> None:
    living, gone = new_worker_name(), new_worker_name()
    locks.clean_up()
    with locks.lock_of(living):
        locks.lock_of(gone).acquire()
        locks.lock_of(gone).release(force=True)
        locks.clean_up()
        assert locks.exists(living)
    locks.clean_up()
    assert not locks.exists(living)
    assert not locks.exists(gone)


def test_a_name_from_the_database_does_not_lead_out_of_the_folder(locks: WorkerLocks, tmp_path: Path) -> None:
    locks.clean_up()
    with locks.lock_of("../../escaped"):
        assert not (tmp_path / "escaped.lock").exists()
        assert len(list(locks.folder.iterdir())) == 1
