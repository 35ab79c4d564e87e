"""The course's notebooks as files: their normal form, their execution, and exercises made from solutions."""
