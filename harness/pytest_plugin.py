"""Hooks for nbval."""
