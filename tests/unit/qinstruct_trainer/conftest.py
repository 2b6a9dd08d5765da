"""The built-in questions with their images, and a tiny untrained model that can answer them."""

from pathlib import Path

import pytest

from qinstruct_trainer.builtin.dataset import write_builtin
from support.model.builtin import read_array, texts_of, write_small_model


@pytest.fixture(scope="session")
def builtin_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_builtin(folder, seed=7, strategy="after", num_train_pictures=14)
    return folder


@pytest.fixture(scope="session")
def builtin_model(builtin_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    texts = texts_of(read_array(builtin_data / "labels.json"))
    return write_small_model(tmp_path_factory.mktemp("model"), texts)
