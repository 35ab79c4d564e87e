"""The small exercises, which are cells of the lessons: texts in smallNN.toml, checks in smallNN.py."""
