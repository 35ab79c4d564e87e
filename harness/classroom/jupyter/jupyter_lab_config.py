"""JupyterLab's settings for the course. They apply if this folder is on Jupyter's configuration path."""

from pathlib import Path
from typing import Any

c: Any = get_config()  # type: ignore[name-defined]  # noqa: F821

c.LabApp.news_url = None  # the news would use the network
c.LabApp.extra_labextensions_path.append(str(Path(__file__).with_name("labextensions")))
