"""The four strategies: what each of them trains and when, which weights are kept, and what is exported."""

import copy
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import transformers

from models.bert import BERTClassifier, BERTConfig, FeatureHead, Strategy, merged
from models.networks.encoders import load_encoder
from models.training.checkpoint import Checkpoint
from models.training.config import TrainingConfig
from models.training.trained_weights import load_trained, trained_weights
from models.training.trainer import TrainingResult, predict, train
from preprocessing.batches import EvaluationBatches, TrainingBatches
from preprocessing.encoding import EncodedTexts
from preprocessing.pretrained import PretrainedEncoder, PretrainedError, find_encoder
from preprocessing.word_pieces import read_word_pieces

CPU, CLASSES, MAX_TOKENS = torch.device("cpu"), 3, 16
STRATEGIES: tuple[Strategy, ...] = ("frozen", "full", "gradual", "lora")
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)


def classifier(encoder: PretrainedEncoder, strategy: Strategy, **config: Any) -> BERTClassifier:
    torch.manual_seed(0)
    return BERTClassifier(BERTConfig(strategy, **config), load_encoder(encoder.folder), classes=CLASSES)


def texts(encoder: PretrainedEncoder, count: int = 48) -> EncodedTexts:
    words = ["hospital surgery", "court law", "canvas art"]
    column = [f"{words[number % 3]} the {'number ' * (number % 5)}{number}" for number in range(count)]
    pieces = read_word_pieces(encoder, max_tokens=MAX_TOKENS)
    return EncodedTexts(*pieces.encode(pa.array(column, pa.large_string())), (np.arange(count) % 3).astype(np.int32))


def fine_tune(
    model: BERTClassifier, some_texts: EncodedTexts, *, epochs: int = 3, learning_rate: float = 1e-2, **options: Any
) -> TrainingResult:
    torch.manual_seed(1)
    config = TrainingConfig(
        epochs=epochs, learning_rate=learning_rate, batch_size=16, patience=epochs, schedule="linear"
    )
    words = int(some_texts.token_ids.max()) + 1
    training = TrainingBatches(some_texts, config.batch_size, MAX_TOKENS, words, seed=0)
    return train(model, training, EvaluationBatches(some_texts, MAX_TOKENS, words), config, device=CPU, **options)


def part_of(name: str) -> str:
    """The part that a parameter belongs to: head, layer 1, layer 0, or embeddings."""
    if name.startswith("head."):
        return "head"
    return next((f"layer {number}" for number in (0, 1) if f".layer.{number}." in name), "embeddings")


EVERYTHING = {"head", "layer 1", "layer 0", "embeddings"}
TRAINED: dict[Strategy, list[set[str]]] = {  # in each epoch
    "frozen": [{"head"}] * 4,
    "full": [EVERYTHING] * 4,
    "gradual": [{"head"}, {"head", "layer 1"}, {"head", "layer 1", "layer 0"}, EVERYTHING],
    "lora": [{"head", "layer 1", "layer 0"}] * 4,
}


@every_strategy
def test_each_epoch_trains_the_parts_that_the_strategy_demands(
    strategy: Strategy, tiny_encoder: PretrainedEncoder
) -> None:
    model = classifier(tiny_encoder, strategy)
    for epoch, expected in enumerate(TRAINED[strategy]):
        model.before_epoch(epoch)
        trained = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert {part_of(name) for name in trained} == expected
        candidates = {name for name, _ in model.named_parameters() if part_of(name) in expected}
        assert trained == {
            name for name in candidates if strategy != "lora" or "lora_" in name or part_of(name) == "head"
        }


@every_strategy
def test_training_changes_exactly_the_weights_that_are_kept(
    strategy: Strategy, tiny_encoder: PretrainedEncoder
) -> None:
    model = classifier(tiny_encoder, strategy)
    before = copy.deepcopy(model.state_dict())
    fine_tune(model, texts(tiny_encoder), epochs=4)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed == trained_weights(model).keys()
    assert find_encoder(str(tiny_encoder.folder), cache_dir=Path()).identity == tiny_encoder.identity


def test_each_layer_has_a_smaller_rate_than_the_one_above(tiny_encoder: PretrainedEncoder) -> None:
    model = classifier(tiny_encoder, "gradual", layer_factor=2.0)
    names = {id(parameter): part_of(name) for name, parameter in model.named_parameters()}
    rates: dict[str, set[float]] = {}
    for group in model.parameter_groups(0.8):
        for parameter in group["params"]:
            rates.setdefault(names[id(parameter)], set()).add(group["lr"])
    assert rates == {"head": {0.8}, "layer 1": {0.4}, "layer 0": {0.2}, "embeddings": {0.1}}
    assert {group["lr"] for group in classifier(tiny_encoder, "full").parameter_groups(0.8)} == {0.8}


@every_strategy
def test_biases_and_layer_norms_are_not_decayed(strategy: Strategy, tiny_encoder: PretrainedEncoder) -> None:
    model = classifier(tiny_encoder, strategy)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed = [
        names[id(parameter)]
        for group in model.parameter_groups(1.0)
        for parameter in group["params"]
        if "weight_decay" not in group
    ]
    kept = {names[id(parameter)] for group in model.parameter_groups(1.0) for parameter in group["params"]}
    assert decayed
    assert kept - set(decayed) == {name for name in kept if "LayerNorm" in name or name.endswith("bias")}


@every_strategy
def test_trained_weights_alone_give_the_same_predictions(strategy: Strategy, tiny_encoder: PretrainedEncoder) -> None:
    some_texts = texts(tiny_encoder)
    result = fine_tune(classifier(tiny_encoder, strategy), some_texts)
    model = classifier(tiny_encoder, strategy)
    load_trained(model, result.best_weights)
    words = int(some_texts.token_ids.max()) + 1
    predictions, loss = predict(model, EvaluationBatches(some_texts, MAX_TOKENS, words), device=CPU)
    assert (predictions == some_texts.labels).mean() == result.best.accuracy
    assert loss == pytest.approx(result.best.validation_loss)


def test_only_the_weights_that_are_trained_are_kept(tiny_encoder: PretrainedEncoder) -> None:
    assert list(trained_weights(classifier(tiny_encoder, "frozen"))) == ["head.weight", "head.bias"]
    kept = trained_weights(classifier(tiny_encoder, "lora", lora_rank=2))
    assert len(kept) == 2 + 2 * 2 * 2  # the head; two matrices beside query and value of two layers
    assert sum(tensor.numel() for tensor in kept.values()) == 16 * 3 + 3 + 8 * 2 * 16


@every_strategy
def test_an_interrupted_training_run_gives_the_same_bits(
    strategy: Strategy, tiny_encoder: PretrainedEncoder, tmp_path: Path
) -> None:
    def stop_after(epoch: int) -> Any:
        def stop(result: Any) -> None:
            if result.epoch == epoch:
                raise KeyboardInterrupt

        return stop

    some_texts, checkpoint = texts(tiny_encoder), Checkpoint(tmp_path / "1.pt", {})
    whole = classifier(tiny_encoder, strategy, lora_dropout=0.1)
    expected = fine_tune(whole, some_texts, epochs=5)
    for epoch in (1, 3):
        with pytest.raises(KeyboardInterrupt):
            fine_tune(
                classifier(tiny_encoder, strategy, lora_dropout=0.1),
                some_texts,
                epochs=5,
                checkpoint=checkpoint,
                on_epoch_end=stop_after(epoch),
            )
    model = classifier(tiny_encoder, strategy, lora_dropout=0.1)
    result = fine_tune(model, some_texts, epochs=5, checkpoint=checkpoint)
    assert [(one.training_loss, one.accuracy) for one in result.curve] == [
        (one.training_loss, one.accuracy) for one in expected.curve
    ]
    assert all(torch.equal(tensor, whole.state_dict()[name]) for name, tensor in model.state_dict().items())
    assert result.best_weights.keys() == expected.best_weights.keys()
    assert all(torch.equal(tensor, expected.best_weights[name]) for name, tensor in result.best_weights.items())


@every_strategy
def test_the_exported_model_is_a_plain_network_with_the_same_scores(
    strategy: Strategy, tiny_encoder: PretrainedEncoder
) -> None:
    some_texts = texts(tiny_encoder)
    model = classifier(tiny_encoder, strategy)
    fine_tune(model, some_texts)
    plain = merged(model.eval())
    described, weights = plain.encoder_description, plain.state_dict()
    assert not any("lora" in name for name in weights)
    assert str(tiny_encoder.folder) not in described
    torch.manual_seed(99)
    exported = BERTClassifier.from_weights(
        plain.config, weights, vocabulary_size=50, classes=CLASSES, encoder=described
    )
    batch = next(iter(EvaluationBatches(some_texts, MAX_TOKENS, int(some_texts.token_ids.max()) + 1)))
    with torch.inference_mode():
        expected = model(batch.token_ids, batch.lengths)
        torch.testing.assert_close(plain(batch.token_ids, batch.lengths), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(exported(batch.token_ids, batch.lengths), expected, rtol=0, atol=1e-5)
    assert any("lora" in name for name in model.state_dict()) == (strategy == "lora")  # the model itself is unchanged


def test_a_head_trained_on_features_gives_the_same_logits_in_the_full_model(tiny_encoder: PretrainedEncoder) -> None:
    model = classifier(tiny_encoder, "frozen").eval()
    head = FeatureHead(model.config, features=16, classes=CLASSES).eval()
    load_trained(model, trained_weights(head))
    token_ids, lengths = torch.tensor([[2, 30, 31, 3, 0]]), torch.tensor([4])
    with torch.inference_mode():
        pooled = model.pooled(token_ids, lengths)
        torch.testing.assert_close(head(pooled, lengths), model(token_ids, lengths))


def test_the_pooled_features_are_the_mean_state_of_the_real_tokens(tiny_encoder: PretrainedEncoder) -> None:
    model = classifier(tiny_encoder, "frozen").train()  # dropout must not apply even in training mode
    token_ids, lengths = torch.tensor([[2, 30, 31, 3], [2, 3, 0, 0]]), torch.tensor([4, 2])
    with torch.inference_mode():
        pooled = model.pooled(token_ids, lengths)
        states = [load_encoder(tiny_encoder.folder).eval()(ids[None]) for ids in (token_ids[0], token_ids[1, :2])]
    means = torch.stack([state.last_hidden_state[0].mean(dim=0) for state in states])
    torch.testing.assert_close(pooled, means)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def connect(*_arguments: object) -> None:
        pytest.fail("A connection was tried.")

    monkeypatch.setattr(socket.socket, "connect", connect)


@pytest.mark.usefixtures("no_network")
def test_loading_prints_nothing_and_does_not_use_the_network(
    tiny_encoder: PretrainedEncoder, capfd: pytest.CaptureFixture[str]
) -> None:
    for strategy in STRATEGIES:
        merged(classifier(tiny_encoder, strategy))
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("no_network")
@pytest.mark.slow
@pytest.mark.parametrize(("strategy", "learning_rate"), [("full", 1e-4), ("lora", 1e-3), ("gradual", 1e-3)])
def test_minilm_learns_from_few_texts(strategy: Strategy, learning_rate: float, minilm: PretrainedEncoder) -> None:
    result = fine_tune(classifier(minilm, strategy), texts(minilm), learning_rate=learning_rate)
    assert result.best.accuracy > 0.9


@every_strategy
def test_relatives_of_bert_are_trained_in_the_same_way(strategy: Strategy) -> None:
    config = transformers.DistilBertConfig(
        vocab_size=50, dim=16, n_layers=2, n_heads=2, hidden_dim=32, max_position_embeddings=64
    )
    model = BERTClassifier(BERTConfig(strategy), transformers.DistilBertModel(config), classes=CLASSES)
    for epoch, expected in enumerate(TRAINED[strategy]):
        model.before_epoch(epoch)
        trained = {part_of(name) for name, parameter in model.named_parameters() if parameter.requires_grad}
        assert trained == expected
    model.eval()
    token_ids, lengths = torch.tensor([[2, 30, 31, 3], [2, 3, 0, 0]]), torch.tensor([4, 2])
    with torch.inference_mode():
        plain = merged(model)
        described, weights = plain.encoder_description, plain.state_dict()
        exported = BERTClassifier.from_weights(
            plain.config, weights, vocabulary_size=50, classes=CLASSES, encoder=described
        )
        torch.testing.assert_close(exported(token_ids, lengths), model(token_ids, lengths), rtol=0, atol=1e-5)
        torch.testing.assert_close(model(token_ids[1:, :2], lengths[1:]), model(token_ids, lengths)[1:])


def test_lora_is_refused_for_an_encoder_without_query_and_value_matrices() -> None:
    config = transformers.FNetConfig(vocab_size=50, hidden_size=16, num_hidden_layers=2, intermediate_size=32)
    with pytest.raises(PretrainedError, match="choose another strategy"):
        BERTClassifier(BERTConfig("lora"), transformers.FNetModel(config), classes=CLASSES)


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


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strategy": "half"}, "`strategy` must be one of frozen, full, gradual, lora, got 'half'"),
        ({"dropout": 1.0}, "`0 <= dropout < 1` must hold, got 1.0"),
        ({"layer_factor": 0.5}, "`layer_factor >= 1` must hold, got 0.5"),
        ({"lora_rank": 0}, "`lora_rank >= 1` must hold, got 0"),
        ({"lora_alpha": 0.0}, "`lora_alpha > 0` must hold, got 0.0"),
    ],
)
def test_impossible_configurations_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BERTConfig(**wrong)


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
