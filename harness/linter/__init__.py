"""The notebook linter: holds lessons, solutions and exercises to the form that the whole course shares.

Every rule is a function from a page to its findings; they stand in modules by what they look at.
"""

from harness.linter.page import Finding, Page
from harness.linter.run import lint, lint_page

__all__ = ["Finding", "Page", "lint", "lint_page"]
