"""The certificate: what it states, its page, and its files."""
