"""The beginning and the end that the pictures of networks share."""

from picture import LEFT, RIGHT, Picture


def draw_tokens(picture: Picture, tokens: str, *, pitch: float, width: float, padding: str) -> tuple[list[float], int]:
    """A box for each token, an arrow into and out of the embedding; the boxes' centres, and how many are real."""
    centres = [LEFT + width / 2 + pitch * number for number in range(len(tokens.split()))]
    real = len(centres) - tokens.split().count(padding)
    picture.text(LEFT, 28, "A text goes through the network", "text bold", anchor="start")
    for number, (x, token) in enumerate(zip(centres, tokens.split(), strict=True)):
        kind, text = ("data", "text small") if number < real else ("padding", "soft small")
        picture.box(x - width / 2, 46, width, 30, kind, token, text=text)
    for x in centres[:real]:
        picture.arrow((x, 76), (x, 108))
        picture.arrow((x, 142), (x, 174))
    return centres, real


def draw_head(picture: Picture, x: float, y: float, shape: str, *, bag_of_words: bool = False) -> None:
    """The end that all networks share, below the features of that shape at (x, y); 102 high, 118 with the words."""
    picture.arrow((x, y), (x, y + 34))
    picture.text(x + 14, y + 17, shape, "soft small", anchor="start")
    picture.box(LEFT, y + 34, 112, 34, "rule", "dropout")
    picture.arrow((LEFT + 112, y + 51), (LEFT + 142, y + 51))
    picture.box(LEFT + 142, y + 34, 112, 34, "learned", "head: Linear")
    if bag_of_words:
        picture.arrow((LEFT, 125), (LEFT - 10, 125), (LEFT - 10, y + 101), (LEFT, y + 101))  # from the embedding
        picture.box(LEFT, y + 84, 112, 34, "rule", "sum / √length")
        picture.arrow((LEFT + 112, y + 101), (LEFT + 142, y + 101))
        picture.box(LEFT + 142, y + 84, 112, 34, "learned", "bag_of_words")
        picture.arrow((LEFT + 254, y + 101), (LEFT + 278, y + 101), (LEFT + 278, y + 63))
        picture.sign(LEFT + 278, y + 51, "+")
        picture.arrow((LEFT + 254, y + 51), (LEFT + 266, y + 51))
    start = LEFT + (290 if bag_of_words else 254)
    picture.arrow((start, y + 51), (LEFT + (314 if bag_of_words else 290), y + 51))
    picture.text(RIGHT, y + 18, "logits (B, classes)", "soft small", anchor="end")
    for row, (name, length) in enumerate({"crude": 62, "trade": 20, "earn": 12}.items()):
        picture.text(RIGHT - 70, y + 40 + 22 * row, name, "text small", anchor="end")
        picture.box(RIGHT - 62, y + 33 + 22 * row, length, 14, "data" if row else "result")
