"""A pretrained encoder with a linear head (BERT: Devlin et al. 2019, arXiv:1810.04805), and four ways to fine-tune it.

- `frozen`: the encoder is not trained, only the head, on features that are computed once (the
  feature-based approach of Devlin et al. 2019, section 5.3; compared with fine-tuning by Peters et al. 2019,
  arXiv:1903.05987).
- `full`: all weights, by AdamW with bias correction, with linear warm-up over the first tenth of the steps and
  linear decay (Mosbach et al. 2021, arXiv:2006.04884).
- `gradual`: gradual unfreezing, the head in the first epoch and one more layer from the top in each further one, with
  discriminative learning rates, smaller by a factor for each lower layer (Howard & Ruder 2018, arXiv:1801.06146).
- `lora`: low-rank adapters of the query and value matrices are trained, and the head; the encoder's weights are frozen
  (Hu et al. 2021, arXiv:2106.09685).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from torch import Tensor, nn

from models.networks.encoders import build_encoder, describe_encoder, layers_of, with_adapters, without_adapters
from models.networks.layers import length_mask
from models.networks.network import Network
from preprocessing.pretrained import MINILM

Strategy = Literal["frozen", "full", "gradual", "lora"]


@dataclass(frozen=True)
class BERTConfig:
    strategy: Strategy = "frozen"
    pretrained: str = MINILM  # or a folder, or a model id on the hub
    dropout: float = 0.1  # on the pooled features, probability of zeroing; the encoder has its own dropout
    layer_factor: float = 2.6  # gradual: ratio of the learning rates of a layer and the one below it
    lora_rank: int = 8  # lora: of each adapter
    lora_alpha: float = 16.0  # lora: an adapter's output is scaled by alpha / rank
    lora_dropout: float = 0.0  # lora: on an adapter's input, probability of zeroing

    def __post_init__(self) -> None:
        if self.strategy not in get_args(Strategy):
            raise ValueError(f"`strategy` must be one of {', '.join(get_args(Strategy))}, got {self.strategy!r}.")
        for name in ("dropout", "lora_dropout"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"`0 <= {name} < 1` must hold, got {getattr(self, name)}.")
        for name in ("layer_factor", "lora_rank"):
            if getattr(self, name) < 1:
                raise ValueError(f"`{name} >= 1` must hold, got {getattr(self, name)}.")
        if not self.lora_alpha > 0:
            raise ValueError(f"`lora_alpha > 0` must hold, got {self.lora_alpha}.")


class BERTClassifier(Network):
    """Encoder, mean over the real tokens, dropout, linear. Fulfils `models.training.trained_weights.FineTuned`.

    Not the state of [CLS], because MiniLM was trained with mean pooling (Reimers & Gurevych 2019, arXiv:1908.10084),
    where BERT's [CLS] was also found to be a poor feature before fine-tuning.
    """

    def __init__(self, config: BERTConfig, encoder: nn.Module, *, classes: int) -> None:
        """Takes over the encoder, as returned by `models.networks.encoders.load_encoder`."""
        super().__init__()
        self.config = config
        if config.strategy == "lora":
            encoder = with_adapters(
                encoder, rank=config.lora_rank, alpha=config.lora_alpha, dropout=config.lora_dropout
            )
        self.encoder = encoder.requires_grad_(False) if config.strategy == "frozen" else encoder
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(encoder.config.hidden_size, classes)  # type: ignore[union-attr,arg-type]

    @classmethod
    def from_weights(
        cls,
        _config: BERTConfig,
        weights: Mapping[str, Tensor],
        *,
        vocabulary_size: int,  # noqa: ARG003  # in the encoder's description
        classes: int,
        encoder: str | None = None,
    ) -> Self:
        """The network from `merged(model).state_dict()` and its `encoder_description`, without a pretrained encoder."""
        if len(weights["head.bias"]) != classes:
            raise ValueError(f"The weights are for {len(weights['head.bias'])} classes, got {classes}.")
        model = cls(BERTConfig("full"), build_encoder(encoder or "{}"), classes=classes)
        model.load_state_dict(weights)
        return model.eval().requires_grad_(False)

    @property
    def encoder_description(self) -> str:
        return describe_encoder(self.encoder)

    def forward(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """Word pieces (B, T) and lengths (B,) to logits (B, classes)."""
        logits: Tensor = self.head(self.dropout(self.pooled(token_ids, lengths)))
        return logits

    def pooled(self, token_ids: Tensor, lengths: Tensor) -> Tensor:
        """The mean of the hidden states over a text's real tokens: (B, T), (B,) to (B, D)."""
        mask = length_mask(token_ids, lengths)
        states = self.encoder(input_ids=token_ids, attention_mask=mask.long()).last_hidden_state  # (B, T, D)
        mean: Tensor = states.masked_fill(~mask[:, :, None], 0).sum(dim=1) / lengths[:, None]
        return mean

    def train(self, mode: bool = True) -> "BERTClassifier":
        """Set the mode; a frozen encoder stays in evaluation mode, so that its features are the same in training."""
        super().train(mode)
        if self.config.strategy == "frozen":
            self.encoder.eval()
        return self

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """Groups with a rate for each depth; biases and LayerNorm weights, of one dimension, have no weight decay."""
        factor = self.config.layer_factor if self.config.strategy == "gradual" else 1.0
        groups = []
        for depth, parameters in enumerate(self._from_the_top()):
            rate = {"lr": learning_rate / factor**depth}
            groups += [
                {"params": [parameter for parameter in parameters if parameter.ndim > 1], **rate},
                {"params": [parameter for parameter in parameters if parameter.ndim == 1], "weight_decay": 0.0, **rate},
            ]
        return [group for group in groups if group["params"]]

    def before_epoch(self, epoch: int) -> None:
        if self.config.strategy == "gradual":
            for depth, parameters in enumerate(self._from_the_top()):
                for parameter in parameters:
                    parameter.requires_grad_(depth <= epoch)

    def _from_the_top(self) -> list[list[nn.Parameter]]:
        """The trainable parameters: of the head, of each layer from the top down, of the embeddings."""
        layers = [list(layer.parameters()) for layer in reversed(layers_of(self.encoder))]
        in_layers = {id(parameter) for layer in layers for parameter in layer}
        below = [parameter for parameter in self.encoder.parameters() if id(parameter) not in in_layers]
        depths = [list(self.head.parameters()), *layers, below]
        if self.config.strategy in ("full", "gradual"):
            return depths
        return [[parameter for parameter in parameters if parameter.requires_grad] for parameters in depths]


class FeatureHead(nn.Module):
    """The part of `BERTClassifier` above its pooled features, with the same names, trained on features (B, D)."""

    def __init__(self, config: BERTConfig, *, features: int, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(features, classes)

    def forward(self, features: Tensor, _lengths: Tensor) -> Tensor:
        """Features (B, D) to logits (B, classes)."""
        logits: Tensor = self.head(self.dropout(features))
        return logits


def merged(model: BERTClassifier) -> BERTClassifier:
    """The same classifier with a plain encoder: adapters are merged into the weights."""
    if model.config.strategy != "lora":
        return model
    plain = copy.deepcopy(model)
    plain.encoder = without_adapters(plain.encoder)
    plain.config = replace(model.config, strategy="full")
    return plain
