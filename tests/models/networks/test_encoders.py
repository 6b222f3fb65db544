"""Encoders as they are loaded, and the errors for those that cannot be used."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
import transformers

from models.networks.encoders import load_encoder
from preprocessing.pretrained import PretrainedEncoder, PretrainedError, find_encoder


def test_an_encoder_whose_layers_share_their_weights_is_refused(tmp_path: Path) -> None:
    config = transformers.AlbertConfig(
        vocab_size=50,
        embedding_size=8,
        hidden_size=16,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=32,
    )
    transformers.AlbertModel(config).save_pretrained(tmp_path)
    with pytest.raises(PretrainedError, match=r"layers share their weights, as ALBERT's do\. Name one"):
        load_encoder(tmp_path)


def test_relatives_of_roberta_have_fewer_positions_than_position_embeddings(tmp_path: Path) -> None:
    config = transformers.RobertaConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
    )
    transformers.RobertaModel(config).save_pretrained(tmp_path)
    tokens = find_encoder(str(tmp_path), cache_dir=tmp_path).max_tokens
    assert tokens == 10
    encoder = load_encoder(tmp_path)
    assert encoder(torch.full((1, tokens), 9)).last_hidden_state.shape == (1, tokens, 16)
    with pytest.raises((IndexError, RuntimeError), match="out of"):
        encoder(torch.full((1, tokens + 1), 9))


@pytest.mark.parametrize("damage", ["not json", "cut off", "a weight is missing"])
def test_an_encoder_that_cannot_be_loaded_is_a_one_line_error(
    damage: str, tiny_encoder: PretrainedEncoder, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    for file in tiny_encoder.folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = tmp_path / "model.safetensors"
    if damage == "not json":
        (tmp_path / "config.json").write_text("{")
    elif damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:1000])
    else:
        tensors = load_file(weights)
        del tensors["encoder.layer.0.output.dense.weight"]
        save_file(tensors, weights, {"format": "pt"})
    with pytest.raises(PretrainedError, match=r"The encoder .* cannot be") as caught:
        load_encoder(tmp_path)
    assert "\n" not in str(caught.value)


def test_transformers_is_imported_only_when_an_encoder_is_used() -> None:
    program = "import sys, models.bert; sys.exit(bool({'transformers', 'peft', 'tokenizers'} & set(sys.modules)))"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_without_the_bert_extra_the_error_says_how_to_install_it() -> None:
    program = """
import pathlib, sys
sys.modules["transformers"] = None  # as if it were not installed
from models.networks.encoders import load_encoder
from data.errors import UserError
try:
    load_encoder(pathlib.Path("anywhere"))
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "BERT needs transformers: pip install -c constraints.txt -e '.[bert]'.\n"
