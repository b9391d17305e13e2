"""Data sets: by name, folders of images by class, .npz files and PyTorch data sets, all read into one `Dataset`.

`splitting` and `card` need scikit-learn and are imported from their own modules, so that listing data sets starts
without it.
"""

from surrogate_nas.datasets.dataset import (
    LARGEST_SIZE,
    SMALLEST_SIZE,
    TEST_SHARE,
    Dataset,
    Images,
    LabeledImages,
    Labels,
    Splits,
    moments,
)
from surrogate_nas.datasets.from_torch import from_torch
from surrogate_nas.datasets.named import dataset_names, import_torchvision
from surrogate_nas.datasets.source import load, source_stamp

__all__ = [
    "LARGEST_SIZE",
    "SMALLEST_SIZE",
    "TEST_SHARE",
    "Dataset",
    "Images",
    "LabeledImages",
    "Labels",
    "Splits",
    "dataset_names",
    "from_torch",
    "import_torchvision",
    "load",
    "moments",
    "source_stamp",
]
