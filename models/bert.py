"""A pretrained encoder with a linear head (BERT: Devlin et al. 2019, arXiv:1810.04805), and four ways to fine-tune it.

- `frozen`: the encoder stays as it is, only the head is trained, on features that are computed once (the
  feature-based approach of Devlin et al. 2019, section 5.3; compared with fine-tuning by Peters et al. 2019,
  arXiv:1903.05987).
- `full`: all weights, by AdamW with bias correction, the rate rising over the first tenth of the steps and then
  falling on a straight line (Mosbach et al. 2021, arXiv:2006.04884).
- `gradual`: the head alone in the first epoch, one more layer from the top in each that follows, and for each layer a
  rate that is smaller by a factor than that of the layer above it (Howard & Ruder 2018, arXiv:1801.06146).
- `lora`: the encoder's weights stay as they are; what is trained is a product of two thin matrices beside each query
  and value matrix, and the head (Hu et al. 2021, arXiv:2106.09685).
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, get_args

from torch import Tensor, nn

from models.encoders import build_encoder, describe_encoder, layers_of, with_adapters, without_adapters
from models.layers import length_mask
from models.networks import Network
from preprocessing.pretrained import MINILM

Strategy = Literal["frozen", "full", "gradual", "lora"]


@dataclass(frozen=True)
class BERTConfig:
    strategy: Strategy = "frozen"
    pretrained: str = MINILM  # or a folder, or a model id on the hub
    dropout: float = 0.1  # on the pooled features, probability of zeroing; within the encoder it has its own
    layer_factor: float = 2.6  # gradual: between the learning rates of a layer and of the one below it
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
    """Encoder, mean over the real tokens, dropout, linear. Fulfils `models.trained_weights.FineTuned`.

    The mean, and not the state of [CLS], because MiniLM's sentence features were trained as the mean (Reimers &
    Gurevych 2019, arXiv:1908.10084), who also found BERT's [CLS] a poor feature before it is fine-tuned.
    """

    def __init__(self, config: BERTConfig, encoder: nn.Module, *, classes: int) -> None:
        """Takes over the encoder, as `models.encoders.load_encoder` gives it."""
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
        vocabulary_size: int,  # noqa: ARG003  # the encoder's description tells it
        classes: int,
        encoder: str | None = None,
    ) -> Self:
        """The network of `merged(model).state_dict()` and its `encoder_description`, without a pretrained encoder."""
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
        """A frozen encoder has no dropout either: its features are the same in training."""
        super().train(mode)
        if self.config.strategy == "frozen":
            self.encoder.eval()
        return self

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """A rate for each depth; biases and the weights of LayerNorm, which have one dimension, are not decayed."""
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
        """The parameters that are ever trained: of the head, of each layer downwards, of the embeddings."""
        layers = [list(layer.parameters()) for layer in reversed(layers_of(self.encoder))]
        in_layers = {id(parameter) for layer in layers for parameter in layer}
        below = [parameter for parameter in self.encoder.parameters() if id(parameter) not in in_layers]
        depths = [list(self.head.parameters()), *layers, below]
        if self.config.strategy in ("full", "gradual"):
            return depths
        return [[parameter for parameter in parameters if parameter.requires_grad] for parameters in depths]


class FeatureHead(nn.Module):
    """What `BERTClassifier` has above its pooled features, with the same names, to be trained on features (B, D)."""

    def __init__(self, config: BERTConfig, *, features: int, classes: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(config.dropout)
        self.head = nn.Linear(features, classes)

    def forward(self, features: Tensor, _lengths: Tensor) -> Tensor:
        """Features (B, D) to logits (B, classes)."""
        logits: Tensor = self.head(self.dropout(features))
        return logits


def merged(model: BERTClassifier) -> BERTClassifier:
    """The same classifier with a plain encoder: adapters are added to the weights beside which they stand."""
    if model.config.strategy != "lora":
        return model
    plain = copy.deepcopy(model)
    plain.encoder = without_adapters(plain.encoder)
    plain.config = replace(model.config, strategy="full")
    return plain
