"""A model behind a file or a port: `autotrack models predict` and `autotrack models serve`."""
