"""What a learner and an instructor run from a terminal, and grading."""
