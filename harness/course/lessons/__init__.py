"""The checks of each lesson's exercises: one module and one TOML file per lesson."""
