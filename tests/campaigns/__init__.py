"""Campaigns: what a run survives, counted. `python -m campaigns` in tests/ runs them."""
