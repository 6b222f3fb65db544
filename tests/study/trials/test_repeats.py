"""The texts of a repeat, which a process opens once."""

import shutil
from pathlib import Path

from data.source import find_source
from preprocessing.prepared import prepare_for_search
from preprocessing.pretrained import PretrainedEncoder
from study.configuration import StudyConfig
from study.model_settings import DEFAULTS, choose_settings
from study.trials.repeats import prepare_repeat


def test_texts_whose_cache_was_cleared_are_prepared_again(toy_csv: Path, tmp_path: Path) -> None:
    configuration = StudyConfig(find_source(str(toy_csv))[0], str(tmp_path), DEFAULTS["lstm"])
    first = prepare_repeat(configuration, 3)
    assert prepare_repeat(configuration, 3) is first
    shutil.rmtree(first.entry.folder)
    again = prepare_repeat(configuration, 3)
    assert again.entry.folder.is_dir()
    assert again.training.token_ids.tolist() == first.training.token_ids.tolist()


def test_texts_of_a_pretrained_encoder_are_opened_in_words_too(
    toy_csv: Path, tmp_path: Path, tiny_encoder: PretrainedEncoder
) -> None:
    settings = choose_settings("bert", {"bert_model": str(tiny_encoder.folder), "max_tokens": 20})
    configuration = StudyConfig(find_source(str(toy_csv))[0], str(tmp_path), settings)
    words = prepare_repeat(configuration, 3, in_words=True)
    assert words.entry.folder == prepare_for_search(configuration.split(3), cache_dir=tmp_path).entry.folder
    assert words.entry.folder != prepare_repeat(configuration, 3).entry.folder
