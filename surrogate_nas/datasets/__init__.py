"""Data sets: by name, from folders by class, from .npz files and from PyTorch data sets, all as one type."""

from surrogate_nas.datasets.card import ClassCount, DataCard, card
from surrogate_nas.datasets.dataset import (
    LARGEST_SIZE,
    SMALLEST_SIZE,
    TEST_SHARE,
    TUNE_SHARE,
    Dataset,
    Images,
    LabeledImages,
    Labels,
    Splits,
    moments,
    split,
)
from surrogate_nas.datasets.from_torch import from_torch
from surrogate_nas.datasets.named import dataset_names, import_torchvision
from surrogate_nas.datasets.source import load, source_stamp

__all__ = [
    "LARGEST_SIZE",
    "SMALLEST_SIZE",
    "TEST_SHARE",
    "TUNE_SHARE",
    "ClassCount",
    "DataCard",
    "Dataset",
    "Images",
    "LabeledImages",
    "Labels",
    "Splits",
    "card",
    "dataset_names",
    "from_torch",
    "import_torchvision",
    "load",
    "moments",
    "source_stamp",
    "split",
]
