"""The four strategies: what each of them trains, when and at which rate, for BERT and its relatives."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers

from models.bert import BERTClassifier, BERTConfig, FeatureHead, Strategy, merged
from models.networks.encoders import load_encoder
from models.training.trained_weights import load_trained, trained_weights
from preprocessing.pretrained import PretrainedEncoder, PretrainedError

CLASSES = 3
NewClassifier = Callable[..., BERTClassifier]
EVERYTHING = {"head", "layer 1", "layer 0", "embeddings"}
TRAINED: dict[Strategy, list[set[str]]] = {  # in each epoch
    "frozen": [{"head"}] * 4,
    "full": [EVERYTHING] * 4,
    "gradual": [{"head"}, {"head", "layer 1"}, {"head", "layer 1", "layer 0"}, EVERYTHING],
    "lora": [{"head", "layer 1", "layer 0"}] * 4,
}

every_strategy = pytest.mark.parametrize("strategy", TRAINED)


def part_of(name: str) -> str:
    """The part that a parameter belongs to: head, layer 1, layer 0, or embeddings."""
    if name.startswith("head."):
        return "head"
    return next((f"layer {number}" for number in (0, 1) if f".layer.{number}." in name), "embeddings")


@every_strategy
def test_each_epoch_trains_the_parts_that_the_strategy_demands(
    strategy: Strategy, tiny_encoder: PretrainedEncoder, classifier: NewClassifier
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


def test_each_layer_has_a_smaller_rate_than_the_one_above(
    tiny_encoder: PretrainedEncoder, classifier: NewClassifier
) -> None:
    model = classifier(tiny_encoder, "gradual", layer_factor=2.0)
    names = {id(parameter): part_of(name) for name, parameter in model.named_parameters()}
    rates: dict[str, set[float]] = {}
    for group in model.parameter_groups(0.8):
        for parameter in group["params"]:
            rates.setdefault(names[id(parameter)], set()).add(group["lr"])
    assert rates == {"head": {0.8}, "layer 1": {0.4}, "layer 0": {0.2}, "embeddings": {0.1}}
    assert {group["lr"] for group in classifier(tiny_encoder, "full").parameter_groups(0.8)} == {0.8}


@every_strategy
def test_biases_and_layer_norms_are_not_decayed(
    strategy: Strategy, tiny_encoder: PretrainedEncoder, classifier: NewClassifier
) -> None:
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


def test_only_the_weights_that_are_trained_are_kept(tiny_encoder: PretrainedEncoder, classifier: NewClassifier) -> None:
    assert list(trained_weights(classifier(tiny_encoder, "frozen"))) == ["head.weight", "head.bias"]
    kept = trained_weights(classifier(tiny_encoder, "lora", lora_rank=2))
    assert len(kept) == 2 + 2 * 2 * 2  # the head; two matrices beside query and value of two layers
    assert sum(tensor.numel() for tensor in kept.values()) == 16 * 3 + 3 + 8 * 2 * 16


def test_a_head_trained_on_features_gives_the_same_logits_in_the_full_model(
    tiny_encoder: PretrainedEncoder, classifier: NewClassifier
) -> None:
    model = classifier(tiny_encoder, "frozen").eval()
    head = FeatureHead(model.config, features=16, classes=CLASSES).eval()
    load_trained(model, trained_weights(head))
    token_ids, lengths = torch.tensor([[2, 30, 31, 3, 0]]), torch.tensor([4])
    with torch.inference_mode():
        pooled = model.pooled(token_ids, lengths)
        torch.testing.assert_close(head(pooled, lengths), model(token_ids, lengths))


def test_the_pooled_features_are_the_mean_state_of_the_real_tokens(
    tiny_encoder: PretrainedEncoder, classifier: NewClassifier
) -> None:
    model = classifier(tiny_encoder, "frozen").train()  # dropout must not apply even in training mode
    token_ids, lengths = torch.tensor([[2, 30, 31, 3], [2, 3, 0, 0]]), torch.tensor([4, 2])
    with torch.inference_mode():
        pooled = model.pooled(token_ids, lengths)
        states = [load_encoder(tiny_encoder.folder).eval()(ids[None]) for ids in (token_ids[0], token_ids[1, :2])]
    means = torch.stack([state.last_hidden_state[0].mean(dim=0) for state in states])
    torch.testing.assert_close(pooled, means)


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
