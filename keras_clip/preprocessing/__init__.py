"""Texts to token ids and images to pixels, exactly as the models were trained."""

from keras_clip.preprocessing.augmentation import Augmentation
from keras_clip.preprocessing.bpe_training import train_bpe, write_vocabulary
from keras_clip.preprocessing.image_config import OPENAI_MEAN, OPENAI_STD, ImageConfig
from keras_clip.preprocessing.image_files import ImageError
from keras_clip.preprocessing.image_layer import ImagePreprocessing
from keras_clip.preprocessing.images import ImageProcessor
from keras_clip.preprocessing.pipeline_tokenizer import PipelineTokenizer
from keras_clip.preprocessing.tokenizer import CLIPTokenizer

__all__ = [
    "OPENAI_MEAN",
    "OPENAI_STD",
    "Augmentation",
    "CLIPTokenizer",
    "ImageConfig",
    "ImageError",
    "ImagePreprocessing",
    "ImageProcessor",
    "PipelineTokenizer",
    "train_bpe",
    "write_vocabulary",
]
