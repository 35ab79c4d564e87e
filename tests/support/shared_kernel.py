"""A plugin for a pytest on many small notebooks: they share one kernel, which forgets everything between two of them.

A kernel takes seconds to start, and most notebooks of a test need it for milliseconds.
"""

from __future__ import annotations

from typing import Any

import pytest

FORGET = (
    "(get_ipython().reset(),"
    " getattr(__import__('sys').modules.get('harness.appengine.written_files'), '_written', {}).clear(),"
    " getattr(__import__('sys').modules.get('harness.lab'), '_labs', []).clear(),"
    " getattr(__import__('sys').modules.get('harness.notebooks.session'), '_runs', {}).clear())"
)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Replace the kernels of notebooks by a single one, which ends with the run."""
    from harness.notebooks import pytest_notebook

    kernels: list[Any] = []

    class SharedKernel(pytest_notebook.NotebookKernel):
        def __init__(self, *arguments: Any) -> None:
            if kernels and kernels[-1].is_alive():
                self.__dict__.update(kernels[-1].__dict__)
                self.ask(FORGET, 60)
            else:
                super().__init__(*arguments)
                kernels.append(self)

        def close(self) -> None:
            pass

    config.add_cleanup(lambda: [super(SharedKernel, each).close() for each in kernels])
    pytest_notebook.NotebookKernel = SharedKernel
