from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def one_thread():
    """Tiny matrices only lose time between threads."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
