"""Four ways to compute the convolutions of a CNN with one thread: forward, masked maximum, and backward.

    python benchmarks/speed/convolution_speed.py

On random features of 32 texts, with filters of 3, 4 and 5 words: milliseconds of the processor, and the ratio to the
first way.
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

TEXTS, EMBEDDING_SIZE, WIDTHS = 32, 128, (3, 4, 5)
ROUNDS = 8

# Each takes features (B, T + widest - 1, E) and a filter's weights (filters, width, E), and returns responses
# (B, at least T, filters) for windows that begin at each word.


def images(features: Tensor, weights: Tensor) -> Tensor:
    """The way of `models/cnn.py`: images one pixel high, channels last."""
    kernel = weights[:, None].permute(0, 3, 1, 2)
    return functional.conv2d(features.transpose(1, 2)[:, :, None], kernel)[:, :, 0].transpose(1, 2)


def sequences(features: Tensor, weights: Tensor) -> Tensor:
    return functional.conv1d(features.transpose(1, 2).contiguous(), weights.transpose(1, 2)).transpose(1, 2)


def unfolded(features: Tensor, weights: Tensor) -> Tensor:
    """One matrix product over windows side by side."""
    windows = features.unfold(1, weights.shape[1], 1).transpose(2, 3)  # (B, T, width, E)
    return windows.flatten(2) @ weights.flatten(1).t()


def shifted(features: Tensor, weights: Tensor) -> Tensor:
    """A matrix product per word of the filter, added up; windows that reach into the next text are cut off."""
    flat = functional.pad(features.flatten(0, 1), (0, 0, 0, weights.shape[1] - 1))
    rows = features.shape[0] * features.shape[1]
    responses = flat[:rows] @ weights[:, 0].t()
    for word in range(1, weights.shape[1]):
        responses = responses.addmm_(flat[word : word + rows], weights[:, word].t())
    return responses.view(*features.shape[:2], -1)


WAYS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    way.__name__: way for way in (images, sequences, unfolded, shifted)
}


def seconds(way: Callable[[Tensor, Tensor], Tensor], *, filters: int, tokens: int) -> tuple[float, Tensor]:
    torch.manual_seed(0)
    features = torch.randn(TEXTS, tokens + max(WIDTHS) - 1, EMBEDDING_SIZE, requires_grad=True)
    weights = [nn.Parameter(0.05 * torch.randn(filters, width, EMBEDDING_SIZE)) for width in WIDTHS]
    lengths = torch.randint(tokens // 2, tokens + 1, (TEXTS, 1))
    outside = torch.where(torch.arange(tokens) < lengths, 0.0, float("-inf"))[:, :, None]
    start = time.process_time()
    pooled = torch.cat([(way(features, kernel)[:, :tokens] + outside).amax(dim=1) for kernel in weights], dim=1)
    pooled.sum().backward()
    return time.process_time() - start, pooled.detach()


def main() -> None:
    """Measure in turns, so that a busy moment of the machine does not hit one way alone; print the best of each."""
    torch.set_num_threads(1)
    for filters in (32, 128, 512):
        for tokens in (20, 100, 200):
            best = dict.fromkeys(WAYS, float("inf"))
            for _ in range(ROUNDS):
                results = {name: seconds(way, filters=filters, tokens=tokens) for name, way in WAYS.items()}
                for name, (elapsed, pooled) in results.items():
                    torch.testing.assert_close(pooled, results["images"][1], rtol=1e-4, atol=1e-4)
                    best[name] = min(best[name], elapsed)
            ratios = "  ".join(f"{name} {1e3 * s:.1f} ms ({s / best['images']:.2f})" for name, s in best.items())
            print(f"{filters} filters, {tokens} tokens: {ratios}")


if __name__ == "__main__":
    main()
