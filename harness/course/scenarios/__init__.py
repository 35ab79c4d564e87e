"""The tables of the exercises, one module per lesson, and how the requests and tasks of their rows run."""
