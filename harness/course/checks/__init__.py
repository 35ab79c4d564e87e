"""What the checks of several exercises share, and the checks that are too long for the module of their lesson."""
