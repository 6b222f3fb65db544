"""Draws the pictures of docs/models, each by one function: `python docs/draw_models.py [FOLDER]`."""

# ruff: noqa: RUF001, the pictures have mathematical signs

import math
import sys
from pathlib import Path

from network_parts import draw_head, draw_tokens
from picture import LEFT, RIGHT, Picture

TRAINING_TEXTS = 1000  # of the linear model's example


def draw_lstm() -> str:
    picture = Picture(
        "The LSTM classifier",
        "Words are embedded and read by LSTM cells in both directions; the maximum over the real tokens, without the "
        "padding, goes through dropout and a linear layer; the sum of the embedded words, through another "
        "one. Below, one cell with its four gates.",
    )
    columns, real = draw_tokens(picture, "oil prices rose <pad> <pad>", pitch=90, width=80, padding="<pad>")
    picture.box(LEFT, 108, RIGHT - LEFT, 34, "learned", "embedding, embedding_dropout")
    for y, shape in ((92, "token_ids (B, T)"), (158, "(T, B, embedding_size)"), (258, "(T, B, 2 × hidden_size)")):
        picture.text(RIGHT, y, shape, "soft small", anchor="end")
    for number, x in enumerate(columns):
        kind, text = ("learned", "text small") if number < real else ("padding", "soft small")
        picture.box(x - 34, 174, 68, 34, kind, "lstm", text=text)
        picture.box(x - 34, 208, 68, 34, kind, "reversed", text=text)
        if number < real:
            picture.arrow((x, 242), (x, 274))
        if number:
            before, off = columns[number - 1] + 34, number >= real
            picture.arrow((before, 191), (x - 34, 191), off=off)
            if number != real:  # each text is turned round by itself: this direction, too, meets padding last
                picture.arrow(*((before, 225), (x - 34, 225))[:: 1 if off else -1], off=off)
    picture.box(LEFT, 274, 260, 34, "rule", "maximum over the real tokens")
    picture.box(LEFT + 270, 274, RIGHT - LEFT - 270, 34, "padding", "left out", text="soft small")
    draw_head(picture, LEFT + 40, 308, "(B, 2 × hidden_size)", bag_of_words=True)

    picture.text(LEFT, 464, "One cell, opened, at the token t", "text bold", anchor="start")
    forget, new, cell, out = 105, 193, 281, 369  # the gates f, i, g, o
    middle, memory, product, gates, bus = (new + cell) / 2, 506, 560, 634, 714
    for x, y, name in ((34, memory, "c_{t−1}"), (34, bus, "h_{t−1}"), (middle, bus + 40, "x_{t}")):
        picture.text(x, y, name, "text math")
    for y, name in ((memory, "c_{t}"), (594, "h_{t}")):
        picture.text(RIGHT - 10, y, name, "text math")
    picture.arrow((58, bus), (out, bus), head=False)
    picture.arrow((middle, bus + 28), (middle, bus), head=False)
    for x, *lines in (
        (forget, "forget f", "σ"),
        (new, "input i", "σ"),
        (cell, "cell g", "tanh"),
        (out, "output o", "σ"),
    ):
        picture.box(x - 39, gates, 78, 54, "learned", *lines, text="text small")
        picture.arrow((x, bus), (x, gates + 54))
    for x, y in ((forget, memory + 12), (out, 606)):
        picture.arrow((x, gates), (x, y))
    for x, side in ((new, -12), (cell, 12)):
        picture.arrow((x, gates), (x, product), (middle + side, product))
    picture.arrow((middle, product - 12), (middle, memory + 12))
    for start, end in ((58, forget - 12), (forget + 12, middle - 12), (middle + 12, RIGHT - 26)):
        picture.arrow((start, memory), (end, memory))
    picture.arrow((out, memory), (out, 530))
    picture.box(out - 30, 530, 60, 28, "rule", "tanh", text="text small")
    picture.arrow((out, 558), (out, 582))
    picture.arrow((out + 12, 594), (RIGHT - 26, 594))
    for x, y, sign in ((forget, memory, "×"), (middle, memory, "+"), (middle, product, "×"), (out, 594, "×")):
        picture.sign(x, y, sign)
    picture.legend(788, learned="learned", rule="fixed rule", data="data", padding="padding")
    return picture.svg(808)


def draw_cnn() -> str:
    picture = Picture(
        "The CNN classifier",
        "Words are embedded; filters of widths 3, 4 and 5 stand on each word and give a number for it and the words "
        "after it; the maximum of each filter over the real words goes through ReLU, dropout and a linear layer; the "
        "sum of the embedded words, through another one.",
    )
    columns, real = draw_tokens(picture, "oil prices rose after cuts <pad> <pad>", pitch=56, width=52, padding="<pad>")
    picture.box(LEFT, 108, RIGHT - LEFT, 34, "learned", "embedding, embedding_dropout")
    for y, text in ((92, "token_ids (B, T)"), (158, "(B, embedding_size, T)"), (233, "maximum")):
        picture.text(RIGHT, y, text, "soft small", anchor="end")
    for number, x in enumerate(columns):
        kind, text, look = ("data", f"x_{{{number + 1}}}", "math") if number < real else ("padding", "0", "soft small")
        picture.box(x - 26, 174, 52, 30, kind, text, text=f"text {look}" if number < real else look)
    for row, (width, responses) in enumerate(
        ((3, (0.1, 0.9, 0.2, 0.0, 0.3)), (4, (0.7, 0.4, 0.1, -0.2, 0.0)), (5, (0.2, 0.3, 0.8, 0.1, 0.4)))
    ):
        y, largest = 220 + 84 * row, responses.index(max(responses))
        picture.box(
            columns[largest] - 26, y, 56 * width - 4, 28, "learned", f"filter, {width} words wide", text="text small"
        )
        picture.arrow((columns[largest], y + 28), (columns[largest], y + 44))
        for number, x in enumerate(columns):
            kind = "padding" if number >= real else "result" if number == largest else "data"
            text = "−∞" if number >= real else f"{responses[number]:.1f}".replace("-", "−")
            picture.box(x - 26, y + 44, 52, 26, kind, text, text="soft small" if kind == "padding" else "text small")
        picture.arrow((columns[-1] + 26, y + 57), (424, y + 57))
        picture.box(424, y + 44, 36, 26, "result", f"{max(responses)}", text="text small")
        picture.arrow((RIGHT, y + 57), (RIGHT + 8, y + 57), head=False)
    picture.text(LEFT, 478, "and so on for every filter", "soft small", anchor="start")
    picture.arrow((RIGHT + 8, 277), (RIGHT + 8, 513), (LEFT + 254, 513))
    picture.box(LEFT, 496, 254, 34, "rule", "all maxima in a row, ReLU")
    draw_head(picture, LEFT + 40, 530, "(B, widths × filters)", bag_of_words=True)
    picture.legend(684, learned="learned", rule="fixed rule", data="data", padding="padding", result="largest")
    return picture.svg(704)


def draw_linear() -> str:
    picture = Picture(
        "The linear classifier",
        "The words of a text and its pairs of words are counted and weighed by TF-IDF; each class is the sum of these "
        "values times its own weights, plus a bias. The numbers are an example that is worked out.",
    )
    rows = {  # n-gram: times in the text, training texts with it, weights per class
        "oil": (2, 90, (2.1, -0.3, -1.2)),
        "prices": (1, 120, (0.8, 0.5, -0.9)),
        "rose": (1, 200, (0.2, 0.3, 0.4)),
        "oil prices": (1, 40, (2.6, -0.4, -0.8)),
        "prices rose": (1, 15, (0.9, 0.6, -0.2)),
        "rose oil": (1, 2, (0.1, 0.0, 0.0)),
    }
    biases = (-0.9, -0.8, -0.3)
    values = [
        (1 + math.log(count)) * (math.log((1 + TRAINING_TEXTS) / (1 + texts)) + 1) for count, texts, _ in rows.values()
    ]
    values = [value / math.hypot(*values) for value in values]
    columns = (322, 378, 434)
    picture.text(LEFT, 28, "A text becomes numbers, and a sum for each class", "text bold", anchor="start")
    picture.box(LEFT, 46, RIGHT - LEFT, 30, "data", "Oil prices rose. Oil!", text="text small")
    picture.arrow((LEFT + 40, 76), (LEFT + 40, 110))
    picture.text(LEFT + 54, 93, "cleaned, split, single words and pairs", "soft small", anchor="start")
    for x, lines in ((150, ("times in", "the text")), (208, ("", "idf")), (260, ("", "TF-IDF"))):
        for number, line in enumerate(lines):
            picture.text(x, 122 + 17 * number, line, "soft small") if line else None
    picture.text(columns[1], 122, "weight for the class", "soft small")
    for x, name in zip(columns, ("crude", "trade", "earn"), strict=True):
        picture.text(x, 139, name, "text small")
    y = 152
    for value, (ngram, (count, texts, weights)) in zip(values, rows.items(), strict=True):
        idf = math.log((1 + TRAINING_TEXTS) / (1 + texts)) + 1
        picture.text(LEFT, y + 13, ngram, "text small", anchor="start")
        picture.text(150, y + 13, f"{count}", "text small")
        picture.box(184, y, 48, 26, "learned", f"{idf:.1f}", text="text small")
        picture.box(236, y, 48, 26, "data", f"{value:.2f}", text="text small")
        for x, weight in zip(columns, weights, strict=True):
            picture.box(x - 26, y, 52, 26, "learned", signed(weight), text="text small")
        y += 30
    for line, text in enumerate(("TF-IDF × weight, summed, + bias", "logits (B, classes)", "softmax: probabilities")):
        picture.text(284, y + 27 + 46 * line, text, "soft small", anchor="end")
    logits = [
        bias + sum(value * weights[number] for value, (_, _, weights) in zip(values, rows.values(), strict=True))
        for number, bias in enumerate(biases)
    ]
    shares = [math.exp(logit) / sum(map(math.exp, logits)) for logit in logits]
    for x, bias, logit, share in zip(columns, biases, logits, shares, strict=True):
        picture.arrow((x, y - 4), (x, y + 14))
        picture.box(x - 26, y + 14, 52, 26, "learned", signed(bias), text="text small")
        picture.arrow((x, y + 40), (x, y + 60))
        picture.box(x - 26, y + 60, 52, 26, "data", signed(logit), text="text small")
        picture.arrow((x, y + 86), (x, y + 106))
        picture.box(
            x - 26, y + 106, 52, 26, "result" if share == max(shares) else "data", f"{share:.0%}", text="text small"
        )
    picture.legend(y + 164, learned="learned from training texts", data="data", result="largest")
    return picture.svg(y + 184)


def draw_bert() -> str:
    picture = Picture(
        "The BERT classifier and four ways to fine-tune it",
        "Word pieces are embedded and go through the encoder's layers of self-attention and feed-forward networks; the "
        "mean over the real pieces goes through dropout and a linear layer. Below, what each strategy trains.",
    )
    columns, real = draw_tokens(picture, "[CLS] op ##ec cuts crude [SEP] [PAD]", pitch=64, width=56, padding="[PAD]")
    picture.box(LEFT, 108, RIGHT - LEFT, 34, "learned", "embeddings: piece + position + segment")
    for y, shape in ((92, "(B, T)"), (158, "(B, T, D)"), (400, "(B, T, D)")):
        picture.text(RIGHT, y, shape, "soft small", anchor="end")
    picture.box(LEFT, 174, RIGHT - LEFT, 210, "ground")
    for x in columns[:real]:
        picture.arrow((x, 384), (x, 416))
    x, inner = 190, 220
    for row, text in enumerate(("self-attention", "add, LayerNorm", "feed-forward", "add, LayerNorm")):
        picture.box(x - inner / 2, 194 + 48 * row, inner, 30, "learned", text)
        picture.arrow((x, 176 + 48 * row), (x, 194 + 48 * row))
    picture.arrow((x, 368), (x, 384), head=False)
    for y in (183, 281):
        picture.arrow((x, y), (56, y), (56, y + 74), (x - inner / 2, y + 74))
    for y, line in (
        (201, "each piece looks at"),
        (218, "all real pieces of"),
        (235, "its text"),
        (297, "each piece"),
        (314, "by itself"),
        (360, "N such layers"),
    ):
        picture.text(312, y, line, "soft small", anchor="start")
    picture.box(LEFT, 416, 64 * real - 12, 34, "rule", "mean over the real pieces")
    picture.box(RIGHT - 60, 416, 60, 34, "padding", "left out", text="soft small")
    draw_head(picture, LEFT + 40, 450, "(B, D)")

    picture.text(LEFT, 582, "What each strategy trains", "text bold", anchor="start")
    parts = ("head", "layer N", "layer N−1", "…", "layer 1", "embeddings")
    for row, part in enumerate(parts):
        picture.text(LEFT, 637 + 32 * row, part, "text small", anchor="start")
    for column, strategy in enumerate(("frozen", "full", "gradual", "lora")):
        x = 162 + 86 * column
        picture.text(x, 607, strategy, "text")
        for row, part in enumerate(parts):
            y = 624 + 32 * row
            trained = strategy in ("full", "gradual") or row == 0
            text = (
                ("epoch 1", "epoch 2", "epoch 3", "…", "epoch N+1", "epoch N+2")[row] if strategy == "gradual" else ""
            )
            picture.box(x - 40, y, 80, 26, "learned" if trained else "data", *[text] * bool(text), text="text small")
            if strategy == "lora" and part.startswith(("layer", "…")):
                picture.box(x + 3, y + 3, 30, 20, "learned", "BA", text="text small")
    picture.legend(838, learned="trained", data="stays as it was")
    return picture.svg(858)


def signed(number: float) -> str:
    return f"{number:+.1f}".replace("-", "−").replace("+0.0", "0.0")


PICTURES = {"lstm": draw_lstm, "cnn": draw_cnn, "linear": draw_linear, "bert": draw_bert}

if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "models"
    for name, draw in PICTURES.items():
        (folder / f"{name}.svg").write_text(draw(), encoding="utf-8")
