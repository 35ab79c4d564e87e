"""Code that several checks share, and checks that are too long for the module of their lesson."""
