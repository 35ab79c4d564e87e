"""The console of `serve` and `run`: a server, and the page that it sends."""

from harness.serve.console.console import Console as Console
