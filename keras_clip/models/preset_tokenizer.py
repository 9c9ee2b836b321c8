"""The tokenizer that belongs to a CLIP's weights."""

from keras_clip.convert.errors import CheckpointError
from keras_clip.models.preset_description import is_native, read_json
from keras_clip.preprocessing.tokenizer import CLIPTokenizer
from keras_clip.preprocessing.tokenizer_files import TOKENIZERS, tokenizer_class


def pick_tokenizer(text, asked, beside, locate):
    """Return the tokenizer asked for, else the first of those beside the weights, else None.

    Args:
        text: TextConfig; it gives the length of a row and the id that fills it up.
        asked: CLIPTokenizer, PipelineTokenizer, a place, or None.
        beside: places to look at where none is asked for; None among them is passed over. A
            dictionary has the place as its `source`, and settings of the tokenizer.
        locate: function from a place to a local pathlib.Path.

    Raises:
        FileNotFoundError: there is no vocabulary in the place that was asked for.
        ValueError: a vocabulary is damaged; CheckpointError: it is another model's.
    """
    if isinstance(asked, TOKENIZERS):
        return asked
    for place in [asked] if asked else [place for place in beside if place]:
        settings = dict(place) if isinstance(place, dict) else {"source": place}
        path = locate(settings.pop("source"))
        # What a preset of our own has saved stands in its tokenizer_config.json.
        own = path.is_dir() and is_native(read_json(path / "config.json"))
        kind, rows = tokenizer_class(path), {"context_length": text.context_length}
        if kind is CLIPTokenizer:  # SigLIP's padding is in its own files, and not always in these
            rows["pad_token_id"] = text.pad_token_id
        try:
            found = kind.from_file(path, **({} if own else {**rows, **settings}))
        except FileNotFoundError:
            if asked:
                raise
            continue
        if found.vocabulary_size > text.vocabulary_size:
            raise CheckpointError(
                f"{path}: the vocabulary has {found.vocabulary_size} ids, but the model knows "
                f"{text.vocabulary_size}: give the right one as tokenizer=path."
            )
        return found
    return None
