"""The shared cache: prepared once, completely or not at all, again if damaged, and never with the test split in it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from data.source import DataSource, Split, find_source
from data.texts import load_search_texts
from preprocessing.cache import CacheError, clear, entries, open_or_build
from preprocessing.encoding import encode
from preprocessing.prepared import PreparedTexts, open_prepared, prepare_for_search, prepare_test

PREPARE = """
import sys, pathlib
from data.source import Split, find_source
from preprocessing.prepared import prepare_for_search
source, _ = find_source(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
prepare_for_search(Split(source), cache_dir=pathlib.Path(sys.argv[2]), on_event=print)
"""

CLASSES = """
import json, sys, pathlib
from data.source import Split, find_source
from preprocessing.prepared import prepare_for_search
prepared = prepare_for_search(Split(find_source(sys.argv[1])[0]), cache_dir=pathlib.Path(sys.argv[2]))
print(json.dumps(prepared.classes))
"""


def start_preparing(data: Path, cache_dir: Path) -> subprocess.Popen[str]:
    """Start a process that imports everything, then waits for a line on its standard input."""
    command = [sys.executable, "-c", PREPARE, str(data), str(cache_dir)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.stdin.write("\n")
    process.stdin.flush()


def prepare(data: Path, cache_dir: Path, events: list[str] | None = None) -> PreparedTexts:
    on_event = (lambda _: None) if events is None else events.append
    return prepare_for_search(Split(find_source(str(data))[0]), cache_dir=cache_dir, on_event=on_event)


@pytest.fixture
def cache_dir(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_the_cache_holds_the_encoded_texts(toy_csv: Path, cache_dir: Path) -> None:
    prepared = prepare(toy_csv, cache_dir)
    texts = load_search_texts(Split(find_source(str(toy_csv))[0]), cache_dir=cache_dir)
    for stored, side in ((prepared.training, texts.training), (prepared.validation, texts.validation)):
        token_ids, offsets = encode(side.texts, prepared.vocabulary)
        assert np.array_equal(stored.token_ids, token_ids)
        assert np.array_equal(stored.offsets, offsets)
        assert [prepared.classes[number] for number in stored.labels] == side.labels.to_pylist()
        assert isinstance(stored.token_ids, np.memmap)
        assert not stored.token_ids.flags.writeable


def test_texts_are_prepared_once_and_then_opened(toy_csv: Path, cache_dir: Path) -> None:
    events: list[str] = []
    first, second = (prepare(toy_csv, cache_dir, events) for _ in range(2))
    assert len(events) == 1
    assert first.entry.folder == second.entry.folder == open_prepared(first.entry.folder).entry.folder


def test_content_and_split_decide_the_entry_and_the_place_of_the_file_does_not(toy_csv: Path, cache_dir: Path) -> None:
    source, _ = find_source(str(toy_csv))
    moved = toy_csv.parent / "elsewhere" / "re.named.csv"
    moved.parent.mkdir()
    moved.write_bytes(toy_csv.read_bytes())

    def folder(source: DataSource, split_seed: int = 0) -> Path:
        return prepare_for_search(Split(source, split_seed), cache_dir=cache_dir).entry.folder

    assert folder(source) == folder(find_source(str(moved))[0])
    assert folder(source) != folder(source, split_seed=1)
    moved.write_text(moved.read_text() + "surgeon,one more\n")
    assert folder(source) != folder(find_source(str(moved))[0])


def test_the_vocabulary_and_the_arrays_hold_no_word_of_the_test_split(marked_csv: Path, cache_dir: Path) -> None:
    prepared = prepare(marked_csv, cache_dir)
    assert any("number" in word for word in prepared.vocabulary.words.to_pylist())
    assert not [word for word in prepared.vocabulary.words.to_pylist() if "testword" in word]
    assert not any(b"testword" in path.read_bytes() for path in prepared.entry.folder.iterdir())
    assert len(prepared.training) + len(prepared.validation) == 162
    assert prepared.test_texts == 18


def test_the_vocabulary_knows_no_word_that_only_validation_has(toy_csv: Path, cache_dir: Path) -> None:
    prepared = prepare(toy_csv, cache_dir)
    assert (prepared.validation.token_ids == 1).sum() >= len(prepared.validation)  # each text has its own number
    assert not (prepared.training.token_ids == 1).any()


def test_the_test_split_is_an_entry_of_its_own_made_when_it_is_opened(toy_csv: Path, cache_dir: Path) -> None:
    source, _ = find_source(str(toy_csv))
    prepared = prepare(toy_csv, cache_dir)
    assert len(list(entries(cache_dir))) == 1
    assert len(prepare_test(Split(source), prepared, cache_dir=cache_dir)) == 18
    assert len(list(entries(cache_dir))) == 2


PLAIN_DAMAGE = ["cut off", "remove", "spoil the list", "empty the list"]  # detected without reading a whole file


def spoil(folder: Path, damage: str) -> None:
    path = folder / "training_token_ids.npy"
    content = bytearray(path.read_bytes())
    if damage == "flip a byte":
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "cut off":
        path.write_bytes(content[:-4])
    elif damage == "remove":
        path.unlink()
    else:
        (folder / "meta.json").write_text("{" if damage == "spoil the list" else "{}")


@pytest.mark.parametrize("damage", PLAIN_DAMAGE)
def test_a_damaged_entry_is_not_opened(damage: str, toy_csv: Path, cache_dir: Path) -> None:
    folder = prepare(toy_csv, cache_dir).entry.folder
    spoil(folder, damage)
    with pytest.raises(CacheError, match="damaged"):
        open_prepared(folder)


@pytest.mark.parametrize("damage", ["flip a byte", *PLAIN_DAMAGE])
def test_a_damaged_entry_is_noticed_and_prepared_again(damage: str, toy_csv: Path, cache_dir: Path) -> None:
    before = prepare(toy_csv, cache_dir)
    ids_before = before.training.token_ids.tolist()
    spoil(before.entry.folder, damage)
    events: list[str] = []
    assert prepare(toy_csv, cache_dir, events).training.token_ids.tolist() == ids_before
    assert "is damaged" in events[0]
    assert "prepared again" in events[0]


def test_ten_processes_that_start_together_prepare_the_texts_once(toy_csv: Path, cache_dir: Path) -> None:
    processes = [start_preparing(toy_csv, cache_dir) for _ in range(10)]
    for process in processes:
        go(process)
    outputs = [process.communicate()[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * 10
    assert sum("Preparing" in output for output in outputs) == 1


def test_a_kill_at_any_moment_leaves_nothing_or_a_whole_entry(toy_csv: Path, cache_dir: Path) -> None:
    toy_csv.write_text(toy_csv.read_text() + "".join(f"painter,{'word ' * 2000}{n}\n" for n in range(500)))
    killed_while_building = 0
    for delay in (*np.linspace(0, 0.04, 8), 0.3, 0.6):  # seconds after the building has started
        process = start_preparing(toy_csv, cache_dir)
        go(process)
        while not list(cache_dir.glob("prepared/*.building-*")) and process.poll() is None:
            time.sleep(0.001)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        killed_while_building += bool(list(cache_dir.glob("prepared/*.building-*")))
        for entry in [path for path in (cache_dir / "prepared").glob("*") if path.suffix == ""]:
            open_prepared(entry)
            shutil.rmtree(entry)
    assert killed_while_building
    events: list[str] = []
    assert len(prepare(toy_csv, cache_dir, events).training) == 144 + 400
    assert not any("damaged" in event for event in events)
    assert not list(cache_dir.glob("prepared/*.building-*"))


def test_a_folder_that_cannot_be_written_is_an_error(toy_csv: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CacheError, match=r"The cache .*file cannot be used: .*--cache-dir"):
        prepare(toy_csv, tmp_path / "file")


def test_clearing_removes_the_entries(toy_csv: Path, cache_dir: Path) -> None:
    prepared = prepare(toy_csv, cache_dir)
    clear(cache_dir)
    assert not list(entries(cache_dir))
    assert prepared.training.token_ids.sum() > 0  # a process that has mapped it can continue
    with pytest.raises(CacheError, match="is gone"):
        open_prepared(prepared.entry.folder)


def test_clearing_waits_for_an_entry_that_is_being_built(cache_dir: Path) -> None:
    started = threading.Event()

    def slow_build(folder: Path) -> None:
        started.set()
        time.sleep(0.5)
        (folder / "data").write_text("whole")

    with ThreadPoolExecutor() as pool:
        entry = pool.submit(open_or_build, cache_dir, "slow", {}, slow_build, on_event=print)
        started.wait()
        clear(cache_dir)
        assert entry.exception() is None or "is gone" in str(entry.exception())
    assert open_or_build(cache_dir, "slow", {}, slow_build, on_event=print).meta["files"]["data"]["bytes"] == 5


def write_labels(labels: list[str], path: Path) -> None:
    rows = [(label, f"text {number} of {label[:9]} {len(label)}") for label in labels for number in range(10)]
    pd.DataFrame(rows, columns=["Category", "description_pre"]).to_csv(path, index=False)


def test_the_order_of_the_classes_does_not_depend_on_the_process(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    write_labels(["10", "9", "1", "01", "001", "0", "00"], path)
    for seed in ("0", "1", "2"):
        command = [sys.executable, "-c", CLASSES, str(path), str(tmp_path / seed)]
        environment = os.environ | {"PYTHONHASHSEED": seed}
        printed = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout
        assert json.loads(printed) == ["0", "00", "001", "01", "1", "9", "10"]


@pytest.mark.parametrize(
    ("labels", "ordered"),
    [
        (["2" * 5_000, "1", "3" * 4_999], ["1", "3" * 4_999, "2" * 5_000]),  # `int` refuses such long numbers
        (["b", "10", "9"], ["10", "9", "b"]),
    ],
    ids=["thousands of digits", "not all numbers"],
)
def test_classes_are_ordered_as_numbers_where_all_are_numbers(
    labels: list[str], ordered: list[str], tmp_path: Path
) -> None:
    write_labels(labels, tmp_path / "rows.csv")
    assert list(prepare(tmp_path / "rows.csv", tmp_path / "cache").classes) == ordered
