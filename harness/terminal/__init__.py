"""The course in a terminal: how verdicts and progress look there, and the screen that follows what JupyterLab saves."""
